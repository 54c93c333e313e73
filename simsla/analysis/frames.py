"""Costs, causes and episodes as pandas frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from simsla.analysis.costs import PART_MEANINGS
from simsla.analysis.episodes import EpisodeRow
from simsla.analysis.tail import CAUSE_MEANINGS

if TYPE_CHECKING:
    from simsla.analysis.metrics import Metrics

__all__ = ["cost_frame", "episode_frame", "tail_frame"]


def cost_frame(metrics: Metrics, request_class: str | None = None) -> pd.DataFrame:
    """The cost of each part by day, per 1,000 and per good request, and its share of the total."""
    meanings = dict(PART_MEANINGS)
    if request_class is None:
        meanings["pods"] = "the gateway's pods"
    else:
        del meanings["nobody"]
    columns = ("usd_per_day", "usd_per_1k_requests", "usd_per_good_request")
    rows = {
        part: [metrics.estimate(f"cost_{part}_{column}", request_class).value for column in columns]
        for part in meanings
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    frame.loc["total"] = frame.sum(skipna=False)
    total = float(frame["usd_per_day"]["total"])
    frame["share"] = frame["usd_per_day"] / total if total else math.nan
    frame["means"] = [*meanings.values(), "all of it"]
    frame.index.name = "part"
    return frame


def tail_frame(metrics: Metrics, p: float, request_class: str | None = None) -> pd.DataFrame:
    """The share of the slowest answered requests that is due to each cause, with its interval."""
    estimates = metrics.tail(p, request_class)
    return pd.DataFrame(
        [(e.value, e.ci_low, e.ci_high, e.n, CAUSE_MEANINGS[cause]) for cause, e in estimates.items()],
        columns=["share", "ci_low", "ci_high", "n", "means"],
        index=pd.Index(list(estimates), name="cause"),
    )


def episode_frame(metrics: Metrics) -> pd.DataFrame:
    """One row per fault episode."""
    rows = [(i, *row) for i, summary in enumerate(metrics.summaries) for row in summary.episodes]
    return pd.DataFrame(rows, columns=["replication", *EpisodeRow._fields])
