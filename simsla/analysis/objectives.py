"""Objectives held against estimates.

An objective is met when the unfavourable end of the metric's interval meets the target, not when the value
does: a simulation too short to tell has not shown that the promise holds. Without an interval (one
replication) nothing has been shown, and the objective is not met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from simsla.analysis.definitions import MORE_IS_BETTER, QUANTILE, quantile_of
from simsla.analysis.intervals import clopper_pearson
from simsla.analysis.metrics import Metrics

__all__ = ["ObjectiveLike", "evaluate_objectives"]

Value = str | float | int | bool | None


class ObjectiveLike(Protocol):
    """A limit on a metric: the least acceptable value where more is better, else the greatest."""

    @property
    def name(self) -> str:
        """What the objective is called."""

    @property
    def metric(self) -> str:
        """A name that `Metrics.estimate` knows."""

    @property
    def target(self) -> float:
        """The limit, in the metric's unit."""


def evaluate_objectives(objectives: Sequence[ObjectiveLike], metrics: Metrics) -> list[dict[str, Value]]:
    """A row per objective, None for what is undefined.

    Keys: name, metric, request_class (an attribute an objective may have), target, value, ci_low, ci_high,
    n; `met`; `budget_spent`, the failure found over the failure allowed (for a quantile, the share of
    requests above the limit over the share that the quantile allows); `breach_probability`, the share of
    replications, each a whole horizon, that miss the target on their own, with its exact binomial interval
    `breach_ci_low`, `breach_ci_high` and the number of replications `breach_n`.
    """
    return [evaluate(objective, metrics) for objective in objectives]


def evaluate(objective: ObjectiveLike, metrics: Metrics) -> dict[str, Value]:
    request_class: str | None = getattr(objective, "request_class", None)
    more_is_better = objective.metric in MORE_IS_BETTER
    estimate = metrics.estimate(objective.metric, request_class)
    each = metrics.per_replication(objective.metric, request_class)
    each = each[np.isfinite(each)]
    missed = each < objective.target if more_is_better else each > objective.target * (1 + 1e-6)
    breach = clopper_pearson(int(missed.sum()), len(each))
    spent = budget_spent(objective, metrics, estimate.value, request_class)
    numbers = estimate.to_dict()
    return {
        "name": objective.name,
        "metric": objective.metric,
        "request_class": request_class,
        "target": objective.target,
        "value": numbers["value"],
        "ci_low": numbers["ci_low"],
        "ci_high": numbers["ci_high"],
        "n": estimate.n,
        "met": (
            estimate.ci_low >= objective.target
            if more_is_better
            else estimate.ci_high <= objective.target * (1 + 1e-6)
        ),
        "budget_spent": spent if math.isfinite(spent) else None,
        "breach_probability": breach.value if len(each) else None,
        "breach_ci_low": breach.low if len(each) else None,
        "breach_ci_high": breach.high if len(each) else None,
        "breach_n": len(each),
    }


def budget_spent(
    objective: ObjectiveLike, metrics: Metrics, value: float, request_class: str | None
) -> float:
    """What was used of what the target allows; 1 is exactly all of it, nan where nothing is allowed."""
    if QUANTILE.fullmatch(objective.metric):
        kind, p = quantile_of(objective.metric)
        used, allowed = metrics.share_above(kind, objective.target, request_class), 1 - p
    elif objective.metric in MORE_IS_BETTER:  # all of them shares
        used, allowed = 1 - value, 1 - objective.target
    else:
        used, allowed = value, objective.target
    if allowed <= 0:
        return 0.0 if used == 0 else math.nan
    return used / allowed
