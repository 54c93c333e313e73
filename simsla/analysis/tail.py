"""Why slow requests were slow: each one's seconds beyond the usual, by cause, kept by its latency.

A latency is made of what came one after another: waiting for the first attempt, attempts that did not answer,
waiting for a slot, the first token, the other tokens, and what came after them. From each, what is usual for
the request's class is taken away, and what is left is an excess:

- `output_length`: tokens beyond the usual number, at the usual seconds per token;
- `queueing`: in the router before the first attempt, and for a slot or a gateway's pod in the one that
  answered;
- `retries`: from the first attempt to the last one at the same deployment before the answer came from it or
  from elsewhere;
- `failover`: from there to the attempt elsewhere that answered;
- `slow_deployment`: a first token later, and tokens slower, than usual; and waiting until a hedge was sent
  that then answered;
- `other`: classifying and checking, all of a request that no attempt answered (out of a cache), and a request
  of which nothing is unusual.

A request counts for each cause by that cause's part of its excess, so the shares add up to 1. They are kept
in buckets of latency (see `simsla.analysis.sketch`), so any tail can be asked for afterwards, and tails of
many runs can be put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.answering import ANSWER, HEDGE, answering, related
from simsla.analysis.sketch import bucket_of

__all__ = ["CAUSE_MEANINGS", "TAIL_CAUSES", "TYPICAL_ROWS", "Blamed", "Typical", "blame", "typical"]

CAUSE_MEANINGS: Final[dict[str, str]] = {
    "output_length": "answers longer than usual",
    "queueing": "waiting in the router, for a pod or for a slot",
    "retries": "trying the same deployment again",
    "failover": "attempts elsewhere before the one that answered",
    "slow_deployment": "first tokens and tokens slower than usual",
    "other": "classifying, checking, no attempt at all, or nothing unusual",
}
TAIL_CAUSES: Final = tuple(CAUSE_MEANINGS)
LENGTH, QUEUEING, RETRIES, FAILOVER, SLOW, OTHER = range(len(TAIL_CAUSES))

TYPICAL_ROWS: Final = 10_000
"""The first so many requests of a log, warm-up included, say what is usual."""
BITS: Final = 16

Columns = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Blamed:
    """Answered requests by class, bucket of latency and cause: `keys` are class << 16 | bucket, ascending.

    `shares` has a row per key and a column per code of `TAIL_CAUSES`; a row adds up to the requests in it.
    """

    keys: Ints
    shares: Floats

    @classmethod
    def of(cls, keys: Ints, shares: Floats) -> Blamed:
        """Rows in any order, those of one key added up."""
        # Keys are small numbers: counting them all costs less than sorting them.
        distinct = np.flatnonzero(np.bincount(keys))
        sums = [np.bincount(keys, column, 1)[distinct] for column in shares.T]
        return cls(distinct, np.stack(sums, axis=1))

    @classmethod
    def merged(cls, parts: Sequence[Blamed]) -> Blamed:
        """Several as one."""
        return cls.of(np.concatenate([p.keys for p in parts]), np.concatenate([p.shares for p in parts]))

    def regrouped(self, group_of: Ints) -> Blamed:
        """The same with other classes: `group_of` has the new class of each old one."""
        bucket = self.keys & ((1 << BITS) - 1)
        return Blamed.of((group_of[self.keys >> BITS] << BITS) | bucket, self.shares)

    def tail(self, limit_s: float, request_class: int | None) -> Floats:
        """Requests by cause among those as slow as `limit_s` or slower, to within a bucket (0.8 %)."""
        slow = (self.keys & ((1 << BITS) - 1)) >= int(bucket_of(np.array([limit_s]))[0])
        if request_class is not None:
            slow &= self.keys >> BITS == request_class
        total: Floats = self.shares[slow].sum(axis=0)
        return total


@dataclass(frozen=True, slots=True)
class Typical:
    """The medians of a request class, an entry each; of all classes where none was answered, nan without
    any.
    """

    first_token_s: Floats
    tokens: Floats
    per_token_s: Floats


def typical(
    requests: Columns, attempts: Columns, owner: Ints, good: npt.NDArray[np.bool_], classes: int
) -> Typical:
    """What is usual, by the attempts that answered."""
    row = answering(requests, attempts, owner, good)
    of, kind = row[row >= 0], requests["request_class"][row >= 0]
    served = serving(attempts, of)

    def medians(values: Floats) -> Floats:
        known = np.isfinite(values)
        overall = float(np.median(values[known])) if known.any() else np.nan
        each = [values[known & (kind == code)] for code in range(classes)]
        return np.array([np.median(own) if len(own) else overall for own in each], dtype=np.float64)

    return Typical(*(medians(values) for values in served))


def serving(attempts: Columns, rows: Ints) -> tuple[Floats, Floats, Floats]:
    """Seconds to the first token of these attempts once they were served, their tokens, seconds per token."""
    begins_s = attempts["start_s"][rows] + attempts["queued_s"][rows]
    first_s = attempts["first_token_s"][rows] - begins_s
    # Without a first token, the whole answer is one.
    first_s = np.where(np.isfinite(first_s), first_s, attempts["end_s"][rows] - begins_s)
    tokens = np.maximum(attempts["tokens_out"][rows].astype(np.float64), 1.0)
    return first_s, tokens, (attempts["end_s"][rows] - begins_s - first_s) / tokens


def blame(
    requests: Columns, attempts: Columns, owner: Ints, answered: npt.NDArray[np.bool_], usual: Typical
) -> Blamed:
    """The causes of answered requests' latencies; `owner` is the row of each attempt's request, or -1."""
    row = answering(requests, attempts, owner, answered)
    known, unknown = np.flatnonzero(row >= 0), np.flatnonzero(answered & (row < 0))
    both = np.concatenate((known, unknown))
    latency = np.maximum(requests["end_s"] - requests["arrival_s"], 0.0)[both]
    excess = np.zeros((len(TAIL_CAUSES), len(both)))
    excess[OTHER, len(known) :] = latency[len(known) :]
    explain(excess[:, : len(known)], requests, attempts, owner, known, row[known], usual)

    # What is within rounding of nothing is no excess.
    excess[~(excess > 1e-9 * latency)] = 0.0
    total = excess.sum(axis=0)
    excess[OTHER, total == 0] = 1.0
    excess /= np.where(total > 0, total, 1.0)
    key = (requests["request_class"][both].astype(np.int64) << BITS) | bucket_of(latency)
    return Blamed.of(key, excess.T)


def explain(
    excess: Floats, requests: Columns, attempts: Columns, owner: Ints, known: Ints, of: Ints, usual: Typical
) -> None:
    """Writes seconds beyond the usual by cause (rows): of the requests `known`, answered by attempts `of`."""
    count = len(requests["request"])
    start_s = attempts["start_s"][of]
    begins_s = firsts(attempts, owner, count, np.ones(len(owner), dtype=bool))[known]
    asks_s = firsts(attempts, owner, count, attempts["purpose"] == ANSWER)[known]
    excess[QUEUEING] = begins_s - requests["arrival_s"][known] + attempts["queued_s"][of]
    excess[OTHER] = asks_s - begins_s + requests["end_s"][known] - attempts["end_s"][of]

    if bool((start_s > asks_s).any()):
        stays_s = last_of_first(attempts, owner, known, of, asks_s)
        hedged = related(attempts, owner, count)[of] == HEDGE
        excess[RETRIES] = np.where(hedged, 0, stays_s - asks_s)
        excess[FAILOVER] = np.where(hedged, 0, start_s - stays_s)
        excess[SLOW] = np.where(hedged, start_s - asks_s, 0)

    kind = requests["request_class"][known].astype(np.int64)
    first_s, tokens, per_token_s = serving(attempts, of)
    usual_s = usual.per_token_s[kind]
    excess[LENGTH] = (tokens - usual.tokens[kind]) * usual_s
    slower_s = np.maximum(first_s - usual.first_token_s[kind], 0.0)
    excess[SLOW] += slower_s + np.maximum(per_token_s - usual_s, 0.0) * tokens


def firsts(attempts: Columns, owner: Ints, count: int, chosen: npt.NDArray[np.bool_]) -> Floats:
    """When the first of the chosen attempts of each request started; inf without one."""
    result = np.full(count, np.inf)
    rows = np.flatnonzero(chosen & (owner >= 0))
    np.minimum.at(result, owner[rows], attempts["start_s"][rows])
    return result


def last_of_first(attempts: Columns, owner: Ints, known: Ints, of: Ints, asks_s: Floats) -> Floats:
    """When the last attempt at the deployment asked first began, no later than the one that answered."""
    count = int(owner.max(initial=-1)) + 1
    begins, answers = np.full(count, np.inf), np.full(count, -np.inf)
    begins[known], answers[known] = asks_s, attempts["start_s"][of]
    rows = np.flatnonzero((attempts["purpose"] == ANSWER) & (owner >= 0))
    rows = rows[attempts["start_s"][rows] <= answers[owner[rows]]]
    whose, start_s = owner[rows], attempts["start_s"][rows]
    place = np.full(count, -1, dtype=np.int64)
    earliest = start_s == begins[whose]
    place[whose[earliest]] = attempts["deployment"][rows[earliest]]
    same = attempts["deployment"][rows] == place[whose]
    latest = np.full(count, -np.inf)
    np.maximum.at(latest, whose[same], start_s[same])
    return latest[known]
