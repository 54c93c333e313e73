"""Metrics by request class, deployment, tier and region, as tidy frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from simsla.analysis.definitions import SECONDS_PER_DAY
from simsla.analysis.estimate import Estimate
from simsla.analysis.groups import of_classes, of_deployments
from simsla.analysis.intervals import quantile_interval, ratio_interval, share_interval
from simsla.analysis.sample import Sample
from simsla.distributions import nearest
from simsla.records import ATTEMPT_OUTCOMES

if TYPE_CHECKING:
    from simsla.analysis.metrics import Metrics
    from simsla.analysis.summary import ReplicationSummary

__all__ = ["DIMENSIONS", "breakdown"]

DIMENSIONS: Final = ("request_class", "deployment", "tier", "region", "asked_tier", "client_region")
NOT_ERRORS: Final = ("ok", "cancelled")
QUANTILES: Final = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}

Floats = npt.NDArray[np.float64]
Row = tuple[str, str, Estimate]


def breakdown(metrics: Metrics, dimension: str) -> pd.DataFrame:
    """A row per member of the dimension and metric: value, ci_low, ci_high, n.

    "request_class", "asked_tier" (the tier for which classes ask) and "client_region": the metrics of all
    requests, for each. "deployment", and "tier" and "region" of deployments: what is measured on the attempts
    they received. Raises ValueError for another dimension, and for one of which the scenario is not told.
    """
    rows = member_rows(metrics, dimension)
    columns = ["value", "ci_low", "ci_high", "n"]
    frame = pd.DataFrame([{dimension: member, "metric": name, **e.to_dict()} for member, name, e in rows])
    return frame.astype(dict.fromkeys(columns[:3], float))[[dimension, "metric", *columns]]


def member_rows(metrics: Metrics, dimension: str) -> Iterator[Row]:
    summaries, groups = metrics.summaries, metrics.groups
    if dimension == "request_class":
        return class_rows(metrics)
    if dimension == "deployment":
        return deployment_rows(summaries)
    if dimension not in DIMENSIONS:
        close = nearest(dimension, DIMENSIONS)
        meant = f"; did you mean {close!r}?" if close else ""
        raise ValueError(f"dimension: expected one of {', '.join(DIMENSIONS)}, got {dimension!r}{meant}")
    if dimension == "client_region":
        regions = [s.regions for s in summaries if s.regions is not None]
        if not regions:
            raise ValueError("client_region: the scenario does not say where requests come from")
        return class_rows(metrics.of(regions))
    if groups is None:
        raise ValueError(f"{dimension}: these metrics are not told of the scenario")
    if dimension == "asked_tier":
        return class_rows(metrics.of([of_classes(s, groups.asked_tier) for s in summaries]))
    names = groups.tier if dimension == "tier" else groups.region
    return deployment_rows(tuple(of_deployments(s, names) for s in summaries))


def class_rows(metrics: Metrics) -> Iterator[Row]:
    for name in metrics.request_classes:
        for metric, estimate in metrics.all(name).items():
            yield name, metric, estimate


def deployment_rows(summaries: tuple[ReplicationSummary, ...]) -> Iterator[Row]:
    """Traffic, errors by kind, cost, tokens and latency of attempts.

    How often a deployment is tried depends on the state of the environment through the policy, so these
    shares are not post-stratified: they have t intervals across replications.
    """
    days = np.array([s.seconds for s in summaries]) / SECONDS_PER_DAY
    totals = [s.attempts for s in summaries]
    answered = np.array([t.answered.sum() for t in totals])
    for code, name in enumerate(summaries[0].deployments):
        outcomes = np.stack([t.outcomes[code] for t in totals])
        attempts = outcomes.sum(axis=1)
        yield name, "traffic_share", shared(np.array([t.answered[code] for t in totals]), answered)
        if summaries[0].quality is not None:
            answers = np.array([t.answered[code] for t in totals])
            yield name, "quality_mean", shared(np.array([t.quality[code] for t in totals]), answers)
        yield name, "attempts_per_day", per_day(attempts, days)
        failed = [i for i, outcome in enumerate(ATTEMPT_OUTCOMES) if outcome not in NOT_ERRORS]
        yield name, "error_share", shared(outcomes[:, failed].sum(axis=1), attempts)
        for i, outcome in enumerate(ATTEMPT_OUTCOMES):
            if outcome != "ok":
                yield name, f"{outcome}_share", shared(outcomes[:, i], attempts)
        for column, metric in (
            ("cost_usd", "cost_usd"),
            ("tokens_in", "tokens_in"),
            ("tokens_out", "tokens_out"),
        ):
            values = np.array([float(getattr(t, column)[code]) for t in totals])
            yield name, f"{metric}_per_day", per_day(values, days, "usd" if column == "cost_usd" else "")
        samples = [t.latency.only(code) for t in totals]
        for metric, p in QUANTILES.items():
            yield name, metric, quantile(samples, p)


def shared(counts: Floats, of: Floats) -> Estimate:
    return Estimate(*share_interval(counts, of), n=int((of > 0).sum()), unit="share")


def per_day(values: Floats, days: Floats, unit: str = "") -> Estimate:
    return Estimate(*ratio_interval(values, days), n=len(days), unit=unit)


def quantile(samples: list[Sample], p: float) -> Estimate:
    sizes = np.array([len(s) for s in samples], dtype=np.float64)
    interval = quantile_interval(
        Sample.ordered(samples),
        p,
        lambda limit, inclusive: share_interval(
            np.array([s.above(limit, 1, inclusive=inclusive)[0] for s in samples], dtype=np.float64), sizes
        ),
    )
    return Estimate(*interval, n=int((sizes > 0).sum()), unit="s")
