"""How long requests have taken lately."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from simsla.routing.hedging.window import Window

# Enough that the median is within 5 percentage points of the true one, few enough to follow a change.
_MOST: Final = 100


class ServiceTimes:
    """The last hundred: the mean of all, which is the pace, and the median of the answered ones."""

    __slots__ = ("_answered", "_sum_s", "_took_s")

    def __init__(self) -> None:
        self._took_s: deque[float] = deque()
        self._sum_s = 0.0
        self._answered = Window(_MOST, math.inf)

    def add(self, now: float, took_s: float, answered: bool) -> None:
        """One more; the oldest gives way."""
        if len(self._took_s) == _MOST:
            self._sum_s -= self._took_s.popleft()
        self._took_s.append(took_s)
        self._sum_s += took_s
        if answered:
            self._answered.add(now, took_s)

    @property
    def mean_s(self) -> float:
        """Of all, in seconds; 0 before the first."""
        return max(0.0, self._sum_s) / len(self._took_s) if self._took_s else 0.0

    @property
    def median_s(self) -> float:
        """Of the answered ones, in seconds; 0 before the first."""
        return self._answered.quantile(0.5) if len(self._answered) else 0.0
