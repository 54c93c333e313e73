"""Objectives held against estimates.

An objective is met when the unfavourable end of the metric's interval meets the target, not when the value
does: a simulation too short to tell has not shown that the promise holds. Without an interval (one
replication), without any request, or where the end of a quantile's lies beyond all that was seen, nothing has
been shown, and the objective is not met.

Objectives that are promises about requests (see `simsla.analysis.promises`) have an error budget of 30 days,
the alerts of the SRE Workbook, and the probability that a month misses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from simsla.analysis.definitions import MORE_IS_BETTER, QUANTILE, quantile_of
from simsla.analysis.intervals import clopper_pearson
from simsla.analysis.metrics import Metrics
from simsla.analysis.months import DrawnMonths, Months, months_from_faults, months_from_runs
from simsla.analysis.promises import ObjectiveLike, Promise, alert_rows, promise_of
from simsla.analysis.slo.credits import SCHEDULES

__all__ = ["Judgement", "ObjectiveLike", "evaluate_objectives"]


class Judgement:
    """One objective held against what was simulated; its parts are computed when they are asked for."""

    def __init__(
        self,
        objective: ObjectiveLike,
        metrics: Metrics,
        months: Callable[[], DrawnMonths | None] = lambda: None,
        seed: int = 0,
    ) -> None:
        """`months` draws months of the scenario's faults; None, and without it: none are drawn."""
        self.objective = objective
        self.metrics = metrics
        self._drawn_months = months
        self._seed = seed

    @cached_property
    def promise(self) -> Promise | None:
        """What it promises of requests; None where it is not about single requests."""
        return promise_of(self.objective, self.metrics)

    @cached_property
    def months(self) -> Months | None:
        """The availabilities of months; None without a promise."""
        if self.promise is None:
            return None
        summaries = self.metrics.summaries
        months = None if self.metrics.strata is None else self._drawn_months()
        if months is not None:
            return months_from_faults([s.cells for s in summaries], self.promise, months, self._seed)
        return months_from_runs(self.promise, summaries[0].seconds, self._seed)

    def row(self) -> dict[str, Any]:
        """Everything as plain data: see `evaluate_objectives`."""
        return evaluate(self.objective, self.metrics) | self.of_promise() | self.credit()

    def of_promise(self) -> dict[str, Any]:
        """What only a promise about requests has; None elsewhere."""
        row: dict[str, Any] = dict.fromkeys(
            (
                "month_budget_s",
                "month_miss_probability",
                "month_miss_ci_low",
                "month_miss_ci_high",
                "month_worst_of_20",
                "month_median",
                "months",
                "months_method",
            )
        )
        row["alerts"] = []
        if self.promise is None or self.months is None:
            return row
        missed = self.months.missed(self.promise.target).to_dict()
        told = self.months.availability[~np.isnan(self.months.availability)]
        return row | {
            "month_budget_s": (1 - self.promise.target) * 30 * 86_400.0,
            "month_miss_probability": missed["value"],
            "month_miss_ci_low": missed["ci_low"],
            "month_miss_ci_high": missed["ci_high"],
            "month_worst_of_20": float(np.quantile(told, 0.05)) if len(told) else None,
            "month_median": float(np.median(told)) if len(told) else None,
            "months": missed["n"],
            "months_method": self.months.method,
            "alerts": alert_rows(self.promise),
        }

    def credit(self) -> dict[str, Any]:
        """The expected credit, as a share of the month's bill; empty without a schedule."""
        name = getattr(self.objective, "credits", None)
        if name is None or self.months is None:
            return {}
        schedule = SCHEDULES[name]
        expected = self.months.estimate(lambda months: float(np.mean(schedule.credit(months)))).to_dict()
        return {
            "credits": name,
            "expected_credit": expected["value"],
            "expected_credit_ci_low": expected["ci_low"],
            "expected_credit_ci_high": expected["ci_high"],
        }


def evaluate_objectives(
    objectives: Sequence[ObjectiveLike],
    metrics: Metrics,
    *,
    months: Callable[[], DrawnMonths | None] = lambda: None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A row per objective, None for what is undefined.

    Keys: name, metric, request_class (an attribute an objective may have), target, value, ci_low, ci_high,
    n; `met`; `budget_spent`, the failure found over the failure allowed (for a quantile, the share of
    requests above the limit over the share that the quantile allows); `breach_probability`, the share of
    replications, each a whole horizon, that miss the target on their own, with its exact binomial interval
    `breach_ci_low`, `breach_ci_high` and the number of replications `breach_n`.

    Of availability and of quantiles of latency: `month_budget_s`, the error budget of 30 days in seconds of
    full outage; `month_miss_probability` with its interval `month_miss_ci_low`, `month_miss_ci_high`, from
    the distribution of monthly availability (for a latency the share of requests within the limit), of which
    `month_median` and `month_worst_of_20` (the 5 % quantile) are told, over `months` months made as
    `months_method` says (see `simsla.analysis.months`); `alerts`, a row per rule of the SRE Workbook (see
    `simsla.analysis.promises.alert_rows`). With a schedule of `credits`, its name and the `expected_credit`
    of a month as a share of the bill, with its interval.
    """
    return [Judgement(objective, metrics, months, seed).row() for objective in objectives]


def evaluate(objective: ObjectiveLike, metrics: Metrics) -> dict[str, Any]:
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
            else estimate.ci_high <= objective.target * (1 + 1e-6) and not estimate.open_above
        )
        and any(metrics.outcomes.values()),
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
