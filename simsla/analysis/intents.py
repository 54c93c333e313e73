"""Counts of what users wanted, however often their clients asked for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.records.intents import GOOD, intents, retry_ordinals
from simsla.records.log import Columns

__all__ = ["IntentTotals", "intent_totals"]

Floats = npt.NDArray[np.float64]


class IntentTotals(NamedTuple):
    """Sums over the valid intents whose first request arrived in the measured time; an entry per request
    class.
    """

    intents: Floats
    good: Floats
    """Those for which one of the requests was answered."""
    requests: Floats
    """First requests and retries, the last ones after the measured time, too."""


def intent_totals(requests: Columns, start_s: float, end_s: float, classes: int) -> IntentTotals:
    """Counts from a whole request log, since intents may begin or end outside of the measured time."""
    found = intents(requests) if retry_ordinals(requests["request"]).any() else alone(requests)
    chosen = (found["arrival_s"] >= start_s) & (found["arrival_s"] < end_s) & found["valid"].astype(bool)
    kind = found["request_class"][chosen].astype(np.int64)

    def summed(values: npt.NDArray[Any]) -> Floats:
        return group_sums(kind, values[chosen], classes)

    return IntentTotals(summed(chosen), summed(found["good"]), summed(found["requests"]))


def alone(requests: Columns) -> Columns:
    """The intents of a log without retries, without sorting it."""
    good = np.isin(requests["outcome"], GOOD)
    return {**requests, "good": good, "requests": np.ones(len(good), dtype=np.int64)}
