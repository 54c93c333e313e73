"""What is kept of one replication: counts, sums and sorted latencies, small enough to leave its process.

A summary is made of a whole log by `summarise`, or of its pieces by a `Reducer`, which adds them up; sketches
(see `simsla.analysis.sketch`) then stand for the latencies, and its size does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.adding import added
from simsla.analysis.costs import part_of, split_costs
from simsla.analysis.episodes import EpisodeCounts, EpisodePlan, EpisodeRow, episode_rows
from simsla.analysis.grouping import group_sums
from simsla.analysis.intents import IntentCounter, IntentTotals, MeasuredTime, intent_totals
from simsla.analysis.limits import Limit, count_over
from simsla.analysis.load import SlotTotals, slot_totals
from simsla.analysis.minutes import Minutes, count_minutes, middles_s
from simsla.analysis.poststratify import MEMORY_S, Cells
from simsla.analysis.quality import QualityTotals, quality_totals
from simsla.analysis.sample import Sample
from simsla.analysis.states import StatePath, fault_intervals, state_path
from simsla.analysis.tail import TYPICAL_ROWS, Blamed, Typical, blame, typical
from simsla.analysis.ties import Ties, find_ties
from simsla.records import ATTEMPT_OUTCOMES, CACHE_HITS, GOOD_OUTCOMES, NOBODY, OUTCOMES, Log

if TYPE_CHECKING:
    from simsla.world.environment import Environment

__all__ = ["BLOCKS", "ClientRegions", "Piece", "Reducer", "ReplicationSummary", "summarise"]

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
    """One replication, reduced to what metrics need. Picklable; about 20 bytes a request, less in sketches.

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
    costs: Floats
    """The cost of attempts by request class and part (a code of `COST_PARTS`); a last row has nobody's."""
    tokens: Floats
    """Tokens billed, by request class and direction (in, out)."""
    latency: Sample
    """Latency of answered valid requests; groups are request classes."""
    lost: Sample
    """The deadlines of valid requests that failed."""
    failed: Sample
    """The seconds until valid requests that failed had ended."""
    ttft: Sample
    """Time from arrival to the first token of answered valid requests."""
    slow: Blamed
    """The causes of the latency of answered valid requests."""
    minutes: Minutes
    minute_cell: Ints
    """The cell of the middle of each minute."""
    limits: tuple[Limit, ...]
    """The limits on latency that objectives set."""
    over: Minutes
    """Requests by limit, minute, and (told of, over the limit)."""
    unattributed: int
    """Attempts that belong to no request."""
    blocks: Floats
    """The sum of latencies in successive parts of the measured time, failed requests at their deadline, and
    the number of valid requests in each."""
    slots: SlotTotals
    ties: Ties
    """Unrelated events that fell on one instant."""
    quality: Floats | None
    """The sum of the quality of answers to valid requests, by cell and request class; None: not known."""
    episodes: tuple[EpisodeRow, ...]
    """The fault episodes that began in the measured time."""
    regions: ReplicationSummary | None
    """The same with the regions that requests come from in place of their classes; None without any."""
    pods_usd: float
    """What the gateway's pods cost in the measured time."""

    @property
    def block_latency_s(self) -> Floats:
        """Mean latency in successive parts of the measured time, failed requests at their deadline."""
        with np.errstate(invalid="ignore"):
            mean: Floats = self.blocks[0] / self.blocks[1]
        return mean

    @property
    def needed_slots(self) -> Floats:
        """The slots that attempts needed on average, by deployment."""
        return self.slots.needed(self.seconds)


class Piece(NamedTuple):
    """A part of a log, reduced: what adds up to a summary, and what is told of it only when all is added."""

    summary: ReplicationSummary
    episodes: EpisodeCounts
    quality: QualityTotals | None
    regions: ReplicationSummary | None


class ClientRegions(NamedTuple):
    """The regions that requests come from, and the code of each request's (-1: none) by number and class."""

    names: tuple[str, ...]
    of: Callable[[Ints, npt.NDArray[np.integer[Any]]], Ints]


def summarise(
    log: Log,
    *,
    start_s: float,
    end_s: float,
    environment: Environment | None = None,
    quality: Sequence[Sequence[float]] | None = None,
    pods_usd: float = 0.0,
    episodes: EpisodePlan | None = None,
    regions: ClientRegions | None = None,
    limits: tuple[Limit, ...] = (),
) -> ReplicationSummary:
    """Reduces the log of a replication to the requests that arrived in [start_s, end_s).

    What came before `start_s` is warm-up and left out. `environment` holds the drawn fault episodes: with
    them a law of the environment can be brought in when intervals are made. Scheduled faults do not belong
    there: they are the same in every replication, as the traffic's shape is. `quality` are scores by
    deployment and request class, `pods_usd` is what the gateway's pods cost, `episodes` are those around
    which it is told how long they were felt, `regions` are those of clients, `limits` are those on latency
    that are counted by minute. Raises ValueError for a time without length.
    """
    reducer = Reducer(
        log.request_classes,
        log.deployments,
        start_s=start_s,
        end_s=end_s,
        environment=environment,
        quality=quality,
        episodes=episodes,
        regions=regions,
        limits=limits,
    )
    return reducer.finished(reducer.reduce(log), pods_usd)


