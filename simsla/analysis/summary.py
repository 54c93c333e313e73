"""What is kept of one replication: counts, sums and sorted latencies, small enough to leave its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.analysis.intents import IntentTotals, intent_totals
from simsla.analysis.load import needed_slots
from simsla.analysis.poststratify import MEMORY_S, Cells
from simsla.analysis.quality import quality_of
from simsla.analysis.sample import Sample
from simsla.analysis.states import fault_intervals, state_path
from simsla.analysis.ties import Ties, find_ties
from simsla.records import ATTEMPT_OUTCOMES, CACHE_HITS, GOOD_OUTCOMES, NOBODY, OUTCOMES, Log

if TYPE_CHECKING:
    from simsla.world.environment import Environment

__all__ = ["BLOCKS", "ReplicationSummary", "summarise"]

BLOCKS: Final = 100
"""Equal parts of the measured time in which latency is followed."""

GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class RequestTotals:
    """Sums over the requests that arrived in the measured time, valid or not; an entry per request class."""

    requests: Floats
    attempts: Floats
    cost_usd: Floats
    latency_s: Floats
    """Sum of the latencies of answered requests."""
    latency_all_s: Floats
    """The same with valid requests that failed, each at its deadline."""
    ttft_s: Floats
    ttft_count: Floats
    cache_hits: Floats
    """Answered valid requests by request class and code of `CACHE_HITS`."""
    intents: IntentTotals
    """The same requests by what was wanted: a client's retries belong to its first request."""


@dataclass(frozen=True, slots=True)
class AttemptTotals:
    """Sums over the attempts of those requests; an entry per deployment, or a row (deployment, ...)."""

    outcomes: Floats
    """Attempts by deployment and outcome."""
    cost_usd: Floats
    tokens_in: Floats
    tokens_out: Floats
    answered: Floats
    """Requests that the deployment answered."""
    quality: Floats
    """The sum of the quality of these answers."""
    latency: Sample
    """Latency of successful attempts, from start to end; groups are deployments."""


@dataclass(frozen=True, slots=True)
class ReplicationSummary:
    """One replication, reduced to what metrics need. Picklable; about 8 bytes a request.

    Requests belong to the measured time if they arrive in it, whenever they end. Attempts follow their
    request; those of nobody count if they start in it. `valid` counts valid requests by cell, request class
    and outcome. A cell is a row of `cells`.
    """

    seconds: float
    request_classes: tuple[str, ...]
    deployments: tuple[str, ...]
    cells: Cells
    valid: Ints
    requests: RequestTotals
    attempts: AttemptTotals
    tokens: Floats
    """Tokens billed, by request class and direction (in, out)."""
    latency: Sample
    """Latency of answered valid requests; groups are request classes."""
    lost: Sample
    """The deadlines of valid requests that failed."""
    ttft: Sample
    """Time from arrival to the first token of answered valid requests."""
    unattributed: int
    """Attempts that belong to no request."""
    block_latency_s: Floats
    """Mean latency in successive parts of the measured time, failed requests at their deadline."""
    needed_slots: Floats
    """The slots that attempts needed on average, by deployment."""
    ties: Ties
    """Unrelated events that fell on one instant."""
    quality: Floats | None
    """The sum of the quality of answers to valid requests, by cell and request class; None: not known."""
    pods_usd: float
    """What the gateway's pods cost in the measured time."""


