"""Availability by the clock: windows in which too much failed, instead of requests that did.

Requests belong to the minute in which they arrived. A minute of the measured time is *down* where at least
half of its valid requests failed (a major outage), and *partly down* where at least 5 % did. A five-minute
window is bad where at least 5 % of its valid requests failed. What nobody asked in was up. All three are
conventions, and contracts differ in them: `Metrics.window_availability` takes other lengths and thresholds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "MAJOR",
    "MINUTE_S",
    "PARTIAL",
    "PARTIAL_WEIGHT",
    "WINDOW_MINUTES",
    "Minutes",
    "bad_windows",
    "count_minutes",
    "weighed_down",
]

MINUTE_S: Final = 60.0
WINDOW_MINUTES: Final = 5
MAJOR: Final = 0.5
"""The share of failed requests from which a minute is one of a major outage."""
PARTIAL: Final = 0.05
"""The share of failed requests from which a minute is one of a partial outage, and a window is bad."""
PARTIAL_WEIGHT: Final = 0.3
"""What a second of partial outage counts as, of a major one: the rule of Atlassian's status pages."""

Minutes = npt.NDArray[np.int32]
"""Requests by request class, minute of the measured time, and (valid, failed)."""


def count_minutes(
    request_class: npt.NDArray[np.int64],
    since_s: npt.NDArray[np.float64],
    failed: npt.NDArray[np.bool_],
    classes: int,
    seconds: float,
) -> Minutes:
    """Valid requests by minute; `since_s` are their arrivals from the start of the measured time."""
    count = max(1, int(np.ceil(seconds / MINUTE_S - 1e-9)))
    minute = np.minimum((since_s / MINUTE_S).astype(np.int64), count - 1)
    place = request_class * count + minute
    size = classes * count
    both = (np.bincount(place, minlength=size), np.bincount(place[failed], minlength=size))
    return np.stack(both, axis=1).reshape(classes, count, 2).astype(np.int32)


def bad_windows(
    minutes: Minutes, seconds: float, window: int = WINDOW_MINUTES, error_share: float = PARTIAL
) -> tuple[int, int]:
    """How many whole windows of so many minutes have at least this share of failures, and how many there are.

    `minutes` are of all classes that count together. A time shorter than a window is one window.
    """
    counts = minutes.sum(axis=0, dtype=np.int64)
    whole = int(seconds / MINUTE_S + 1e-9) // window
    rows = counts[: whole * window].reshape(whole, window, 2) if whole else counts[None]
    valid, failed = rows.sum(axis=1).T
    return int(((failed >= error_share * valid) & (failed > 0)).sum()), max(whole, 1)


def weighed_down(minutes: Minutes, seconds: float, weight: float = PARTIAL_WEIGHT) -> tuple[float, int]:
    """Minutes of major outage and `weight` times those of partial outage, and how many minutes there are."""
    major, count = bad_windows(minutes, seconds, 1, MAJOR)
    either, _ = bad_windows(minutes, seconds, 1, PARTIAL)
    return major + weight * (either - major), count
