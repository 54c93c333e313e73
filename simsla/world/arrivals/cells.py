"""Cells of time and their request numbers.

Request numbers do not depend on where a run begins. Time is cut into cells with a mean of 768 arrivals each;
what arrives in a cell is drawn from the cell's own stream, and the cell owns as many blocks of 1,024 numbers
as the busiest cell could need. So any window of time can be entered at once, and it meets the requests that a
full run would meet there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from simsla.world.streams import BLOCK

__all__ = [
    "MEAN_PER_CELL",
    "NEGLIGIBLE",
    "Arrivals",
    "Cell",
    "FloatArray",
    "IntArray",
    "in_blocks",
    "range_of",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MEAN_PER_CELL: Final = 768.0
"""P(a Poisson variable of this mean exceeds 1,024) is below 1e-18."""

NEGLIGIBLE: Final = 1e-18
"""A probability smaller than the spacing of the uniforms."""


class Cell(NamedTuple):
    """A block of arrivals: its number among the blocks of the class, and who comes when.

    `times_s` are ascending and relative to the window; of them `inside` are the places, ascending, of those
    that arrive in it. Place i has the request number `block * BLOCK + i` of the class.
    """

    block: int
    times_s: FloatArray
    inside: IntArray


class Arrivals(Protocol):
    """An arrival process."""

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""


def range_of(begin_s: float, end_s: float, cell_s: float) -> range:
    """The cells of which a part lies in the window."""
    return range(math.floor(begin_s / cell_s), math.ceil(end_s / cell_s))


def in_blocks(
    first: int, times_s: FloatArray, length_s: float, present: npt.NDArray[np.bool_] | None = None
) -> Iterator[Cell]:
    """A cell's arrivals, relative to the window of this length, as blocks from the index `first` on.

    `present` says which of the times are arrivals; by default all are.
    """
    chosen = (times_s >= 0) & (times_s < length_s)
    if present is not None:
        chosen &= present
    for begin in range(0, len(times_s), BLOCK):
        inside = np.flatnonzero(chosen[begin : begin + BLOCK])
        if len(inside):
            yield Cell(first + begin // BLOCK, times_s[begin : begin + BLOCK], inside)
