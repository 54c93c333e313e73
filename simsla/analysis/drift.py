"""Whether latency drifts through the measured time: warm-up not over, or a queue that never settles."""

from __future__ import annotations

import math
import warnings
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from simsla.analysis.warnings import SimslaWarning, UnstableQueueWarning, WarmupWarning

__all__ = ["drift", "settled", "significant"]

SIGNIFICANCE: Final = 1e-3
NOTABLE: Final = 0.05
"""Differences below this share of the mean latency matter to nobody."""
TENTHS: Final = 10
HALF: Final = TENTHS // 2

Floats = npt.NDArray[np.float64]


def drift(block_latency_s: Floats) -> SimslaWarning | None:
    """The warning that mean latencies by replication and part of the measured time call for, if any.

    Tenths of the measured time are compared within replications, so that what a replication has of its own
    cancels: the last with the middle, then the first with the second half. Stationary input only.
    """
    tenths = tenths_of(block_latency_s)
    overall = float(np.nanmean(tenths)) if np.isfinite(tenths).any() else math.nan
    growth = significant(tenths[:, -1] - tenths[:, HALF - 1 : HALF + 1].mean(axis=1))
    if growth > NOTABLE * overall:
        return UnstableQueueWarning(
            f"Mean latency was {growth:.3g} s higher in the last tenth of the measured time than in its "
            "middle: load may exceed capacity, and averages depend on the horizon."
        )
    start = significant(tenths[:, 0] - tenths[:, HALF:].mean(axis=1))
    if abs(start) > NOTABLE * overall:
        share = settled(block_latency_s)
        advice = (
            "lengthen it"
            if share is None
            else f"by the MSER rule it should last {share:.0%} of the measured time longer"
        )
        return WarmupWarning(
            f"Mean latency in the first tenth of the measured time was {abs(start):.3g} s "
            f"{'higher' if start > 0 else 'lower'} than in its second half: the warm-up "
            f"was not over; {advice}."
        )
    return None


def settled(block_latency_s: Floats) -> float | None:
    """The share of the measured time to leave out by the MSER rule: the cut with the least standard error.

    MSER (White, 1997) minimises sum((x - mean)^2) / m^2 over the m values after the cut, here of the mean
    over replications in each part. None where the least lies in the second half: it cannot be told.
    """
    mean = nanmean(block_latency_s, axis=0)
    x = mean[np.isfinite(mean)]
    if len(x) < TENTHS:
        return None
    left = np.arange(len(x), 0, -1)
    after = np.cumsum(x[::-1])[::-1]
    squares = np.cumsum(x[::-1] ** 2)[::-1]
    error = np.maximum(squares - after**2 / left, 0.0) / left**2
    cut = int(error[: max(1, len(x) - HALF)].argmin())
    return None if cut >= len(x) // 2 else cut / len(x)


def significant(differences: Floats, level: float = SIGNIFICANCE) -> float:
    """The mean of the differences if it cannot be chance (two-sided t test at the level), else 0."""
    d = differences[np.isfinite(differences)]
    if len(d) < 3:
        return 0.0
    mean, error = float(d.mean()), float(d.std(ddof=1)) / math.sqrt(len(d))
    return mean if abs(mean) > float(stdtrit(len(d) - 1, 1 - level / 2)) * error else 0.0


def tenths_of(block_latency_s: Floats) -> Floats:
    """Means over the parts of each tenth; parts without a request are left out."""
    return nanmean(block_latency_s.reshape(len(block_latency_s), TENTHS, -1), axis=2)


def nanmean(values: Floats, axis: int) -> Floats:
    """Means of the finite values; nan where there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")
        mean: Floats = np.nanmean(values, axis=axis)
    return mean
