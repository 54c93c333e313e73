"""The token bucket."""

from __future__ import annotations

import math
from typing import Final

_ENOUGH: Final = 1e-3
"""What is short of an amount by no more than this is there. A clock far from 0 rounds the moment at which a
bucket is full enough: without a tolerance it could be asked again at once, for ever."""


class Bucket:
    """Fills by ``per_s`` up to ``capacity``, with which it begins.

    An amount larger than the capacity may be taken when the bucket is full, and leaves it in debt: refused it
    would be refused for ever. Over any t seconds no more than capacity + per_s x t is taken and kept, plus
    what one taking or one correction puts beyond.
    """

    __slots__ = ("_at", "_level", "capacity", "per_s")

    def __init__(self, per_s: float, capacity: float) -> None:
        self.per_s = per_s
        self.capacity = capacity
        self._level = capacity
        self._at = -math.inf

    def level(self, now: float) -> float:
        """What is in it; below 0 it is in debt."""
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.per_s)
            self._at = now
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until the amount may be taken; 0.0 where it may now."""
        missing = min(amount, self.capacity) - self.level(now)
        return missing / self.per_s if missing > _ENOUGH else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take it, whether it is there or not."""
        self._level = self.level(now) - amount

    def give(self, amount: float, now: float) -> None:
        """Give back what was not needed; a negative amount was needed on top."""
        self._level = min(self.capacity, self.level(now) + amount)

    def resize(self, per_s: float, capacity: float, now: float) -> None:
        """Fill at another rate from now on."""
        level = self.level(now)
        self.per_s = per_s
        self.capacity = capacity
        self._level = min(capacity, level)
