"""Service levels from counts by minute, which a summary keeps where it keeps no log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from simsla.analysis.minutes import MINUTE_S

__all__ = ["CountedMinutes"]

Floats = npt.NDArray[np.float64]

ROUNDING_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class CountedMinutes:
    """Requests by the minute in which they arrived, of one replication; a minute counts when it is over.

    `total` and `failed` are cumulative counts, one longer than there are minutes. Times are in seconds from
    the start of the first minute.
    """

    total: Floats
    failed: Floats

    @classmethod
    def of(cls, minutes: npt.ArrayLike) -> Self:
        """From rows of (requests, bad ones), a row per minute. Raises ValueError for another shape."""
        rows = np.asarray(minutes, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(f"minutes: expected rows of (requests, bad ones), got an array of {rows.shape}")
        total, failed = np.concatenate((np.zeros((1, 2)), np.cumsum(rows, axis=0))).T
        return cls(total, failed)

    def __len__(self) -> int:
        return int(self.total[-1])

    @property
    def bad(self) -> int:
        """How many were not good."""
        return int(self.failed[-1])

    @property
    def seconds(self) -> float:
        """The time of all minutes."""
        return MINUTE_S * (len(self.total) - 1)

    def counts(self, start_s: npt.ArrayLike, end_s: npt.ArrayLike) -> tuple[Floats, Floats]:
        """How many there were in the minutes that ended in (start, end], and how many of them bad."""
        first, last = (
            np.clip(
                np.floor((np.asarray(t, dtype=np.float64) + ROUNDING_S) / MINUTE_S), 0, len(self.total) - 1
            ).astype(np.int64)
            for t in (start_s, end_s)
        )
        last = np.maximum(first, last)
        return self.total[last] - self.total[first], self.failed[last] - self.failed[first]
