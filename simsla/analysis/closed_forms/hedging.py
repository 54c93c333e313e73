"""Hedging and fan-out: the first of several, the last of several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import at_least_zero, numbers, plain, probability, whole
from simsla.analysis.closed_forms.formula import formula

if TYPE_CHECKING:
    from simsla.distributions import Distribution

__all__ = [
    "fan_out_quantile_s",
    "fan_out_slow_share",
    "first_of_quantile_s",
    "hedge_extra_load",
    "hedged_quantile_s",
    "hedged_survival",
]

IID = "latencies of all attempts are independent, of one distribution and not changed by the extra load"
ORDER = "order statistics, David 1970"
TAIL = "Dean and Barroso 2013"

BISECTIONS = 100


def delay(delay_s: float) -> float:
    return float(at_least_zero(delay_s, "delay_s"))


@formula("hedged latency beyond t", assumes=IID, source=ORDER)
def hedged_survival(t_s: npt.ArrayLike, latency: Distribution, delay_s: float) -> Any:
    """The share of requests that take longer than `t_s` seconds: S(t) before the delay, then S(t) S(t - d).

    A second attempt starts after `delay_s` seconds (>= 0) where there is no answer yet, and the first answer
    counts. To hedge at a quantile: `delay_s=latency.quantile(0.95)`. Raises ValueError.
    """
    t, d = np.asarray(t_s, dtype=np.float64), delay(delay_s)
    # A distribution without outcomes below 0 has S = 1 there.
    late = np.where(t >= d, latency.sf(np.maximum(t - d, 0.0)), 1.0)
    return plain(np.where(t < 0, 1.0, latency.sf(np.maximum(t, 0.0)) * late))


@formula("hedged latency quantile", assumes=IID, source=ORDER)
def hedged_quantile_s(p: float, latency: Distribution, delay_s: float) -> float:
    """The latency in seconds that a share `p`, in (0, 1), of hedged requests does not exceed.

    Found by bisection of `hedged_survival`, to the last digits; other arguments as there.
    """
    if not 0 < p < 1:
        raise ValueError(f"p: expected a number in (0, 1), got {p!r}")
    # Two attempts are never slower than one, nor faster than two at once.
    low, high = latency.quantile(first_level(p, 2)), latency.quantile(p)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if hedged_survival(middle, latency, delay_s) > 1 - p:
            low = middle
        else:
            high = middle
    return high


@formula("extra load of a hedge", assumes=IID, source=TAIL)
def hedge_extra_load(latency: Distribution, delay_s: float) -> Any:
    """Second attempts per request, S(delay): exactly 5 % for a hedge at the p95 of a continuous latency.

    Counts attempts, not their work. Raises ValueError.
    """
    return plain(latency.sf(np.asarray(delay(delay_s))))


def first_level(p: float, attempts: int) -> float:
    return -math.expm1(math.log1p(-p) / attempts)


@formula("quantile of the first of n", assumes=IID, source=ORDER)
def first_of_quantile_s(p: float, latency: Distribution, attempts: int) -> float:
    """The latency in seconds that a share `p` in [0, 1) does not exceed where n attempts start together.

    The first answer counts: the quantile of one at the level 1 - (1 - p)^(1/n). Raises ValueError.
    """
    level = float(numbers(p, "p", "a number in [0, 1)", lambda x: (x >= 0) & (x < 1)))
    return latency.quantile(first_level(level, whole(attempts, "attempts", 1)))


@formula("slow share of a fan-out", assumes=IID, source=TAIL)
def fan_out_slow_share(p: npt.ArrayLike, calls: int) -> Any:
    """The share of requests of which at least one of n calls is slower than the p-quantile: 1 - p^n.

    `p` is in [0, 1], `calls` n >= 0. Raises ValueError.
    """
    return plain(1 - probability(p, "p") ** whole(calls, "calls"))


@formula("quantile of the last of n", assumes=IID, source=ORDER)
def fan_out_quantile_s(p: float, latency: Distribution, calls: int) -> float:
    """The latency in seconds that a share `p` in [0, 1) does not exceed where all of n calls are needed.

    The quantile of one at the level p^(1/n). Raises ValueError.
    """
    level = float(numbers(p, "p", "a number in [0, 1)", lambda x: (x >= 0) & (x < 1)))
    return latency.quantile(level ** (1 / whole(calls, "calls", 1)))
