"""Bins of time, and the unit in which time is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0

WIDTHS_S: Final = (
    *(m * 10.0**k for k in range(-3, 1) for m in (1, 2, 5)),
    *(10.0, 15.0, 30.0),
    *(m * MINUTE for m in (1, 2, 5, 10, 15, 30)),
    *(m * HOUR for m in (1, 2, 3, 6, 12)),
    *(m * DAY for m in (1, 2, 7, 14, 28)),
)

UNITS: Final = (("d", DAY), ("h", HOUR), ("min", MINUTE))

MOST_BINS: Final = 180
FEWEST_BINS: Final = 24
ENOUGH_FOR_P99: Final = 500


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins from `start_s` to `end_s`, the last one perhaps cut; `edges` are in `unit`."""

    start_s: float
    end_s: float
    width_s: float
    unit: str
    unit_s: float

    @classmethod
    def covering(cls, start_s: float, end_s: float, events: int) -> Bins:
        """Bins of a natural width: as fine as leaves each enough events for a p99, within limits."""
        span = end_s - start_s
        wanted = min(max(events / ENOUGH_FOR_P99, FEWEST_BINS), MOST_BINS)
        width = next((width for width in WIDTHS_S if width >= span / wanted), span)
        unit, unit_s = next(((u, s) for u, s in UNITS if span >= 2 * s), ("s", 1.0))
        return cls(start_s, end_s, width, unit, unit_s)

    @property
    def count(self) -> int:
        """How many there are."""
        return max(int(np.ceil((self.end_s - self.start_s) / self.width_s - 1e-9)), 1)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Their limits, in `unit`."""
        inner = self.start_s + self.width_s * np.arange(self.count)
        return np.append(inner, self.end_s) / self.unit_s

    def of(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The number of the bin of each time."""
        place = np.floor((times_s - self.start_s) / self.width_s).astype(np.int64)
        return np.clip(place, 0, self.count - 1)

    def in_unit(self, time_s: float) -> float:
        """A time as it stands on the axis."""
        return time_s / self.unit_s
