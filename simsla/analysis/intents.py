"""Counts of what users wanted, however often their clients asked for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.records.intents import GOOD, first_requests, intents, retry_ordinals
from simsla.records.log import Columns

__all__ = ["IntentCounter", "IntentTotals", "intent_totals"]

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


class IntentCounter:
    """The same counts from a log in pieces, whose requests come in the order in which they end.

    A client asks again only where it was not answered, so the answered requests of an intent are one or none:
    sums over requests will do. What must be remembered are the numbers of the requests of the warm-up that
    failed, since their retries may come in the measured time and do not belong to it.
    """

    def __init__(self, start_s: float, end_s: float, classes: int) -> None:
        """For first requests that arrive in [start_s, end_s); nobody makes one later, but for retries."""
        self._start_s = start_s
        self._end_s = end_s
        self._classes = classes
        self._before = np.zeros(0, dtype=np.int64)

    def count(self, requests: Columns) -> IntentTotals:
        """The counts of the next piece."""
        ordinal = retry_ordinals(requests["request"])
        first = ordinal == 0
        arrival_s, good = requests["arrival_s"], np.isin(requests["outcome"], GOOD)
        failed_before = first & ~good & (arrival_s < self._start_s)
        self._before = np.concatenate((self._before, requests["request"][failed_before]))
        chosen = requests["valid"].astype(bool) & (arrival_s >= self._start_s)
        chosen &= ~first | (arrival_s < self._end_s)
        if len(self._before) and not first.all():
            chosen &= ~np.isin(first_requests(requests["request"]), self._before)
        kind = requests["request_class"].astype(np.int64)

        def summed(which: npt.NDArray[np.bool_]) -> Floats:
            return group_sums(kind[which], np.ones(int(which.sum())), self._classes)

        return IntentTotals(summed(chosen & first), summed(chosen & good), summed(chosen))
