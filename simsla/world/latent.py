"""Latency that moves with time, for all attempts at a deployment alike: part of the environment.

The level of a deployment's latencies is the product of three factors: one that wanders (see
`simsla.scenario.latency.Correlation`), one by the time of day, and one that grows from day to day. It is
laid out on a grid in absolute time and constant within a cell. The wandering factor is drawn by the seed, the
replication and the deployment's name, for any part of the grid at once: it depends neither on who calls, nor
in which order, nor on where a run begins.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtri

from simsla.scenario.instants import DAY_S
from simsla.world.streams import BLOCK, FloatArray, Stream

if TYPE_CHECKING:
    from simsla.routing import Request
    from simsla.scenario.latency import Latency
    from simsla.world.conditions import Condition, Conditions
    from simsla.world.grey import GreyConditions
    from simsla.world.requests import OpenRequest

# Fine enough that neighbouring cells differ by less than what is drawn for each attempt.
_CELLS_PER_TIME_CONSTANT: Final = 16

_LONGEST_CELL_S: Final = 300.0

_BLOCKS_KEPT: Final = 4


class OrnsteinUhlenbeck:
    """A stationary Gaussian process of standard deviation sigma, at the points k x time constant / 16.

    Between neighbouring points x' = a x + sqrt(1 - a^2) sigma z, with a = exp(-1 / 16) and z standard normal,
    which is exact. A block of 1,024 points spans 64 time constants. It is computed from the innovations of
    its own and of the block before, which begins in the stationary state: what lies further back has weight
    exp(-64), less than the last bit.
    """

    def __init__(self, sigma: float, stream: Stream) -> None:
        self._sigma = sigma
        self._stream = stream
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._values)

    def at(self, point: int) -> float:
        """The process at a point of the grid."""
        index, place = divmod(point, BLOCK)
        return float(self._block(index)[place])

    def _values(self, index: int) -> FloatArray:
        a = math.exp(-1.0 / _CELLS_PER_TIME_CONSTANT)
        normal = np.concatenate([self._normal(index - 1), self._normal(index)])
        x = self._sigma * normal
        x[1:] *= math.sqrt(1.0 - a * a)
        # x[k] = sum over j of a^j x[k - j], by doubling the reach of the sum.
        reach = 1
        while reach < len(x):
            x[reach:] += a**reach * x[:-reach]
            reach *= 2
        return x[BLOCK:]

    def _normal(self, index: int) -> FloatArray:
        # The block before the first one is that before time 0: addresses are not negative.
        uniforms = self._stream.uniforms(BLOCK, index + 1)
        # Uniforms may be 0, but lie on a grid of 2^-53.
        z: FloatArray = ndtri(uniforms + 2.0**-54)
        return z


class LatencyLevel:
    """The factor on a deployment's latencies, by cell of absolute time."""

    def __init__(self, latency: Latency, start: datetime, address: tuple[int, int, str]) -> None:
        """`start` is the moment of absolute second 0; `address` the seed, the replication and the name."""
        self.cell_s = _LONGEST_CELL_S
        self._wander: OrnsteinUhlenbeck | None = None
        self._cells_per_point = 1
        if latency.correlation is not None:
            spacing_s = latency.correlation.time_constant_s / _CELLS_PER_TIME_CONSTANT
            if latency.has_trend:
                self._cells_per_point = math.ceil(spacing_s / _LONGEST_CELL_S)
            self.cell_s = spacing_s / self._cells_per_point
            sigma = latency.correlation.sigma
            seed, replication, name = address
            stream = Stream(seed, replication, "deployment", name, "latency level")
            self._wander = OrnsteinUhlenbeck(sigma, stream)
            self._mean = math.exp(-0.5 * sigma * sigma)
        self._first_s = (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        self._times = sorted(latency.profile)
        self._factors = [latency.profile[time] for time in self._times]
        self._growth_per_day = 1.0 + latency.drift_per_day

    def factor(self, cell: int) -> float:
        """The factor within [cell x cell_s, (cell + 1) x cell_s)."""
        factor: float = 1.0
        if self._wander is not None:
            factor = self._mean * math.exp(self._wander.at(cell // self._cells_per_point))
        middle_s = (cell + 0.5) * self.cell_s
        if self._times:
            time = (self._first_s + middle_s) % DAY_S
            factor *= float(np.interp(time, self._times, self._factors, period=DAY_S))
        growth: float = self._growth_per_day ** (middle_s / DAY_S)
        return factor * growth


class VaryingConditions:
    """Conditions whose slowdown follows the level of the deployment's latencies as well."""

    def __init__(self, conditions: Conditions, level: LatencyLevel, begin_s: float) -> None:
        """The clock of `conditions` is 0 at the absolute time `begin_s`."""
        self._conditions = conditions
        self._level = level
        self._begin_s = begin_s
        self.current = conditions.current
        self.until_s = -math.inf

    def at(self, now: float) -> Condition:
        """The condition at `now`; times must not go back."""
        if now >= self.until_s:
            base = self._conditions.at(now)
            cell = math.floor((self._begin_s + now) / self._level.cell_s)
            self.current = replace(base, slowdown=base.slowdown * self._level.factor(cell))
            self.until_s = min(self._conditions.until_s, (cell + 1) * self._level.cell_s - self._begin_s)
        return self.current


class VaryingGrey:
    """Conditions by who asks, each of which follows the level of the deployment's latencies as well."""

    def __init__(self, grey: GreyConditions, level: LatencyLevel, begin_s: float) -> None:
        """The clock of what `grey` knows is 0 at the absolute time `begin_s`."""
        self._grey = grey
        self._level = level
        self._begin_s = begin_s
        self._known: dict[Conditions, VaryingConditions] = {}

    def of(self, whose: OpenRequest, request: Request) -> VaryingConditions:
        """What this request meets."""
        conditions = self._grey.of(whose, request)
        if conditions not in self._known:
            self._known[conditions] = VaryingConditions(conditions, self._level, self._begin_s)
        return self._known[conditions]
