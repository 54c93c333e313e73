"""What multiplies the rate of arrivals: the hour and the day, surges, and a chain of random states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.scenario.instants import DAY_S
from simsla.world.arrivals.cells import FloatArray
from simsla.world.arrivals.chain import PhaseChain

if TYPE_CHECKING:
    from simsla.scenario.arrivals_dispersion import Phase
    from simsla.scenario.arrivals_shape import Profile, Surge
    from simsla.world.streams import Stream

__all__ = ["Modulation", "ProfileFactor", "SurgeFactor"]

_DAYS: Final = 7
_STEEP_S: Final = 1e-6


class ProfileFactor:
    """The shape of a week, with mean 1. Absolute time 0 is `start_s` after a Monday's midnight."""

    def __init__(self, profile: Profile, start_s: float) -> None:
        points = profile.points() or [(0.0, 1.0)]
        self._start_s = start_s
        self._seconds = np.array([second for second, _ in points])
        self._values = np.array([value for _, value in points]) / profile.mean_of_day()
        self._days = np.array(profile.days()) * (_DAYS / math.fsum(profile.days()))
        self.most = float(self._values.max() * self._days.max())

    def breaks(self, begin_s: float, end_s: float) -> FloatArray:
        """The times of day that were named, and every midnight."""
        first, last = (math.floor((at + self._start_s) / DAY_S) for at in (begin_s, end_s))
        midnights = np.arange(first, last + 1) * DAY_S - self._start_s
        named = np.concatenate(([0.0], self._seconds))
        times: FloatArray = (midnights[:, None] + named[None, :]).ravel().astype(np.float64)
        return times

    def at(self, times_s: FloatArray) -> FloatArray:
        """Factors relative to the mean of the week."""
        days, second = np.divmod(times_s + self._start_s, DAY_S)
        hour = np.interp(second, self._seconds, self._values, period=DAY_S).astype(np.float64)
        of_day: FloatArray = self._days[days.astype(np.int64) % _DAYS]
        return hour * of_day


class SurgeFactor:
    """A surge: 1 outside, straight up to the factor, flat, straight down."""

    def __init__(self, surge: Surge) -> None:
        begin_s, end_s = surge.at_s, surge.at_s + surge.for_s
        # So short a ramp is none: its slope would overflow, or its ends round to one.
        ramp_s = surge.ramp_s if surge.ramp_s > _STEEP_S else 0.0
        self._edges = np.array([begin_s, begin_s + ramp_s, end_s - ramp_s, end_s])
        self._factor = surge.factor
        self.most = max(1.0, surge.factor)

    def breaks(self, begin_s: float, end_s: float) -> FloatArray:
        """Where it leaves 1, and where it comes back."""
        return self._edges

    def at(self, times_s: FloatArray) -> FloatArray:
        """1 outside of it."""
        begin_s, up_s, down_s, end_s = self._edges
        inside = (times_s >= begin_s) & (times_s < end_s)
        if up_s == begin_s:
            return np.where(inside, self._factor, 1.0)
        risen = np.minimum((times_s - begin_s) / (up_s - begin_s), (end_s - times_s) / (end_s - down_s))
        return np.where(inside, 1 + (self._factor - 1) * np.clip(risen, 0, 1), 1.0)


class Modulation:
    """The rate of the state in which a random chain is, relative to the mean of them all."""

    def __init__(self, phases: Sequence[Phase], stream: Stream) -> None:
        total_s = math.fsum(phase.mean_s for phase in phases)
        mean = math.fsum(phase.rate_per_s * phase.mean_s for phase in phases) / total_s
        self._levels = np.array([phase.rate_per_s for phase in phases]) / mean
        self._chain = PhaseChain([phase.mean_s for phase in phases], stream)
        self.most = float(self._levels.max())
        self._path: tuple[FloatArray, FloatArray] = np.empty(0), np.empty(0)

    def breaks(self, begin_s: float, end_s: float) -> FloatArray:
        """When the state changes."""
        jumps, states = self._chain.path(begin_s, end_s)
        self._path = jumps, self._levels[states]
        return jumps

    def at(self, times_s: FloatArray) -> FloatArray:
        """Levels in the window whose breaks were asked for last."""
        jumps, levels = self._path
        level: FloatArray = levels[np.searchsorted(jumps, times_s, side="right")]
        return level
