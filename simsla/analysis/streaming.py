"""A recorder that keeps no log: rows are reduced by the ten thousand, and only sums and sketches stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.summary import Piece, Reducer, ReplicationSummary
from simsla.analysis.tail import TYPICAL_ROWS
from simsla.analysis.ties import find_ties
from simsla.records import NOBODY, OUTCOMES, Log
from simsla.records.intents import places
from simsla.records.log import ATTEMPT_ROW, REQUEST_ROW, Columns
from simsla.records.recorder import Rows

__all__ = ["SummaryRecorder"]

ENOUGH: Final = 1 << 16
"""Rows at which reducing begins: about 5 MB."""


class SummaryRecorder:
    """Reduces a run while it goes on. Its memory does not grow with the number of requests.

    A request is reduced `hold_s` seconds after it ended, together with its attempts. That must be as long as
    any request can take; so an attempt that ended so long ago, and whose request is not there, was outlived
    by it: one of a task that a policy left running. It is credited to the class of its request, told by its
    number, as a first attempt, and belongs to the measured time if it started in it.

    What stays grows with the simulated time (counts by the minute) and with fault episodes (counts by their
    states), not with requests.
    """

    def __init__(self, reducer: Reducer, hold_s: float) -> None:
        """`reducer` must be one for logs in pieces."""
        self._reducer = reducer
        self._hold_s = hold_s
        self._requests = Rows(REQUEST_ROW, self._reduce_if_due)
        self._attempts = Rows(ATTEMPT_ROW, self._reduce_if_due)
        self.close_request = self._requests.append
        self.attempt = self._attempts.append
        self._blocks = 0
        self._due = 2
        self._total: Piece | None = None

    def open_request(self, request: int, request_class: int, arrival_s: float) -> None:
        """Nothing is kept until the request ends."""

    def finished(self, pods_usd: float = 0.0) -> ReplicationSummary:
        """The summary of the run, when it has ended; `pods_usd` as in `summarise`."""
        requests, attempts = self._requests.columns(), self._attempts.columns()
        everything = np.ones(len(requests["request"]), dtype=np.bool_)
        self._reduce(requests, attempts, everything, np.inf)
        assert self._total is not None
        return self._reducer.finished(self._total, pods_usd)

    def _reduce_if_due(self) -> None:
        """Called after each block of rows; many that must wait for longer are not sorted each time."""
        self._blocks += 1
        if self._blocks < self._due:
            return
        requests, attempts = self._requests.columns(), self._attempts.columns()
        now = max(float(rows["end_s"][-1]) for rows in (requests, attempts) if len(rows["end_s"]))
        settled = requests["end_s"] <= now - self._hold_s
        # The first piece says what is usual, so it must hold as many as that takes.
        if self._total is not None or settled.sum() >= TYPICAL_ROWS:
            self._reduce(requests, attempts, settled, now - self._hold_s)
        waiting = len(self._requests.columns()["end_s"]) + len(self._attempts.columns()["end_s"])
        self._blocks = 0
        self._due = max(2, 4 * waiting // ENOUGH)

    def _reduce(
        self, requests: Columns, attempts: Columns, settled: npt.NDArray[np.bool_], ended_s: float
    ) -> None:
        """Reduce the settled requests; attempts that ended by `ended_s` have no request still open."""
        owner = attempts["request"]
        open_still = np.isin(owner, requests["request"][~settled])
        mine = np.isin(owner, requests["request"][settled]) & ~open_still
        old = (attempts["end_s"] <= ended_s) & ~mine & ~open_still
        nobodys = old & (owner == NOBODY)
        late = old & ~nobodys
        log = self._log(chosen(requests, settled), chosen(attempts, mine | nobodys))
        self._add(self._reducer.reduce(log))
        if late.any():
            self._add(self._outlived(chosen(attempts, late)))
        self._requests.keep(~settled)
        self._attempts.keep(~(mine | old))

    def _add(self, piece: Piece) -> None:
        # At once: what is counted by the minute takes as much in a piece as in all of them together.
        self._total = piece if self._total is None else self._reducer.added([self._total, piece])

    def _outlived(self, attempts: Columns) -> Piece:
        """Attempts whose requests are reduced already: what they cost is counted, and no request."""
        number, first = np.unique(attempts["request"], return_index=True)
        start_s = attempts["start_s"][first]
        requests = {name: np.zeros(len(number), REQUEST_ROW[name]) for name in REQUEST_ROW.names or ()}
        requests |= {
            "request": number,
            "request_class": places(number, len(self._reducer.request_classes))[0],
            "arrival_s": start_s,
            "end_s": start_s,
            "outcome": np.full(len(number), OUTCOMES.index("error"), dtype=np.int8),
            "deployment": np.full(len(number), -1, dtype=np.int16),
        }
        return without_requests(self._reducer.reduce(self._log(requests, attempts)))

    def _log(self, requests: Columns, attempts: Columns) -> Log:
        return Log.of(requests, attempts, self._reducer.request_classes, self._reducer.deployments)


def chosen(columns: Columns, rows: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def without_requests(piece: Piece) -> Piece:
    """The same, but that nothing arrived: of requests that are not valid only these two counts are kept."""

    def emptied(summary: ReplicationSummary) -> ReplicationSummary:
        none = np.zeros(0, dtype=np.float64)
        empty = {"arrival_s": none}, {"outcome": none, "start_s": none, "end_s": none}
        return replace(
            summary,
            requests=replace(summary.requests, requests=np.zeros_like(summary.requests.requests)),
            ties=find_ties(Log(*empty, summary.request_classes, summary.deployments)),
        )

    return piece._replace(
        summary=emptied(piece.summary), regions=None if piece.regions is None else emptied(piece.regions)
    )
