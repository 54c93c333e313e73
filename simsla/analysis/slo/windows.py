"""Availability as contracts count it: by windows of requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero, probability
from simsla.analysis.slo.judged import Counts

__all__ = ["by_period", "interval_availability", "window_availability", "window_errors"]

Floats = npt.NDArray[np.float64]


def window_errors(judged: Counts, window_s: float, *, start_s: float, end_s: float) -> Floats:
    """The share of bad in each whole window [start, start + w), ... up to `end_s`.

    nan where there was nothing. Seconds. Raises ValueError where not even one window fits.
    """
    total, bad = window_counts(judged, window_s, start_s, end_s)
    return np.where(total > 0, bad / np.maximum(total, 1.0), np.nan)


def window_counts(judged: Counts, window_s: float, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    count = int((end_s - start_s) / float(above_zero(window_s, "window_s")) + 1e-9)
    if count < 1:
        raise ValueError(f"window_s: expected at most {end_s - start_s:g}, the time of the log")
    # Half-open to the right: what falls on an edge belongs to the window that begins there.
    edges = np.nextafter(start_s + window_s * np.arange(count + 1), -np.inf)
    return judged.counts(edges[:-1], edges[1:])


def window_availability(
    judged: Counts, error_share: float, window_s: float = 300.0, *, start_s: float, end_s: float
) -> float:
    """The share of windows whose share of bad is below `error_share`, in (0, 1].

    The window-based definition with an error-rate threshold; a window without requests is up. Seconds. Raises
    ValueError.
    """
    if float(probability(error_share, "error_share")) == 0:
        raise ValueError("error_share: expected a share above 0, got 0")
    errors = window_errors(judged, window_s, start_s=start_s, end_s=end_s)
    return float((np.nan_to_num(errors, nan=0.0) < error_share).mean())


def interval_availability(judged: Counts, window_s: float = 300.0, *, start_s: float, end_s: float) -> float:
    """The mean over windows of the share of good; a window without requests counts as 1.

    How Amazon Bedrock's SLA counts, in five minutes: a quiet hour weighs as much as a busy one. Seconds.
    Raises ValueError.
    """
    errors = window_errors(judged, window_s, start_s=start_s, end_s=end_s)
    return float(1 - np.nan_to_num(errors, nan=0.0).mean())


def by_period(judged: Counts, period_s: float, *, start_s: float, end_s: float) -> Floats:
    """The request-based availability of each whole period, such as a month; nan where there was nothing.

    Seconds. Raises ValueError.
    """
    return np.asarray(1 - window_errors(judged, period_s, start_s=start_s, end_s=end_s), dtype=np.float64)
