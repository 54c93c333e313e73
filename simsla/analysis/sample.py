"""Values in groups, kept so that counting those above a limit costs a binary search per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.sketch import bucket_of, middle_of

__all__ = ["Ranked", "Sample"]

Ints = npt.NDArray[np.int64]

BITS = 16
"""Buckets of sketches have numbers below 2 ** 16."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Values in ascending order, each of which may stand for many: `before` counts those before each."""

    distinct: npt.NDArray[np.float32]
    before: Ints
    """One entry more than `distinct`: the last is how many there are."""

    def __len__(self) -> int:
        return int(self.before[-1])

    def __getitem__(self, rank: int) -> np.float32:
        """The value of this rank, from 0; negative ranks count from the end."""
        rank = rank + len(self) if rank < 0 else rank
        if not 0 <= rank < len(self):
            raise IndexError(f"rank {rank} of {len(self)} values")
        return np.float32(self.distinct[np.searchsorted(self.before, rank, side="right") - 1])

    def repeated(self) -> npt.NDArray[np.float32]:
        """Every value as often as it came: 4 bytes a value."""
        return np.repeat(self.distinct, np.diff(self.before))


@dataclass(frozen=True, slots=True)
class Sample:
    """Values (seconds), ascending within each pair of a group and a cell; `ends` are where pairs end.

    Values are kept in single precision: a latency is the difference of two times whose own spacing reaches
    4e-9 s within a year, so a double would keep noise, and twice the bytes travel from a worker.

    `before` is None where each value is one that came. In a sketch (see `simsla.analysis.sketch`) values are
    middles of buckets, and `before`, with one entry more, counts the values that came before each.
    """

    values: npt.NDArray[np.float32]
    group: Ints
    cell: Ints
    ends: Ints
    before: Ints | None = None

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
        return cls(ordered, *ends_of(pairs, cells))

    @classmethod
    def sketched(cls, values: npt.NDArray[np.floating], group: Ints, cell: Ints, cells: int) -> Sample:
        """The same as counts by bucket, whose size does not grow with the number of values.

        Raises ValueError for a negative value and for NaN.
        """
        keys = ((group * cells + cell) << BITS) | bucket_of(values)
        distinct, counts = np.unique(keys, return_counts=True)
        return counted(distinct, counts.astype(np.int64), cells)

    @classmethod
    def merged(cls, samples: Sequence[Sample], cells: int) -> Sample:
        """Several samples of the same cells as one: sketches if they are, else values."""
        pairs = [np.repeat(s.group * cells + s.cell, np.diff(s.ends, prepend=0)) for s in samples]
        if any(sample.before is None for sample in samples):
            values, pair = (
                np.concatenate([s.repeated() for s in samples]),
                np.concatenate(
                    [
                        p if s.before is None else np.repeat(p, np.diff(s.before))
                        for p, s in zip(pairs, samples, strict=True)
                    ]
                ),
            )
            return cls.of(values, pair // cells, pair % cells, cells)
        keys = np.concatenate(
            [(pair << BITS) | bucket_of(s.values) for pair, s in zip(pairs, samples, strict=True)]
        )
        counts = np.concatenate([np.diff(s.before) for s in samples if s.before is not None])
        distinct, place = np.unique(keys, return_inverse=True)
        return counted(distinct, np.bincount(place, counts, len(distinct)).astype(np.int64), cells)

    def regrouped(self, group_of: Ints, cells: int) -> Sample:
        """The values in other groups: `group_of` has the new group of each old one."""
        parts = [self.only(group) for group in range(len(group_of))]
        return Sample.merged(
            [Sample(part.values, group_of[part.group], part.cell, part.ends, part.before) for part in parts],
            cells,
        )

    def __len__(self) -> int:
        """How many values came."""
        return len(self.values) if self.before is None else int(self.before[-1])

    def only(self, group: int | None) -> Sample:
        """The values of one group; everything for None."""
        if group is None:
            return self
        rows = np.flatnonzero(self.group == group)
        if len(rows) == 0:
            return Sample(self.values[:0], rows, rows, rows, None if self.before is None else self.before[:1])
        first, last = rows[0], rows[-1]
        offset = self.ends[first - 1] if first else 0
        end = self.ends[last]
        before = None if self.before is None else self.before[offset : end + 1] - self.before[offset]
        return Sample(
            self.values[offset:end], self.group[rows], self.cell[rows], self.ends[rows] - offset, before
        )

    def above(self, limit: float, cells: int, *, inclusive: bool = False) -> Ints:
        """How many values exceed `limit` (or reach it, if inclusive), per cell."""
        # Compared in the values' own precision: a wider limit would have them all converted.
        narrow, side = np.float32(limit), "left" if inclusive else "right"
        counts = np.zeros(cells, dtype=np.int64)
        before = self.before
        start = 0
        for cell, end in zip(self.cell.tolist(), self.ends.tolist(), strict=True):
            # The stubs have no overload for a side that is chosen.
            rank = self.values[start:end].searchsorted(narrow, side)  # type: ignore[call-overload]
            first = start + int(rank)
            counts[cell] += end - first if before is None else before[end] - before[first]
            start = end
        return counts

    def sizes(self, cells: int) -> Ints:
        """How many values there are, per cell."""
        ends = self.ends if self.before is None else self.before[self.ends]
        return np.bincount(self.cell, np.diff(ends, prepend=0), cells).astype(np.int64)

    def repeated(self) -> npt.NDArray[np.float32]:
        """Every value as often as it came."""
        return self.values if self.before is None else np.repeat(self.values, np.diff(self.before))

    @staticmethod
    def ordered(samples: Sequence[Sample]) -> npt.NDArray[np.float32] | Ranked:
        """All values of several samples, ascending."""
        if any(sample.before is None for sample in samples):
            return np.sort(np.concatenate([sample.repeated() for sample in samples]), kind="stable")
        values = np.concatenate([sample.values for sample in samples])
        counts = np.concatenate([np.diff(s.before) for s in samples if s.before is not None])
        distinct, place = np.unique(values, return_inverse=True)
        return Ranked(distinct, running(np.bincount(place, counts, len(distinct)).astype(np.int64)))


def counted(keys: Ints, counts: Ints, cells: int) -> Sample:
    """A sketch of ordered keys, each a pair and a bucket, and of how many values each has."""
    group, cell, ends = ends_of(keys >> BITS, cells)
    return Sample(middle_of(keys & ((1 << BITS) - 1)), group, cell, ends, running(counts))


def running(counts: Ints) -> Ints:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))


def ends_of(pairs: npt.NDArray[Any], cells: int) -> tuple[Ints, Ints, Ints]:
    """The group, the cell and the end of each run of equal pairs."""
    ends = np.flatnonzero(np.diff(pairs, append=-1))
    present = pairs[ends]
    return present // cells, present % cells, ends + 1
