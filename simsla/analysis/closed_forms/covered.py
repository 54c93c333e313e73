"""The share of time that episodes cover which begin at random and may overlap."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simsla.analysis.closed_forms.formula import formula
from simsla.distributions import Exponential

if TYPE_CHECKING:
    from simsla.distributions import Distribution

__all__ = ["covered_share"]

AGES = 800
POINTS = 1000
TINY = 1e-300
LONGEST = 1 - 1e-9
"""The quantile of durations beyond which an episode counts as over."""


@formula(
    "share of time covered",
    assumes="gaps from start to start and durations are independent of one another; the long run",
    source="Takacs 1962 (busy servers of GI/G/infinity)",
)
def covered_share(gap: Distribution, duration: Distribution) -> float:
    """The share of time within at least one episode, overlapping ones united.

    `gap` runs from start to start, both are in seconds. 1 - exp(-mean duration / mean gap) for exponential
    gaps, whatever the durations. Otherwise numerically, good to about 1e-3 of the share (1e-2 where durations
    have atoms): an episode that began some time ago, and all before it, are over with a probability that
    solves a renewal equation, and the last one began as long ago as the equilibrium law of the gaps says.
    Raises ValueError where a mean is not above 0.
    """
    mean_gap, mean_duration = gap.mean(), duration.mean()
    if not (0 < mean_gap < math.inf and 0 < mean_duration < math.inf):
        raise ValueError(f"gap, duration: expected means above 0, got {mean_gap!r} and {mean_duration!r}")
    if isinstance(gap, Exponential):
        return -math.expm1(-mean_duration / mean_gap)
    return united_share(gap, duration)


@lru_cache(maxsize=256)
def united_share(gap: Distribution, duration: Distribution) -> float:
    mean_gap, longest = gap.mean(), duration.quantile(LONGEST)
    ages = np.concatenate(([0.0], np.geomspace(min(duration.mean(), longest) * 1e-6, longest, AGES)))
    gaps = gap.inverse((np.arange(POINTS) + 0.5) / POINTS)
    over_alone, over = duration.cdf(ages), np.zeros_like(ages)
    over[-1] = 1.0
    # From the longest ago on: all is over that began then if it is and all before it is, which began a gap
    # earlier. Where that falls into the same cell of the grid, the unknown is on both sides.
    for i in range(AGES - 1, -1, -1):
        earlier = ages[i] + gaps
        known = np.interp(earlier, ages[i:], over[i:]).mean()
        own = np.maximum(1 - gaps / (ages[i + 1] - ages[i]), 0.0).mean()
        over[i] = min(over_alone[i] * known / max(1 - over_alone[i] * own, TINY), 1.0)
    waiting = gap.sf(ages) / mean_gap * (1 - over)
    return float(min(max(((waiting[1:] + waiting[:-1]) / 2 * np.diff(ages)).sum(), 0.0), 1.0))
