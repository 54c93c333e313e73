"""What users wanted: a request and the retries that its client made by itself, taken together.

A client's retry is a request of its own, whose number says what it repeats: `number + (n << RETRY_BITS)` is
the n-th retry of `number`. So nothing else in the logs changes, and a policy sees nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.records.log import Columns
from simsla.records.names import GOOD_OUTCOMES, NOBODY, OUTCOMES

__all__ = ["GOOD", "RETRY_BITS", "first_requests", "intents", "places", "retry_ordinals"]

RETRY_BITS: Final = 52
"""First requests have numbers below 2 ** 52; what is above counts the retries of a client."""

GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]
"""The codes of the outcomes that count as available."""


def first_requests(requests: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers of the first requests of which these are retries, or which they are; nobody's stay so."""
    return np.where(requests == NOBODY, NOBODY, requests & ((1 << RETRY_BITS) - 1))


def retry_ordinals(requests: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 for a first request, n for the n-th retry of its client."""
    return np.where(requests == NOBODY, 0, requests >> RETRY_BITS)


def places(
    requests: npt.NDArray[np.int64], classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The request class (a code below `classes`) of these requests, and the place of each in its class.

    Classes take turns: the requests of class c have the numbers c, c + `classes`, c + 2 `classes` ...
    """
    place, request_class = np.divmod(first_requests(requests), classes)
    return request_class, place


def intents(requests: Mapping[str, npt.NDArray[Any]]) -> Columns:
    """The columns of a request log (see `Log`), one row per intent, in the order in which they arrived.

    `request` (the number of the first), `request_class`, `arrival_s` of the first, `end_s` and `outcome` of
    the last, `requests` (how many there were), `attempts` and `cost_usd` (of all of them), `valid` and `good`
    (whether one of them was answered; it is then the last).
    """
    first, retry = first_requests(requests["request"]), retry_ordinals(requests["request"])
    order = np.lexsort((retry, first))
    first = first[order]
    begins = np.flatnonzero(np.diff(first, prepend=NOBODY - 1))
    counts = np.diff(begins, append=len(first))
    ends = begins + counts - 1

    def of_first(name: str) -> npt.NDArray[Any]:
        return requests[name][order][begins]

    def of_last(name: str) -> npt.NDArray[Any]:
        return requests[name][order][ends]

    def added(name: str) -> npt.NDArray[Any]:
        values = requests[name][order]
        # `reduceat` has no sum of nothing.
        return np.add.reduceat(values, begins) if len(begins) else values

    columns = {
        "request": first[begins],
        "request_class": of_first("request_class"),
        "arrival_s": of_first("arrival_s"),
        "end_s": of_last("end_s"),
        "outcome": of_last("outcome"),
        "requests": counts,
        "attempts": added("attempts"),
        "cost_usd": added("cost_usd"),
        "valid": of_first("valid"),
        "good": np.isin(of_last("outcome"), GOOD),
    }
    by_arrival = np.argsort(columns["arrival_s"], kind="stable")
    return {name: column[by_arrival] for name, column in columns.items()}