def summarise(
    log: Log,
    *,
    start_s: float,
    end_s: float,
    environment: Environment | None = None,
    quality: Sequence[Sequence[float]] | None = None,
    pods_usd: float = 0.0,
) -> ReplicationSummary:
    """Reduces the log of a replication to the requests that arrived in [start_s, end_s).

    What came before `start_s` is warm-up and left out. `environment` holds the drawn fault episodes: with
    them a law of the environment can be brought in when intervals are made. Scheduled faults do not belong
    there: they are the same in every replication, as the traffic's shape is. `quality` are scores by
    deployment and request class, `pods_usd` is what the gateway's pods cost.
    """
    if not end_s > start_s:
        raise ValueError(f"end_s ({end_s}) must be greater than start_s ({start_s})")
    inside = (log.requests["arrival_s"] >= start_s) & (log.requests["arrival_s"] < end_s)
    requests = rows(log.requests, inside)
    classes, deployments = len(log.request_classes), len(log.deployments)

    cells, cell = locate(environment, requests["arrival_s"], start_s, end_s)
    count = len(cells.state)
    kind = requests["request_class"].astype(np.int64)
    outcome = requests["outcome"].astype(np.int64)
    good = np.isin(outcome, GOOD)
    valid = requests["valid"].astype(bool)
    answered, failed = valid & good, valid & ~good
    latency = requests["end_s"] - requests["arrival_s"]
    latency_all = np.where(good, latency, requests["deadline_s"])
    ttft = requests["first_token_s"] - requests["arrival_s"]
    streamed = answered & np.isfinite(ttft)

    def per_class(values: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> Floats:
        return group_sums(kind[chosen], values[chosen], classes)

    def sample(values: Floats, chosen: npt.NDArray[np.bool_]) -> Sample:
        return Sample.of(values[chosen], kind[chosen], cell[chosen], count)

    everyone = np.ones(len(kind), dtype=bool)
    scored = np.zeros(len(kind)) if quality is None else quality_of(requests, answered, quality)
    index = (cell * classes + kind) * len(OUTCOMES) + outcome
    attempts, owner = attempts_of(log, requests["request"], start_s, end_s)
    owned = owner >= 0
    block = ((requests["arrival_s"] - start_s) * (BLOCKS / (end_s - start_s))).astype(np.int64)
    block = np.minimum(block, BLOCKS - 1)[valid]
    with np.errstate(invalid="ignore"):
        followed = np.bincount(block, latency_all[valid], BLOCKS) / np.bincount(block, minlength=BLOCKS)
    owner_class = kind[owner[owned]]
    return ReplicationSummary(
        seconds=end_s - start_s,
        request_classes=log.request_classes,
        deployments=log.deployments,
        cells=cells,
        valid=np.bincount(index[valid], minlength=count * classes * len(OUTCOMES)).reshape(
            count, classes, len(OUTCOMES)
        ),
        requests=RequestTotals(
            requests=per_class(everyone, everyone),
            attempts=per_class(requests["attempts"], everyone),
            cost_usd=per_class(requests["cost_usd"], everyone),
            latency_s=per_class(latency, answered),
            latency_all_s=per_class(latency_all, valid),
            ttft_s=per_class(ttft, streamed),
            ttft_count=per_class(streamed, streamed),
            cache_hits=np.stack(
                [
                    per_class(answered, answered & (requests["cache_hit"] == code))
                    for code in range(len(CACHE_HITS))
                ],
                axis=1,
            ),
            intents=intent_totals(log.requests, start_s, end_s, classes),
        ),
        attempts=attempt_totals(attempts, requests["deployment"][answered], scored[answered], deployments),
        tokens=np.stack(
            [group_sums(owner_class, attempts[name][owned], classes) for name in ("tokens_in", "tokens_out")],
            axis=1,
        ),
        latency=sample(latency, answered),
        lost=sample(latency_all, failed),
        ttft=sample(ttft, streamed),
        unattributed=int((~owned).sum()),
        block_latency_s=followed,
        needed_slots=needed_slots(attempts, deployments, end_s - start_s),
        ties=find_ties(log),
        quality=None
        if quality is None
        else group_sums(cell * classes + kind, scored, count * classes).reshape(count, classes),
        pods_usd=pods_usd,
    )


def rows(columns: Columns, chosen: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[chosen] for name, column in columns.items()}


def locate(
    environment: Environment | None, arrival_s: Floats, start_s: float, end_s: float
) -> tuple[Cells, Ints]:
    """The cells of the measured time, and the cell of each arrival."""
    faults = [] if environment is None else fault_intervals(environment, start_s, end_s)
    path = state_path(faults, start_s, end_s)
    identity = np.stack((path.spell.astype(np.uint64), path.state))
    (spell, state), of_visit = np.unique(identity, axis=1, return_inverse=True)
    count = len(state)
    cells = Cells(
        state=state,
        spell=spell.astype(np.int64),
        seconds=group_sums(of_visit, path.seconds, count),
        stretches=group_sums(of_visit, np.maximum(path.seconds / MEMORY_S, 1), count),
    )
    return cells, of_visit[path.at(arrival_s)]


ATTEMPT_COLUMNS: Final = (
    "deployment",
    "outcome",
    "start_s",
    "queued_s",
    "end_s",
    "cost_usd",
    "tokens_in",
    "tokens_out",
)
"""What is counted of attempts; the rest of a long log is not copied."""


def attempts_of(log: Log, request: npt.NDArray[Any], start_s: float, end_s: float) -> tuple[Columns, Ints]:
    """The attempts that belong to the measured time, and the row of each one's request; -1 for nobody's."""
    columns = log.attempts
    order = np.argsort(request, kind="stable")
    ordered = request[order]
    place = np.searchsorted(ordered, columns["request"])
    found = np.zeros(len(place), dtype=bool)
    within = place < len(ordered)
    found[within] = ordered[place[within]] == columns["request"][within]
    stray = (columns["request"] == NOBODY) & (columns["start_s"] >= start_s) & (columns["start_s"] < end_s)
    chosen = found | stray
    owner = np.full(len(place), -1, dtype=np.int64)
    owner[found] = order[place[found]]
    return rows({name: columns[name] for name in ATTEMPT_COLUMNS}, chosen), owner[chosen]


def attempt_totals(
    attempts: Columns, answering: npt.NDArray[Any], quality: Floats, deployments: int
) -> AttemptTotals:
    deployment = attempts["deployment"].astype(np.int64)
    outcome = attempts["outcome"].astype(np.int64)
    kinds = len(ATTEMPT_OUTCOMES)
    succeeded = outcome == ATTEMPT_OUTCOMES.index("ok")
    latency = (attempts["end_s"] - attempts["start_s"])[succeeded]
    code = deployment[succeeded]

    def summed(name: str) -> Floats:
        return group_sums(deployment, attempts[name], deployments)

    counts = np.bincount(deployment * kinds + outcome, minlength=deployments * kinds)
    return AttemptTotals(
        outcomes=counts.reshape(deployments, kinds).astype(np.float64),
        cost_usd=summed("cost_usd"),
        tokens_in=summed("tokens_in"),
        tokens_out=summed("tokens_out"),
        answered=np.bincount(answering[answering >= 0], minlength=deployments).astype(np.float64),
        quality=group_sums(answering[answering >= 0], quality[answering >= 0], deployments),
        latency=Sample.of(latency, code, np.zeros(len(code), dtype=np.int64), 1),
    )
