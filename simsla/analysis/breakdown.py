"""Metrics by request class and by deployment, as tidy frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from simsla.analysis.definitions import SECONDS_PER_DAY
from simsla.analysis.estimate import Estimate
from simsla.analysis.intervals import quantile_interval, ratio_interval, share_interval
from simsla.analysis.sample import Sample
from simsla.records import ATTEMPT_OUTCOMES

if TYPE_CHECKING:
    from simsla.analysis.metrics import Metrics
    from simsla.analysis.summary import ReplicationSummary

__all__ = ["breakdown"]

NOT_ERRORS: Final = ("ok", "cancelled")
QUANTILES: Final = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}

Floats = npt.NDArray[np.float64]
Row = tuple[str, str, Estimate]


def breakdown(metrics: Metrics, dimension: str) -> pd.DataFrame:
    """A row per member of the dimension and metric: value, ci_low, ci_high, n.

    "request_class": the metrics of all requests, for each class. "deployment": what is measured on the
    attempts it received. Raises ValueError for another dimension.
    """
    if dimension == "request_class":
        rows = class_rows(metrics)
    elif dimension == "deployment":
        rows = deployment_rows(metrics.summaries)
    else:
        raise ValueError(f"dimension must be 'request_class' or 'deployment', got {dimension!r}")
    columns = ["value", "ci_low", "ci_high", "n"]
    frame = pd.DataFrame([{dimension: member, "metric": name, **e.to_dict()} for member, name, e in rows])
    return frame.astype(dict.fromkeys(columns[:3], float))[[dimension, "metric", *columns]]


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
    sizes = np.array([len(s.values) for s in samples], dtype=np.float64)
    interval = quantile_interval(
        Sample.ordered(samples),
        p,
        lambda limit, inclusive: share_interval(
            np.array([s.above(limit, 1, inclusive=inclusive)[0] for s in samples], dtype=np.float64), sizes
        ),
    )
    return Estimate(*interval, n=int((sizes > 0).sum()), unit="s")