class Reducer:
    """Reduces logs, or pieces of one, of a run whose environment and measured time are known."""

    def __init__(
        self,
        request_classes: tuple[str, ...],
        deployments: tuple[str, ...],
        *,
        start_s: float,
        end_s: float,
        environment: Environment | None = None,
        quality: Sequence[Sequence[float]] | None = None,
        episodes: EpisodePlan | None = None,
        regions: ClientRegions | None = None,
        limits: tuple[Limit, ...] = (),
        longest_s: float | None = None,
    ) -> None:
        """See `summarise`. With `longest_s` logs come one after another, and latencies are kept in buckets.

        It is the longest that a client goes on asking for one thing, its retries included.
        """
        if not end_s > start_s:
            raise ValueError(f"end_s ({end_s}) must be greater than start_s ({start_s})")
        self.request_classes = request_classes
        self.deployments = deployments
        self.start_s = start_s
        self.end_s = end_s
        self.quality = quality
        self.episodes = episodes
        self.sample = Sample.of if longest_s is None else Sample.sketched
        self.regions = regions
        self.limits = limits
        self.by_region: Reducer | None = None
        if regions is not None:
            self.by_region = Reducer(
                regions.names,
                deployments,
                start_s=start_s,
                end_s=end_s,
                environment=environment,
                longest_s=longest_s,
            )
        self.cells, self._path, self._cell_of_visit = locate(environment, start_s, end_s)
        self.minute_cell = self.cell_at(middles_s(start_s, end_s))
        self.measured = MeasuredTime(
            start_s, end_s, self.cell_at, len(self.cells.state), len(request_classes)
        )
        self.intents = None if longest_s is None else IntentCounter(self.measured, longest_s)
        self.usual: Typical | None = None
        """What is usual for each class: set by the first piece of a log, which must hold `TYPICAL_ROWS`."""

    def cell_at(self, time_s: Floats) -> Ints:
        """The cell of each time, in seconds; those before or after the measured time are in its ends."""
        cell: Ints = self._cell_of_visit[self._path.at(time_s)]
        return cell

    def reduce(self, log: Log) -> Piece:
        """A log, or a piece of one: requests that ended one after another, with all of their attempts."""
        start_s, end_s = self.start_s, self.end_s
        classes, deployments = len(self.request_classes), len(self.deployments)
        if self.usual is None:
            self.usual = usual_of(log)
        inside = (log.requests["arrival_s"] >= start_s) & (log.requests["arrival_s"] < end_s)
        requests = rows(log.requests, inside)
        cell = self.cell_at(requests["arrival_s"])
        count = len(self.cells.state)
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
            return self.sample(values[chosen], kind[chosen], cell[chosen], count)

        everyone = np.ones(len(kind), dtype=bool)
        index = (cell * classes + kind) * len(OUTCOMES) + outcome
        attempts, owner = attempts_of(log, requests["request"], start_s, end_s)
        owned = owner >= 0
        owner_class = np.full(len(owner), -1, dtype=np.int64)
        owner_class[owned] = kind[owner[owned]]
        block = ((requests["arrival_s"] - start_s) * (BLOCKS / (end_s - start_s))).astype(np.int64)
        block = np.minimum(block, BLOCKS - 1)[valid]
        summary = ReplicationSummary(
            seconds=end_s - start_s,
            request_classes=self.request_classes,
            deployments=self.deployments,
            cells=self.cells,
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
                intents=intent_totals(log.requests, self.measured)
                if self.intents is None
                else self.intents.count(log.requests),
            ),
            attempts=attempt_totals(attempts, requests, answered, deployments, self.quality, self.sample),
            costs=split_costs(
                part_of(requests, attempts, owner, good), attempts["cost_usd"], owner_class, classes
            ),
            tokens=np.stack(
                [
                    group_sums(owner_class[owned], attempts[name][owned], classes)
                    for name in ("tokens_in", "tokens_out")
                ],
                axis=1,
            ),
            latency=sample(latency, answered),
            lost=sample(latency_all, failed),
            failed=sample(latency, failed),
            ttft=sample(ttft, streamed),
            slow=blame(requests, attempts, owner, answered, self.usual),
            minutes=count_minutes(
                kind[valid], requests["arrival_s"][valid] - start_s, failed[valid], classes, end_s - start_s
            ),
            minute_cell=self.minute_cell,
            limits=self.limits,
            over=count_over(requests, good, self.request_classes, self.limits, start_s, end_s),
            unattributed=int((~owned).sum()),
            blocks=np.stack(
                [
                    group_sums(block, latency_all[valid], BLOCKS),
                    group_sums(block, np.ones(len(block)), BLOCKS),
                ]
            ),
            slots=slot_totals(attempts, deployments),
            ties=find_ties(log),
            quality=None,
            episodes=(),
            regions=None,
            pods_usd=0.0,
        )
        return Piece(
            summary,
            EpisodeCounts(())
            if self.episodes is None
            else self.episodes.count(requests["arrival_s"][valid], failed[valid], attempts, owner),
            None if self.quality is None else quality_totals(requests, answered, self.quality, cell, count),
            None if self.by_region is None else self.reduced_by_region(log),
        )

    def reduced_by_region(self, log: Log) -> ReplicationSummary:
        """The same with each request in the region it came from, if it came from one."""
        assert self.regions is not None
        assert self.by_region is not None
        code = self.regions.of(log.requests["request"], log.requests["request_class"])
        requests = rows({**log.requests, "request_class": code}, code >= 0)
        return self.by_region.reduce(Log(requests, log.attempts, self.regions.names, log.deployments)).summary

    def added(self, pieces: Sequence[Piece]) -> Piece:
        """Several pieces as one."""
        cells = len(self.cells.state)
        regions = [piece.regions for piece in pieces if piece.regions is not None]
        return Piece(
            added([piece.summary for piece in pieces], cells),
            EpisodeCounts.merged([piece.episodes for piece in pieces]),
            None if self.quality is None else added([piece.quality for piece in pieces], cells),
            added(regions, cells) if regions else None,
        )

    def finished(self, piece: Piece, pods_usd: float = 0.0) -> ReplicationSummary:
        """The summary of the whole log."""
        return replace(
            piece.summary,
            quality=None
            if piece.quality is None or self.quality is None
            else piece.quality.sums(np.asarray(self.quality, dtype=np.float64)),
            episodes=() if self.episodes is None else episode_rows(self.episodes, piece.episodes),
            regions=piece.regions,
            pods_usd=pods_usd,
        )


