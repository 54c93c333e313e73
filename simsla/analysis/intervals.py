"""Intervals from independent replications, or from other independent clusters.

Every function takes one number per cluster and never looks inside one: requests of a cluster share its
faults and are not independent. The level is 95 % throughout. Transformed scales keep the ends in range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, expit, logit, stdtrit

__all__ = [
    "Interval",
    "clopper_pearson",
    "mean_interval",
    "quantile_interval",
    "quantile_rank",
    "ratio_interval",
    "ratio_spread",
    "share_interval",
    "t_quantile",
    "unseen_share",
]

Floats = npt.NDArray[np.float64]

TAIL: Final = 0.025
"""The probability left out at each end."""


AGREEMENT: Final = 1e-9
"""A standard error on the logit scale that is rounding, not spread."""


class Ordered(Protocol):
    """Numbers in ascending order, such as an array."""

    def __len__(self) -> int: ...
    def __getitem__(self, rank: int, /) -> Any: ...


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval; nan at both ends where there is none."""

    value: float
    low: float
    high: float


class Spread(NamedTuple):
    """A pooled ratio, its standard error and the degrees of freedom of that error."""

    ratio: float
    standard_error: float
    degrees_of_freedom: float


def t_quantile(degrees_of_freedom: npt.ArrayLike) -> Floats:
    """The 97.5 % quantile of Student's t; fractional degrees of freedom are allowed."""
    # Below 0.05 the quantile exceeds 1e25 and the routine loses its way; beyond 1e9 it is the normal one.
    return np.asarray(stdtrit(np.clip(degrees_of_freedom, 0.05, 1e9), 1 - TAIL), dtype=np.float64)


def unseen_share(n: npt.ArrayLike) -> Floats:
    """The largest share of a population that `n` independent draws miss with a probability of 2.5 %.

    The exact form of the rule of three: 1 - 0.025^(1/n), about 3.7/n.
    """
    return -np.expm1(math.log(TAIL) / np.maximum(n, 1e-12))


def clopper_pearson(successes: float, trials: float) -> Interval:
    """The exact binomial interval (Clopper and Pearson 1934)."""
    if trials <= 0:
        return Interval(math.nan, math.nan, math.nan)
    low = float(betaincinv(successes, trials - successes + 1, TAIL)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - TAIL)) if successes < trials else 1.0
    return Interval(successes / trials, low, high)


def mean_interval(values: npt.ArrayLike) -> Interval:
    """The mean of independent values, with a t interval; for quantities of either sign."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(t_quantile(len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half)


def ratio_spread(numerators: Floats, denominators: Floats) -> Spread:
    """The pooled ratio sum(y) / sum(x) with its standard error across clusters.

    The linearised residual of each cluster is divided by one minus the cluster's part of the denominator:
    the delete-one jackknife, equal to plain linearisation where clusters are of one size and safer where
    one dominates. Kish's effective number of clusters, less one, gives the degrees of freedom. Clusters
    without denominator take no part.
    """
    present = denominators > 0
    y, x = numerators[present], denominators[present]
    n, total = len(x), float(x.sum())
    if n == 0:
        return Spread(math.nan, math.nan, 0.0)
    ratio = float(y.sum()) / total
    if n == 1:
        return Spread(ratio, math.nan, 0.0)
    part = x / total
    residuals = (y - ratio * x) / (1 - part)
    standard_error = math.sqrt((n - 1) / n * float(residuals @ residuals)) / total
    return Spread(ratio, standard_error, 1 / float(part @ part) - 1)


def share_interval(successes: Floats, trials: Floats) -> Interval:
    """A pooled share, with a t interval across clusters on the logit scale.

    With no success, or nothing but successes, the clusters show no spread: the end is then the rule of
    three, which assumes that trials are independent of one another.
    """
    spread = ratio_spread(successes, trials)
    share, error = spread.ratio, spread.standard_error
    if math.isnan(error):
        return Interval(share, math.nan, math.nan)
    total = float(trials.sum())
    if share <= 0:
        return Interval(0.0, 0.0, float(unseen_share(total)))
    if share >= 1:
        return Interval(1.0, 1 - float(unseen_share(total)), 1.0)
    degrees_of_freedom = spread.degrees_of_freedom
    if error <= AGREEMENT * share * (1 - share):
        # Clusters that agree to the last digit must not claim more than independent trials would.
        error, degrees_of_freedom = math.sqrt(share * (1 - share) / total), total
    half = float(t_quantile(degrees_of_freedom)) * error / (share * (1 - share))
    return contain(share, float(expit(logit(share) - half)), float(expit(logit(share) + half)))


def ratio_interval(numerators: Floats, denominators: Floats) -> Interval:
    """A pooled ratio of non-negative quantities, with a t interval across clusters on the log scale."""
    spread = ratio_spread(numerators, denominators)
    ratio, error = spread.ratio, spread.standard_error
    if math.isnan(error):
        return Interval(ratio, math.nan, math.nan)
    if ratio <= 0:
        return Interval(ratio, ratio, ratio)
    with np.errstate(over="ignore"):
        factor = float(np.exp(t_quantile(spread.degrees_of_freedom) * error / ratio))
    return Interval(ratio, ratio / factor, ratio * factor)


def quantile_rank(p: float, count: int) -> int:
    """The rank, from 0, of the p-quantile: the least value that a share p of the values do not exceed."""
    return min(max(math.ceil(p * count - 1e-9) - 1, 0), count - 1)


def quantile_interval(ordered: Ordered, p: float, share_above: Callable[[float, bool], Interval]) -> Interval:
    """The pooled p-quantile of `ordered`, with the interval that inverts a test of its level.

    `share_above(q, inclusive)` is the interval of the share of values above q (of those at q too, if
    inclusive). A value q is in the interval if 1 - p is in the interval of the share above q (Woodruff
    1952), so the ends are observed values. An end beyond the largest value cannot be seen: it is the largest.
    """
    if len(ordered) == 0:
        return Interval(math.nan, math.nan, math.nan)
    rank = quantile_rank(p, len(ordered))
    value = float(ordered[rank])
    if math.isnan(share_above(value, False).low):
        return Interval(value, math.nan, math.nan)
    tail = 1 - p
    low = first(0, rank, lambda i: share_above(float(ordered[i]), False).low <= tail)
    high = first(rank + 1, len(ordered), lambda i: share_above(float(ordered[i]), True).high < tail) - 1
    return Interval(value, float(ordered[low]), float(ordered[high]))


def first(start: int, stop: int, holds: Callable[[int], bool]) -> int:
    """The first index in [start, stop) at which a monotone condition holds; `stop` if none."""
    while start < stop:
        middle = (start + stop) // 2
        if holds(middle):
            stop = middle
        else:
            start = middle + 1
    return start


def contain(value: float, low: float, high: float) -> Interval:
    """An interval whose ends rounding has not moved past the value."""
    return Interval(value, min(low, value), max(high, value))
