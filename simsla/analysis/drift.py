"""Whether latency drifts through the measured time: warm-up not over, or a queue that never settles."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from simsla.analysis.warnings import SimslaWarning, UnstableQueueWarning, WarmupWarning

__all__ = ["drift"]

SIGNIFICANCE: Final = 1e-3
NOTABLE: Final = 0.05
"""Differences below this share of the mean latency matter to nobody."""

Floats = npt.NDArray[np.float64]


def drift(block_latency_s: Floats) -> SimslaWarning | None:
    """The warning that mean latencies by replication and part of the measured time call for, if any.

    Two parts are compared within replications, so that what a replication has of its own cancels: the end
    with the middle, then the start with the second half. Stationary input only.
    """
    overall = float(np.nanmean(block_latency_s)) if np.isfinite(block_latency_s).any() else math.nan
    last = block_latency_s.shape[1] - 1
    half = (last + 1) // 2
    growth = significant(block_latency_s[:, last] - block_latency_s[:, half - 1 : half + 1].mean(axis=1))
    if growth > NOTABLE * overall:
        return UnstableQueueWarning(
            f"Mean latency was {growth:.3g} s higher in the last tenth of the measured time than in its "
            "middle: load may exceed capacity, and averages depend on the horizon."
        )
    start = significant(block_latency_s[:, 0] - block_latency_s[:, half:].mean(axis=1))
    if abs(start) > NOTABLE * overall:
        return WarmupWarning(
            f"Mean latency in the first tenth of the measured time was {abs(start):.3g} s "
            f"{'higher' if start > 0 else 'lower'} than in its second half: the warm-up was not over."
        )
    return None


def significant(differences: Floats) -> float:
    """The mean of the differences if it cannot be chance (t test at 1e-3), else 0."""
    d = differences[np.isfinite(differences)]
    if len(d) < 3:
        return 0.0
    mean, error = float(d.mean()), float(d.std(ddof=1)) / math.sqrt(len(d))
    return mean if abs(mean) > float(stdtrit(len(d) - 1, 1 - SIGNIFICANCE / 2)) * error else 0.0
