"""Availability by the clock: windows in which too much failed, instead of requests that did.

Requests belong to the minute in which they arrived. A minute of the measured time is *down* where at least
half of its valid requests failed (a major outage), and *partly down* where at least 5 % did. A five-minute
window is bad where at least 5 % of its valid requests failed. What nobody asked in was up. All three are
conventions, and contracts differ in them: `Metrics.window_availability` takes other lengths and thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums

__all__ = [
    "BY_CLOCK",
    "MINUTE_S",
    "PARTIAL",
    "PARTIAL_WEIGHT",
    "WINDOW_MINUTES",
    "ByClock",
    "Minutes",
    "count_minutes",
    "middles_s",
    "windows_lost",
]

Floats = npt.NDArray[np.float64]

MINUTE_S: Final = 60.0
WINDOW_MINUTES: Final = 5
MAJOR: Final = 0.5
"""The share of failed requests from which a minute is one of a major outage."""
PARTIAL: Final = 0.05
"""The share of failed requests from which a minute is one of a partial outage, and a window is bad."""
PARTIAL_WEIGHT: Final = 0.3
"""What a second of partial outage counts as, of a major one: the rule of Atlassian's status pages."""


class ByClock(NamedTuple):
    """A definition: the minutes of a window, and what part of it is lost from which share of failures on."""

    window: int
    losses: tuple[tuple[float, float], ...]


BY_CLOCK: Final[dict[str, ByClock]] = {
    "availability_windows": ByClock(WINDOW_MINUTES, ((PARTIAL, 1.0),)),
    "availability_time": ByClock(1, ((MAJOR, 1.0),)),
    # A major outage is a partial one as well.
    "availability_weighted": ByClock(1, ((PARTIAL, PARTIAL_WEIGHT), (MAJOR, 1 - PARTIAL_WEIGHT))),
}
"""The metrics that are availability by the clock."""

Minutes = npt.NDArray[np.int32]
"""Requests by request class, minute of the measured time, and (valid, failed)."""


def minute_count(seconds: float) -> int:
    return max(1, int(np.ceil(seconds / MINUTE_S - 1e-9)))


def middles_s(start_s: float, end_s: float) -> Floats:
    """The middle of each minute of the measured time."""
    edges = np.minimum(start_s + MINUTE_S * np.arange(minute_count(end_s - start_s) + 1), end_s)
    middles: Floats = (edges[:-1] + edges[1:]) / 2
    return middles


def count_minutes(
    request_class: npt.NDArray[np.int64],
    since_s: npt.NDArray[np.float64],
    failed: npt.NDArray[np.bool_],
    classes: int,
    seconds: float,
) -> Minutes:
    """Valid requests by minute; `since_s` are their arrivals from the start of the measured time."""
    count = minute_count(seconds)
    minute = np.minimum((since_s / MINUTE_S).astype(np.int64), count - 1)
    place = request_class * count + minute
    size = classes * count
    both = (np.bincount(place, minlength=size), np.bincount(place[failed], minlength=size))
    return np.stack(both, axis=1).reshape(classes, count, 2).astype(np.int32)


def windows_lost(
    minutes: Minutes,
    minute_cell: npt.NDArray[np.int64],
    cells: int,
    seconds: float,
    window: int,
    losses: Sequence[tuple[float, float]],
) -> tuple[Floats, Floats]:
    """What was lost in whole windows of so many minutes, and how many windows there are, by cell.

    `minutes` are of all classes that count together. For each pair of `losses`, (error share, weight), a
    window with at least that share of failures loses so much of itself. It belongs to the cell of the minute
    in its middle (`minute_cell`). A time shorter than a window is one window.
    """
    counts = minutes.sum(axis=0, dtype=np.int64)
    whole = int(seconds / MINUTE_S + 1e-9) // window
    rows = counts[: whole * window].reshape(whole, window, 2) if whole else counts[None]
    length = window if whole else len(counts)
    cell = minute_cell[length // 2 :: length][: len(rows)]
    valid, failed = rows.sum(axis=1).T
    lost = np.zeros(len(rows))
    for error_share, weight in losses:
        lost += weight * ((failed >= error_share * valid) & (failed > 0))
    return group_sums(cell, lost, cells), group_sums(cell, np.ones(len(rows)), cells)
