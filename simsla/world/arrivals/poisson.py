"""A Poisson process of constant rate: a cell holds Poisson many arrivals, uniformly placed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy import stats

from simsla.world.arrivals.cells import MEAN_PER_CELL, Cell, FloatArray, in_blocks, range_of
from simsla.world.streams import BLOCK, Stream

__all__ = ["PoissonProcess"]


class PoissonProcess:
    """Arrivals at a constant rate; a cell is one block."""

    def __init__(self, rate_per_s: float, stream: Stream) -> None:
        self._cell_s = MEAN_PER_CELL / rate_per_s
        self._stream = stream

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""
        cell_s = self._cell_s
        for index in range_of(begin_s, end_s, cell_s):
            generator = self._stream.generator(index)
            count = int(np.searchsorted(_poisson_table(), generator.random(), side="right"))
            places = np.sort(generator.random(count)) * cell_s
            # The cell's own start is subtracted first, so that late windows lose no precision.
            yield from in_blocks(index, (index * cell_s - begin_s) + places, end_s - begin_s)


@cache
def _poisson_table() -> FloatArray:
    """P(N <= k) for k = 0 .. BLOCK - 1: the inverse of a uniform is a search in it."""
    table: FloatArray = stats.poisson.cdf(np.arange(BLOCK), MEAN_PER_CELL)
    return table
