"""A renewal process with gamma distributed times between arrivals.

Such a process has a memory that reaches back without end: the time since the last arrival. So that a window
can be entered without drawing all that came before, it begins anew at each cell of 16 blocks, in equilibrium:
the first arrival of a cell comes after the remaining part of a gap that is under way, drawn from its
stationary law. The rate is exact, and one gap in about 12,000 is not gamma distributed but the sum of two
remainders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.special import gammainc, gammaincinv

from simsla.distributions import Gamma
from simsla.world.arrivals.cells import MEAN_PER_CELL, NEGLIGIBLE, Cell, in_blocks, range_of
from simsla.world.streams import BLOCK, Stream

__all__ = ["GammaProcess"]

_BLOCKS_PER_CELL: Final = 16

# In parts of the mean. In bursts most gaps are less than the spacing of floats: kept apart like this, no two
# arrivals fall on one instant.
_LEAST_GAP: Final = 1e-6

# The blocks of a cell have their gaps at ordinal 0, the remainder at the cell's start is at ordinal 1.
_GAPS, _REMAINDER = range(2)


class GammaProcess:
    """Arrivals at the rate `rate_per_s`, with gaps of this coefficient of variation."""

    def __init__(self, rate_per_s: float, cv: float, stream: Stream) -> None:
        self._gap = Gamma.of(mean=1 / rate_per_s, cv=cv)
        self._cell_s = _BLOCKS_PER_CELL * MEAN_PER_CELL / rate_per_s
        self._least_s = _LEAST_GAP / rate_per_s
        self._stream = stream
        self._blocks = self._most_blocks()

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""
        for index in range_of(begin_s, end_s, self._cell_s):
            cell_begin_s = index * self._cell_s
            first = index * self._blocks
            # The remaining part of a gap: a uniform part of one that is drawn in proportion to its length.
            u, v = self._stream.uniforms(2, first, _REMAINDER)
            at_s = float(u * gammaincinv(self._gap.shape + 1, v) * self._gap.scale)
            for block in range(first, first + self._blocks):
                gaps = np.maximum(self._gap.ppf(self._stream.uniforms(BLOCK, block, _GAPS)), self._least_s)
                times = at_s + np.concatenate(([0.0], np.cumsum(gaps)))
                at_s, times = float(times[-1]), times[:-1]
                present = times < self._cell_s
                yield from in_blocks(block, (cell_begin_s - begin_s) + times, end_s - begin_s, present)
                if at_s >= self._cell_s:
                    break

    def _most_blocks(self) -> int:
        """So many hold all arrivals of a cell: P(the sum of n gaps is shorter than a cell) is negligible."""
        scaled = self._cell_s / self._gap.scale
        blocks = _BLOCKS_PER_CELL
        while gammainc(blocks * BLOCK * self._gap.shape, scaled) > NEGLIGIBLE:
            blocks = math.ceil(1.25 * blocks)
        return blocks