def usual_of(log: Log) -> Typical:
    """What is usual for each class, by the first requests of a log."""
    requests = {name: column[:TYPICAL_ROWS] for name, column in log.requests.items()}
    good = np.isin(requests["outcome"], GOOD) & requests["valid"].astype(bool)
    attempts, owner = attempts_of(log, requests["request"], -np.inf, -np.inf)
    return typical(requests, attempts, owner, good, len(log.request_classes))


def rows(columns: Columns, chosen: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[chosen] for name, column in columns.items()}


def locate(environment: Environment | None, start_s: float, end_s: float) -> tuple[Cells, StatePath, Ints]:
    """The cells of the measured time, the visits to states, and the cell of each visit."""
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
    return cells, path, of_visit


ATTEMPT_COLUMNS: Final = (
    "deployment",
    "purpose",
    "outcome",
    "start_s",
    "queued_s",
    "first_token_s",
    "end_s",
    "cancelled",
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
    attempts: Columns,
    requests: Columns,
    answered: npt.NDArray[np.bool_],
    deployments: int,
    scores: Sequence[Sequence[float]] | None,
    sample: Callable[[npt.NDArray[Any], Ints, Ints, int], Sample],
) -> AttemptTotals:
    deployment = attempts["deployment"].astype(np.int64)
    outcome = attempts["outcome"].astype(np.int64)
    kinds = len(ATTEMPT_OUTCOMES)
    succeeded = outcome == ATTEMPT_OUTCOMES.index("ok")
    latency = (attempts["end_s"] - attempts["start_s"])[succeeded]
    code = deployment[succeeded]
    given = answered & (requests["deployment"] >= 0)
    by = requests["deployment"][given].astype(np.int64)
    quality = np.zeros(len(by))
    if scores is not None:
        quality = np.asarray(scores, dtype=np.float64)[by, requests["request_class"][given]]

    def summed(name: str) -> Floats:
        return group_sums(deployment, attempts[name], deployments)

    counts = np.bincount(deployment * kinds + outcome, minlength=deployments * kinds)
    return AttemptTotals(
        outcomes=counts.reshape(deployments, kinds).astype(np.float64),
        cost_usd=summed("cost_usd"),
        tokens_in=summed("tokens_in"),
        tokens_out=summed("tokens_out"),
        answered=np.bincount(by, minlength=deployments).astype(np.float64),
        quality=group_sums(by, quality, deployments),
        latency=sample(latency, code, np.zeros(len(code), dtype=np.int64), 1),
    )
