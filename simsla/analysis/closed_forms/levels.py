"""The states of what can fail: the share of attempts that get through in each, and the share of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ALWAYS", "Levels"]


@dataclass(frozen=True, slots=True)
class Levels:
    """`success[i]` of the attempts get through for `share[i]` of the time; each success once."""

    success: tuple[float, ...]
    share: tuple[float, ...]

    @classmethod
    def hit(cls, severity: float, share: float) -> Levels:
        """A fault that hits the `severity` of attempts for a `share` of the time."""
        return cls.of({1.0: 1.0 - share, 1.0 - severity: share})

    @classmethod
    def of(cls, states: Mapping[float, float]) -> Levels:
        """The levels of a mapping of successes to shares, of which those of 0 are left out."""
        present = {success: share for success, share in states.items() if share > 0}
        return cls(tuple(present), tuple(present.values()))

    @property
    def availability(self) -> float:
        """The long-run share of attempts that get through."""
        return math.fsum(a * w for a, w in zip(self.success, self.share, strict=True))

    def and_also(self, other: Levels) -> Levels:
        """Both, independently of each other."""
        states: dict[float, float] = {}
        for a, v in zip(self.success, self.share, strict=True):
            for b, w in zip(other.success, other.share, strict=True):
                states[a * b] = states.get(a * b, 0.0) + v * w
        return Levels.of(states)

    def for_some(self, share: float) -> Levels:
        """The same for a share of those who ask; the others notice nothing."""
        states = {a: w * share for a, w in zip(self.success, self.share, strict=True)}
        states[1.0] = states.get(1.0, 0.0) + 1.0 - share
        return Levels.of(states)


ALWAYS = Levels((1.0,), (1.0,))
"""What never fails."""
