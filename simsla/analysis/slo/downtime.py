"""Availability by time: how long a service was down, or partly down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero, probability, whole
from simsla.analysis.minutes import PARTIAL_WEIGHT
from simsla.analysis.slo.judged import Judged

__all__ = ["PARTIAL_WEIGHT", "outages", "time_availability", "weighted_availability"]

Floats = npt.NDArray[np.float64]


def outages(judged: Judged, failures: int = 1, *, end_s: float) -> Floats:
    """Times down as rows (start, end): from the first of at least `failures` bad in a row to the next good.

    What lasts to the end of the log ends at `end_s`, in seconds. Raises ValueError.
    """
    least = whole(failures, "failures", 1)
    good = judged.good
    falls = np.flatnonzero(~good & np.concatenate(([True], good[:-1])))
    rises = np.flatnonzero(good & np.concatenate(([False], ~good[:-1])))
    until = np.append(rises, len(good))[: len(falls)]
    long_enough = until - falls >= least
    ends = np.append(judged.time_s, end_s)[until]
    return np.column_stack((judged.time_s[falls], ends))[long_enough]


def covered(intervals: npt.ArrayLike, start_s: float, end_s: float) -> Floats:
    """Intervals cut to [start, end] and united where they overlap, as rows."""
    rows = np.asarray(intervals, dtype=np.float64).reshape(-1, 2)
    if bool((rows[:, 1] < rows[:, 0]).any()):
        raise ValueError("intervals: expected ends that are not before their starts")
    rows = np.clip(rows, start_s, end_s)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    rows = rows[rows[:, 1] > rows[:, 0]]
    if len(rows) == 0:
        return rows
    reach = np.maximum.accumulate(rows[:, 1])
    opens = np.concatenate(([True], rows[1:, 0] > reach[:-1]))
    return np.column_stack((rows[opens, 0], reach[np.concatenate((opens[1:], [True]))]))


def seconds(intervals: npt.ArrayLike, start_s: float, end_s: float) -> float:
    rows = covered(intervals, start_s, end_s)
    return float((rows[:, 1] - rows[:, 0]).sum())


def time_availability(down: npt.ArrayLike, *, start_s: float, end_s: float) -> float:
    """The share of [start_s, end_s] outside the intervals `down`, rows of (start, end) in seconds.

    Overlapping ones count once. Raises ValueError.
    """
    return 1 - seconds(down, start_s, end_s) / float(above_zero(end_s - start_s, "end_s - start_s"))


def weighted_availability(
    major: npt.ArrayLike,
    partial: npt.ArrayLike,
    *,
    start_s: float,
    end_s: float,
    weight: float = PARTIAL_WEIGHT,
) -> float:
    """1 - (major + 0.3 x partial outage) / time, as status pages count.

    `major` and `partial` are rows of (start, end) in seconds; where both hold, the major one counts alone.
    `weight` is in [0, 1]. Raises ValueError.
    """
    total = float(above_zero(end_s - start_s, "end_s - start_s"))
    full = covered(major, start_s, end_s)
    either = np.concatenate((full, np.asarray(partial, dtype=np.float64).reshape(-1, 2)))
    down = seconds(full, start_s, end_s)
    partly = seconds(either, start_s, end_s) - down
    return 1 - (down + float(probability(weight, "weight")) * partly) / total
