"""Values in groups, kept so that counting those above a limit costs a binary search per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Sample"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Values (seconds), ascending within each pair of a group and a cell; `ends` are where pairs end.

    Values are kept in single precision: a latency is the difference of two times whose own spacing reaches
    4e-9 s within a year, so a double would keep noise, and twice the bytes travel from a worker.
    """

    values: npt.NDArray[np.float32]
    group: Ints
    cell: Ints
    ends: Ints

    @classmethod
    def of(cls, values: npt.NDArray[np.floating], group: Ints, cell: Ints, cells: int) -> Sample:
        """Sorts values into their groups and cells (codes below `cells`)."""
        narrow = values.astype(np.float32)
        pair = group * cells + cell
        if len(pair) == 0 or (pair == pair[0]).all():
            ordered, pairs = np.sort(narrow), pair
        else:
            order = np.lexsort((narrow, pair))
            ordered, pairs = narrow[order], pair[order]
        ends = np.flatnonzero(np.diff(pairs, append=-1))
        present = pairs[ends]
        return cls(ordered, present // cells, present % cells, ends + 1)

    def only(self, group: int | None) -> Sample:
        """The values of one group; everything for None."""
        if group is None:
            return self
        rows = np.flatnonzero(self.group == group)
        if len(rows) == 0:
            return Sample(self.values[:0], rows, rows, rows)
        first, last = rows[0], rows[-1]
        offset = self.ends[first - 1] if first else 0
        return Sample(
            self.values[offset : self.ends[last]], self.group[rows], self.cell[rows], self.ends[rows] - offset
        )

    def above(self, limit: float, cells: int, *, inclusive: bool = False) -> Ints:
        """How many values exceed `limit` (or reach it, if inclusive), per cell."""
        # Compared in the values' own precision: a wider limit would have them all converted.
        narrow, side = np.float32(limit), "left" if inclusive else "right"
        counts = np.zeros(cells, dtype=np.int64)
        start = 0
        for cell, end in zip(self.cell.tolist(), self.ends.tolist(), strict=True):
            # The stubs have no overload for a side that is chosen.
            counts[cell] += end - start - int(self.values[start:end].searchsorted(narrow, side))  # type: ignore[call-overload]
            start = end
        return counts

    def sizes(self, cells: int) -> Ints:
        """How many values there are, per cell."""
        return np.bincount(self.cell, np.diff(self.ends, prepend=0), cells).astype(np.int64)

    @staticmethod
    def ordered(samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """All values of several samples, ascending."""
        return np.sort(np.concatenate([sample.values for sample in samples]), kind="stable")
