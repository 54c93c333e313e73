"""Objectives as promises about single requests: which requests keep one, and what it allows.

An objective of availability is kept by requests that are answered; its target is the share that must be. One
of a quantile of latency, such as `latency_p99_s` <= 2, is kept by requests that take no longer than the
limit; the share that must is the quantile's level, 0.99. Both have an error budget, burn-rate alerts and
months that miss them. Objectives of other metrics, such as cost, have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from simsla.analysis.definitions import QUANTILE, quantile_of
from simsla.analysis.limits import ROUNDING, Limit
from simsla.analysis.metrics import Metrics
from simsla.analysis.slo.burn import WORKBOOK_RULES, Alert, alerts
from simsla.analysis.slo.per_minute import CountedMinutes

if TYPE_CHECKING:
    import pandas as pd

    from simsla.scenario import Scenario

__all__ = ["ObjectiveLike", "Promise", "alert_frame", "alert_rows", "latency_limits", "promise_of"]

Floats = npt.NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class Promise:
    """Requests that are told of, and bad ones among them: by minute and replication, and by cell.

    `target` is the share of requests that must be good. `minutes` is None where they were not counted: a
    limit on latency that no objective of the scenario set before the run.
    """

    target: float
    minutes: tuple[CountedMinutes, ...] | None
    bad: tuple[Floats, ...]
    trials: tuple[Floats, ...]


def latency_limits(scenario: Scenario) -> tuple[Limit, ...]:
    """The limits of the scenario's objectives for quantiles of latency, each once."""
    return tuple(
        dict.fromkeys(
            limit_of(objective) for objective in scenario.objectives if QUANTILE.fullmatch(objective.metric)
        )
    )


def limit_of(objective: ObjectiveLike) -> Limit:
    kind, _ = quantile_of(objective.metric)
    return Limit(kind, objective.target, getattr(objective, "request_class", None))


def promise_of(objective: ObjectiveLike, metrics: Metrics) -> Promise | None:
    """What an objective promises of requests; None for metrics that are not about single requests.

    None, too, where nothing may fail: there is no budget. Raises KeyError for an unknown class.
    """
    request_class: str | None = getattr(objective, "request_class", None)
    summaries = metrics.summaries
    minutes: tuple[CountedMinutes, ...] | None
    if objective.metric == "availability":
        if objective.target >= 1:
            return None
        good, trials = metrics.counts("availability", request_class)
        bad = [total - fine for total, fine in zip(trials, good, strict=True)]
        of = slice(None) if request_class is None else [metrics.request_classes.index(request_class)]
        minutes = tuple(CountedMinutes.of(s.minutes[of].sum(axis=0)) for s in summaries)
        return Promise(objective.target, minutes, tuple(bad), tuple(trials))
    if not QUANTILE.fullmatch(objective.metric):
        return None
    kind, p = quantile_of(objective.metric)
    limit = limit_of(objective)
    bad, trials = metrics.counts_above(kind, objective.target * (1 + ROUNDING), request_class)
    minutes = None
    if all(limit in s.limits for s in summaries):
        minutes = tuple(CountedMinutes.of(s.over[s.limits.index(limit)]) for s in summaries)
    return Promise(p, minutes, tuple(bad), tuple(trials))


def alerts_of(promise: Promise) -> list[tuple[int, Alert]]:
    """The replication and the alert of each time that a rule of the Workbook would have fired."""
    return [
        (replication, alert)
        for replication, minutes in enumerate(promise.minutes or ())
        for alert in alerts(minutes, promise.target, start_s=0.0, end_s=minutes.seconds)
    ]


def alert_frame(promise: Promise, start_s: float = 0.0) -> pd.DataFrame:
    """One row per alert: replication, rule, severity, start_s, end_s, budget_spent.

    Times are those of the logs: `start_s` is where the measured time begins. Rules are evaluated every
    minute, on requests that had arrived by then. `budget_spent` is the share of a 30-day budget that was gone
    when it fired, counted from the start of the measured time.
    """
    import pandas as pd

    rows = [
        (replication, a.rule.name, a.rule.severity, start_s + a.start_s, start_s + a.end_s, a.budget_spent)
        for replication, a in alerts_of(promise)
    ]
    columns = ["replication", "rule", "severity", "start_s", "end_s", "budget_spent"]
    return pd.DataFrame(rows, columns=columns)


def alert_rows(promise: Promise) -> list[dict[str, Any]]:
    """A row for each of the Workbook's rules: how often it would have fired, when, and at what cost.

    `fired` over all replications, `replications` in which it did, and of those the medians of `first_s`
    (seconds into the measured time) and `budget_spent` (the share of a 30-day budget gone at that moment).
    """
    if promise.minutes is None:
        return []
    found = alerts_of(promise)
    rows: list[dict[str, Any]] = []
    for rule in WORKBOOK_RULES:
        mine = [(replication, alert) for replication, alert in found if alert.rule == rule]
        first: dict[int, Alert] = {}
        for replication, alert in mine:
            first.setdefault(replication, alert)
        rows.append(
            {
                "rule": rule.name,
                "severity": rule.severity,
                "fired": len(mine),
                "replications": len(first),
                "first_s": float(np.median([a.start_s for a in first.values()])) if first else None,
                "budget_spent": float(np.median([a.budget_spent for a in first.values()])) if first else None,
            }
        )
    return rows
