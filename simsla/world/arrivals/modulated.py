"""A Poisson process whose rate is a product of factors that change in time, each straight between breaks.

In a cell of time candidates are drawn at a rate that is constant between breaks and nowhere below the true
one, and each is kept with the probability true rate / drawn rate (Lewis and Shedler, "Simulation of
nonhomogeneous Poisson processes by thinning", Naval Research Logistics 26, 1979). A candidate has its number
and its uniform whether it is kept or not, so nothing depends on how many were kept before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from scipy import stats
from scipy.special import gammainc

from simsla.world.arrivals.cells import MEAN_PER_CELL, NEGLIGIBLE, Cell, FloatArray, in_blocks, range_of
from simsla.world.streams import BLOCK, Stream

__all__ = ["Factor", "ModulatedPoisson"]

# Ends of straight pieces are found by extrapolation, which rounds.
_ROUNDING = 1 + 1e-9


class Factor(Protocol):
    """What multiplies a rate, at absolute times (s)."""

    most: float
    """It is never above."""

    def breaks(self, begin_s: float, end_s: float) -> FloatArray:
        """The moments in the window between which it is straight; it may jump there."""

    def at(self, times_s: FloatArray) -> FloatArray:
        """Its values, at times in the window whose breaks were asked for last."""


class ModulatedPoisson:
    """Arrivals at `rate_per_s` times all factors; a cell owns the blocks that its highest rate may need."""

    def __init__(self, rate_per_s: float, factors: Sequence[Factor], stream: Stream) -> None:
        self._rate_per_s = rate_per_s
        self._factors = tuple(factors)
        self._stream = stream
        self._cell_s = MEAN_PER_CELL / rate_per_s
        most = MEAN_PER_CELL * math.prod(factor.most for factor in factors) * _ROUNDING
        self._blocks = math.ceil(most / BLOCK)
        # P(a Poisson variable of this mean is n or more) is gammainc(n, mean).
        while gammainc(self._blocks * BLOCK, most) > NEGLIGIBLE:
            self._blocks += 1

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""
        cell_s = self._cell_s
        for index in range_of(begin_s, end_s, cell_s):
            cell_begin_s = index * cell_s
            edges, highest = self._drawn_rate(cell_begin_s)
            drawn = np.concatenate(([0.0], np.cumsum(highest * np.diff(edges))))
            generator = self._stream.generator(index)
            count = int(stats.poisson.ppf(generator.random(), drawn[-1])) if drawn[-1] > 0 else 0
            count = min(count, self._blocks * BLOCK)
            places = np.interp(np.sort(generator.random(count)) * drawn[-1], drawn, edges)
            piece = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(highest) - 1)
            kept = generator.random(count) * highest[piece] < self._rate(cell_begin_s + places)
            # The cell's own start is subtracted first, so that late windows lose no precision.
            times = (cell_begin_s - begin_s) + places
            yield from in_blocks(index * self._blocks, times, end_s - begin_s, kept)

    def _drawn_rate(self, cell_begin_s: float) -> tuple[FloatArray, FloatArray]:
        """The breaks in the cell, from its start, and the rate of candidates in each piece."""
        cell_end_s = cell_begin_s + self._cell_s
        breaks = [factor.breaks(cell_begin_s, cell_end_s) - cell_begin_s for factor in self._factors]
        inner = np.unique(np.concatenate(breaks))
        inner = inner[(inner > 0) & (inner < self._cell_s)]
        edges = np.concatenate(([0.0], inner, [self._cell_s]))
        width = np.diff(edges)
        early, late = (cell_begin_s + edges[:-1] + share * width for share in (0.25, 0.75))
        highest = np.full(len(width), self._rate_per_s * _ROUNDING)
        for factor in self._factors:
            one, other = factor.at(early), factor.at(late)
            highest *= np.maximum(1.5 * one - 0.5 * other, 1.5 * other - 0.5 * one)
        return edges, highest

    def _rate(self, times_s: FloatArray) -> FloatArray:
        rate = np.full(len(times_s), self._rate_per_s)
        for factor in self._factors:
            rate *= factor.at(times_s)
        return rate
