"""Retries: what they save where failures are independent, what they cost where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import (
    Floats,
    at_least_zero,
    numbers,
    plain,
    probability,
    whole,
)
from simsla.analysis.closed_forms.formula import formula

__all__ = [
    "amplification",
    "amplification_by_state",
    "nested_amplification",
    "retry_availability",
    "retry_availability_by_state",
    "retry_storm_load",
]

INDEPENDENT = "every attempt fails with the same probability, independently; no time limit cuts retries short"
BY_STATE = "attempts of a request meet one state of the world and are independent given it"
GEOMETRIC = "geometric series, textbook"


@formula("availability with retries", assumes=INDEPENDENT, source=GEOMETRIC)
def retry_availability(failure: npt.ArrayLike, retries: int) -> Any:
    """The share of requests that succeed: 1 - p^(r + 1).

    `failure` p is the share of attempts that fail, in [0, 1]; `retries` r >= 0 come after the first attempt.
    Raises ValueError.
    """
    return plain(1 - probability(failure, "failure") ** (whole(retries, "retries") + 1))


@formula("amplification of retries", assumes=INDEPENDENT, source=GEOMETRIC)
def amplification(failure: npt.ArrayLike, retries: int) -> Any:
    """Attempts per request: (1 - p^(r + 1)) / (1 - p), which is r + 1 where everything fails.

    Arguments as `retry_availability`.
    """
    p = probability(failure, "failure")
    total = np.ones_like(p)
    for _ in range(whole(retries, "retries")):
        total = 1 + p * total
    return plain(total)


def mixture(failures: npt.ArrayLike, shares: npt.ArrayLike) -> tuple[Floats, Floats]:
    p, weight = probability(failures, "failures"), probability(shares, "shares")
    total = weight.sum(axis=-1)
    numbers(total, "shares", "shares that add up to 1", lambda x: np.abs(x - 1) <= 1e-9)
    return p, weight


@formula("availability with retries, by state", assumes=BY_STATE, source="law of total probability")
def retry_availability_by_state(failures: npt.ArrayLike, shares: npt.ArrayLike, retries: int) -> Any:
    """The share of requests that succeed where attempts share their state: 1 - sum of w p^(r + 1).

    `failures` are the shares of attempts that fail in each state and `shares` those of time (or of requests)
    in it, adding up to 1; states along the last axis. Never above `retry_availability` at the mean failure:
    what is common to all attempts cannot be retried away. Raises ValueError.
    """
    p, weight = mixture(failures, shares)
    return plain(1 - (weight * p ** (whole(retries, "retries") + 1)).sum(axis=-1))


@formula("amplification of retries, by state", assumes=BY_STATE, source="law of total probability")
def amplification_by_state(failures: npt.ArrayLike, shares: npt.ArrayLike, retries: int) -> Any:
    """Attempts per request where attempts share their state; arguments as `retry_availability_by_state`."""
    p, weight = mixture(failures, shares)
    return plain((weight * amplification(p, retries)).sum(axis=-1))


@formula(
    "amplification of nested retries",
    assumes="each layer retries what the layer below gave up; attempts at the bottom fail independently",
    source="Beyer et al., Site Reliability Engineering, 2016, chapter 22",
)
def nested_amplification(failure: npt.ArrayLike, retries: npt.ArrayLike) -> Any:
    """Attempts at the bottom per request at the top of several layers that retry.

    `failure` is the share of attempts that fail at the bottom; `retries` has one number per layer, from the
    bottom up. Where everything fails the layers multiply: three layers of four attempts make 64. Raises
    ValueError.
    """
    p = probability(failure, "failure")
    total = np.ones_like(p)
    for layer in np.atleast_1d(retries).tolist():
        total = total * amplification(p, layer)
        p = p ** (layer + 1)
    return plain(total)


@formula(
    "load at which a retry storm sustains itself",
    assumes="an overloaded service does work that comes too late; all requests are then retried to the limit",
    source="Bronson et al. 2021 (metastable failures); Brooker 2022 for retry budgets",
)
def retry_storm_load(retries: npt.ArrayLike, budget: float | None = None) -> Any:
    """The share of capacity above which load, once amplified by retries, stays overload: 1 / (1 + r).

    `retries` after the first attempt, >= 0; `budget` caps retries at that share of the requests (0.1: a
    10 % budget, which raises the bound to 0.909). Raises ValueError.
    """
    r = at_least_zero(retries, "retries")
    if budget is not None:
        r = np.minimum(r, at_least_zero(budget, "budget"))
    return plain(1 / (1 + r))
