"""Counts of what users wanted, however often their clients asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.records.intents import GOOD, first_requests, intents, retry_ordinals
from simsla.records.log import Columns

__all__ = ["IntentCounter", "IntentTotals", "MeasuredTime", "intent_totals"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class IntentTotals(NamedTuple):
    """Sums over the valid intents whose first request arrived in the measured time.

    Arrays by cell (see `ReplicationSummary`), that of the first request, and request class.
    """

    intents: Floats
    good: Floats
    """Those for which one of the requests was answered."""
    requests: Floats
    """First requests and retries, the last ones after the measured time, too; by request class alone."""


class MeasuredTime(NamedTuple):
    """The time in which first requests count, and the cell of each moment in it."""

    start_s: float
    end_s: float
    cell_at: Callable[[Floats], Ints]
    cells: int
    classes: int

    def totals(
        self,
        cell: Ints,
        kind: Ints,
        intents: npt.NDArray[Any],
        good: npt.NDArray[Any],
        requests: npt.NDArray[Any],
    ) -> IntentTotals:
        """Sums of the three counts of some rows, of which each has a cell and a request class."""
        place, count = cell * self.classes + kind, self.cells * self.classes
        shape = (self.cells, self.classes)
        return IntentTotals(
            group_sums(place, intents, count).reshape(shape),
            group_sums(place, good, count).reshape(shape),
            group_sums(kind, requests, self.classes),
        )


def intent_totals(requests: Columns, measured: MeasuredTime) -> IntentTotals:
    """Counts from a whole request log, since intents may begin or end outside of the measured time."""
    found = intents(requests) if retry_ordinals(requests["request"]).any() else alone(requests)
    arrival_s = found["arrival_s"]
    chosen = (arrival_s >= measured.start_s) & (arrival_s < measured.end_s) & found["valid"].astype(bool)
    return measured.totals(
        measured.cell_at(arrival_s[chosen]),
        found["request_class"][chosen].astype(np.int64),
        np.ones(int(chosen.sum())),
        found["good"][chosen],
        found["requests"][chosen],
    )


def alone(requests: Columns) -> Columns:
    """The intents of a log without retries, without sorting it."""
    good = np.isin(requests["outcome"], GOOD)
    return {**requests, "good": good, "requests": np.ones(len(good), dtype=np.int64)}


class IntentCounter:
    """The same counts from a log in pieces, whose requests come in the order in which they end.

    A client asks again only where it was not answered, so the answered requests of an intent are one or none:
    sums over requests will do. What must be remembered are the first requests that failed, for as long as
    their clients may ask again: a retry counts where its first request does, or not at all if that came
    before the measured time.
    """

    def __init__(self, measured: MeasuredTime, longest_s: float) -> None:
        """No intent takes longer than `longest_s`, from its first request to the end of its last."""
        self._measured = measured
        self._longest_s = longest_s
        self._failed = np.zeros(0, dtype=np.int64)
        self._arrival_s = np.zeros(0)

    def count(self, requests: Columns) -> IntentTotals:
        """The counts of the next piece."""
        measured, number = self._measured, requests["request"]
        first = retry_ordinals(number) == 0
        good = np.isin(requests["outcome"], GOOD)
        again = first & ~good & requests["valid"].astype(bool)
        self._remember(number[again], requests["arrival_s"][again])
        # The arrival of the first request; nan for a retry of one that is not known.
        began_s = np.where(first, requests["arrival_s"], np.nan)
        if not first.all():
            repeated = first_requests(number[~first])
            place = np.minimum(np.searchsorted(self._failed, repeated), max(len(self._failed) - 1, 0))
            known = np.zeros(len(repeated), dtype=bool)
            if len(self._failed):
                known = self._failed[place] == repeated
            began_s[np.flatnonzero(~first)[known]] = self._arrival_s[place[known]]
        if len(number):
            self._forget(float(requests["end_s"].max()) - self._longest_s)
        chosen = requests["valid"].astype(bool) & (began_s >= measured.start_s) & (began_s < measured.end_s)
        return measured.totals(
            measured.cell_at(began_s[chosen]),
            requests["request_class"][chosen].astype(np.int64),
            first[chosen],
            good[chosen],
            np.ones(int(chosen.sum())),
        )

    def _remember(self, number: Ints, arrival_s: Floats) -> None:
        failed = np.concatenate((self._failed, number))
        order = np.argsort(failed, kind="stable")
        self._failed, self._arrival_s = failed[order], np.concatenate((self._arrival_s, arrival_s))[order]

    def _forget(self, before_s: float) -> None:
        kept = self._arrival_s >= before_s
        self._failed, self._arrival_s = self._failed[kept], self._arrival_s[kept]
