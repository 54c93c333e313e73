"""The operational time of arrivals whose rate changes: the integral of what multiplies the rate.

An hour at three times the rate is three hours of it. A process that is stationary in operational time has the
changing rate in real time, and keeps the burstiness that it has in the long run (Gerhardt and Nelson,
"Transforming renewal processes for simulation of nonstationary arrival processes", INFORMS Journal on
Computing 21, 2009: the inversion method).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.scenario.instants import DAY_S
from simsla.world.arrivals.cells import Arrivals, Cell, FloatArray

if TYPE_CHECKING:
    from simsla.world.arrivals.factors import ProfileFactor, SurgeFactor
    from simsla.world.arrivals.modulated import Factor

__all__ = ["OperationalClock", "WarpedArrivals"]

# A product of two sloping factors is not straight. It is taken for so within pieces of this part of its own,
# where it differs by less than 1 / 8 / 32^2 of the product of the two rises.
_NEAR_S: Final = 1e-6
_PARTS: Final = 32

_DAYS_KEPT: Final = 16

_WEEKS_KEPT: Final = 8

_DAYS: Final = 7

_WEEK_S: Final = _DAYS * DAY_S


class _Day:
    """A day of real time in straight pieces: their edges, the factor at both ends, and its integral."""

    def __init__(self, factors: Sequence[Factor], number: int) -> None:
        """`number` of the day, from 0 at absolute time 0."""
        begin_s = number * DAY_S
        breaks = [factor.breaks(begin_s, begin_s + DAY_S) - begin_s for factor in factors]
        inner = np.unique(np.concatenate(breaks))
        inner = inner[(inner > 0) & (inner < DAY_S)]
        # Edges so near to another are taken for one: the slope between them would overflow.
        inner = inner[np.diff(inner, prepend=0.0) > _NEAR_S]
        edges = np.concatenate(([0.0], inner, [DAY_S]))
        if len(factors) > 1:
            parts = np.linspace(edges[:-1], edges[1:], _PARTS, endpoint=False, axis=1)
            edges = np.append(parts.ravel(), DAY_S)
        width = np.diff(edges)
        # It may jump at an edge, so both ends of a piece are found from within.
        early, late = (begin_s + edges[:-1] + share * width for share in (0.25, 0.75))
        one, other = np.ones(len(width)), np.ones(len(width))
        for factor in factors:
            one, other = one * factor.at(early), other * factor.at(late)
        self.edges = edges
        self.first = np.maximum(1.5 * one - 0.5 * other, 0.0)
        self.last = np.maximum(1.5 * other - 0.5 * one, 0.0)
        self.integral = np.concatenate(([0.0], np.cumsum((self.first + self.last) / 2 * width)))

    def operational(self, second: float) -> float:
        """The integral from the beginning of the day."""
        piece = int(np.clip(np.searchsorted(self.edges, second, side="right") - 1, 0, len(self.first) - 1))
        passed = second - self.edges[piece]
        slope = (self.last[piece] - self.first[piece]) / (self.edges[piece + 1] - self.edges[piece])
        return float(self.integral[piece] + passed * (self.first[piece] + slope * passed / 2))

    def seconds(self, operational: FloatArray) -> FloatArray:
        """The inverse of `operational`, which is at most the integral over the day."""
        piece = np.clip(np.searchsorted(self.integral, operational, side="right") - 1, 0, len(self.first) - 1)
        width = self.edges[piece + 1] - self.edges[piece]
        first = self.first[piece]
        slope = (self.last[piece] - first) / width
        rest = np.maximum(operational - self.integral[piece], 0.0)
        # The root of rest = first x + slope x^2 / 2, in the form that a slope of 0 does not trouble.
        root = first + np.sqrt(np.maximum(first * first + 2 * slope * rest, 0.0))
        passed = np.divide(2 * rest, root, out=np.zeros(len(rest)), where=root > 0)
        found: FloatArray = self.edges[piece] + np.minimum(passed, width)
        return found


class OperationalClock:
    """Operational seconds since absolute time 0; as many as real ones where all factors are 1."""

    def __init__(self, profile: ProfileFactor | None, surges: Sequence[SurgeFactor]) -> None:
        factors = [*surges, *(() if profile is None else (profile,))]
        self._day = lru_cache(maxsize=_DAYS_KEPT)(lambda number: _Day(factors, number))
        # The mean of a profile is 1 in every seven days, so only weeks with surges are longer or shorter.
        spans = (
            range(int(begin_s // _WEEK_S), int(end_s // _WEEK_S) + 1) for begin_s, end_s in map(_span, surges)
        )
        self._surging = sorted(set().union(*spans))
        self._gained = [0.0]
        self._week = lru_cache(maxsize=_WEEKS_KEPT)(self._days_of)
        self._reached = 0

    def operational(self, at_s: float) -> float:
        """Operational time at an absolute time >= 0."""
        number, second = divmod(at_s, DAY_S)
        return self._begin(int(number)) + self._day(int(number)).operational(second)

    def since(self, begin_s: float, operational: FloatArray) -> FloatArray:
        """Seconds from the absolute time `begin_s` to these operational times after it: some, ascending."""
        found = np.empty(len(operational))
        number, place = int(begin_s // DAY_S), 0
        if self._reached > number and self._begin(self._reached) <= operational[0]:
            number = self._reached
        while place < len(operational):
            day, day_begin = self._day(number), self._begin(number)
            end = int(np.searchsorted(operational, self._begin(number + 1), side="right"))
            found[place:end] = (number * DAY_S - begin_s) + day.seconds(operational[place:end] - day_begin)
            self._reached = number
            number, place = number + 1, max(place, end)
        return found

    def _begin(self, number: int) -> float:
        """The operational time at which a day begins."""
        week, day = divmod(number, _DAYS)
        before = bisect_left(self._surging, week)
        while len(self._gained) <= before:
            days = self._week(self._surging[len(self._gained) - 1])
            self._gained.append(self._gained[-1] + days[-1] - _WEEK_S)
        return week * _WEEK_S + self._gained[before] + (self._week(week)[day] if day else 0.0)

    def _days_of(self, week: int) -> list[float]:
        """The operational time from the beginning of a week to that of each of its days, and to its end."""
        integrals = [float(self._day(_DAYS * week + day).integral[-1]) for day in range(_DAYS)]
        return [0.0, *accumulate(integrals)]


def _span(surge: SurgeFactor) -> tuple[float, float]:
    edges = surge.breaks(0.0, math.inf)
    return float(edges[0]), float(edges[-1])


class WarpedArrivals:
    """Arrivals that are those of a stationary process on the operational clock."""

    def __init__(self, process: Arrivals, clock: OperationalClock) -> None:
        self._process = process
        self._clock = clock

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""
        begin, end = self._clock.operational(begin_s), self._clock.operational(end_s)
        last_s = np.nextafter(end_s - begin_s, 0.0)
        for cell in self._process.cells(begin, end):
            # Nobody reads the times of those who come before or after.
            times_s = np.full(len(cell.times_s), last_s)
            times_s[: cell.inside[0]] = 0.0
            within = self._clock.since(begin_s, begin + cell.times_s[cell.inside])
            times_s[cell.inside] = np.clip(within, 0.0, last_s)
            yield Cell(cell.block, times_s, cell.inside)
