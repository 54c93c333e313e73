"""What each fault episode did: how long until traffic left, until users were well, until traffic came back.

A policy is measured from outside, so what it noticed is told by what it did. Around each episode are
counted, in bins, the requests that arrived, those of them that failed, and the attempts to answer that were
sent to the deployments that depend on the component at fault. Three times follow. Each is that of a change of
a rate, found by maximum likelihood: a Poisson process with one change, its exposure being the requests that
arrived.

- `detect_s`, from the start of the fault until attempts per request fell below half of what they were before
  it: nan where they never did (nothing was noticed, or there was nowhere else to go).
- `recover_s`, from the start of the fault until failures per request fell below half of what they had been
  since then: 0 where users were no worse off than before the fault, nan where that was not observed.
- `return_s`, for episodes that were detected, from the end of the fault until attempts per request were above
  half of what they had been before it: nan where that was not observed.

Bins start with one second and grow by 5 %, so a time is told to within a second or 5 %. An hour before the
episode and an hour after it are observed, less where another episode of the same component is near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.answering import ANSWER
from simsla.world.environment import FAULT_KINDS

if TYPE_CHECKING:
    from simsla.world.environment import Environment

__all__ = ["EpisodeCounts", "EpisodePlan", "EpisodeRow", "episode_rows"]

AROUND_S: Final = 3600.0
FIRST_BIN_S: Final = 1.0
GROWTH: Final = 1.05
EVIDENCE: Final = 6.0
"""The log likelihood that a change must add: 1 of 1,000 steady rates seems to change."""
FEWEST: Final = 5
"""Requests without which an episode, or the time before it, says nothing."""
REQUESTS, FAILED, ATTEMPTS = range(3)

Columns = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class EpisodeRow(NamedTuple):
    """One episode of one replication, met in its measured time; see the module. Times in seconds.

    `start_s` and `end_s` are as drawn, on the clock of the environment; `requests` valid ones arrived
    in the episode, as far as it was measured, and `failed` of them.
    """

    component: str
    kind: str
    severity: float
    start_s: float
    end_s: float
    requests: int
    failed: int
    detect_s: float
    recover_s: float
    return_s: float
    judged: bool
    """Whether enough was asked before it and in it to tell."""


class Watched(NamedTuple):
    """Episodes of one component that begin together, and the edges of the bins in which they are observed.

    The bins are one before the fault, those until `last`, which end with it, and those after it.
    """

    row: int
    deployments: Ints
    edges: Floats
    last: int


@dataclass(frozen=True, slots=True)
class EpisodeCounts:
    """Counts by episode: for each, a row per bin of (requests, failed ones, attempts)."""

    tables: tuple[npt.NDArray[np.int32], ...]

    @classmethod
    def merged(cls, parts: Sequence[EpisodeCounts]) -> EpisodeCounts:
        """Counts of parts of a log as those of the whole."""
        return cls(
            tuple(
                np.sum(tables, axis=0, dtype=np.int32)
                for tables in zip(*(p.tables for p in parts), strict=True)
            )
        )


class EpisodePlan:
    """The episodes of one run, and what is to be counted around each."""

    def __init__(
        self,
        environment: Environment,
        dependencies: Sequence[Sequence[str]],
        start_s: float,
        end_s: float,
    ) -> None:
        """The episodes that begin in [start_s, end_s); `dependencies` are the components of each
        deployment.
        """
        self.environment = environment
        self.watched: list[Watched] = []
        by_component = {
            code: np.array([i for i, own in enumerate(dependencies) if name in own], dtype=np.int64)
            for code, name in enumerate(environment.components)
        }
        codes = environment.component
        for row in range(len(environment)):
            begins, ends = float(environment.start_s[row]), min(float(environment.end_s[row]), end_s)
            deployments = by_component[int(codes[row])]
            if not start_s <= begins < ends or not len(deployments):
                continue
            own = codes == codes[row]
            before = max(begins - AROUND_S, start_s, latest(environment.end_s[own], begins))
            after = min(ends + AROUND_S, end_s, earliest(environment.start_s[own], ends))
            during = growing(ends - begins)
            edges = np.concatenate(([before], begins + during, ends + growing(after - ends)[1:]))
            self.watched.append(Watched(row, deployments, edges, len(during)))

    def count(
        self, arrival_s: Floats, failed: npt.NDArray[np.bool_], attempts: Columns, owner: Ints
    ) -> EpisodeCounts:
        """Counts from a log, or a part of it: valid requests and whether each failed, and the attempts."""
        if not self.watched:
            return EpisodeCounts(())
        arrivals, bad = np.sort(arrival_s), np.sort(arrival_s[failed])
        mine = (attempts["purpose"] == ANSWER) & (owner >= 0)
        starts = [
            np.sort(attempts["start_s"][mine & (attempts["deployment"] == code)])
            for code in range(int(max(w.deployments.max() for w in self.watched)) + 1)
        ]
        first = min([float(t[0]) for t in (arrivals, *starts) if len(t)], default=np.inf)
        last = max([float(t[-1]) for t in (arrivals, *starts) if len(t)], default=-np.inf)
        tables = []
        for watched in self.watched:
            edges = watched.edges
            table = np.zeros((len(edges) - 1, 3), dtype=np.int32)
            if edges[0] <= last and edges[-1] >= first:
                table[:, REQUESTS] = between(arrivals, edges)
                table[:, FAILED] = between(bad, edges)
                for code in watched.deployments.tolist():
                    table[:, ATTEMPTS] += between(starts[code], edges).astype(np.int32)
            tables.append(table)
        return EpisodeCounts(tuple(tables))


def episode_rows(plan: EpisodePlan, counts: EpisodeCounts) -> tuple[EpisodeRow, ...]:
    """What the counts say of each episode, in the order of their starts."""
    rows = []
    environment = plan.environment
    for watched, table in zip(plan.watched, counts.tables, strict=True):
        row = watched.row
        during = table[1 : watched.last]
        known = enough(table, watched.last)
        detect_s, recover_s, return_s = (
            times(table.astype(np.float64), watched) if known else (np.nan, np.nan, np.nan)
        )
        rows.append(
            EpisodeRow(
                environment.components[int(environment.component[row])],
                FAULT_KINDS[int(environment.kind[row])],
                float(environment.severity[row]),
                float(environment.start_s[row]),
                float(environment.end_s[row]),
                int(during[:, REQUESTS].sum()),
                int(during[:, FAILED].sum()),
                detect_s,
                recover_s,
                return_s,
                known,
            )
        )
    return tuple(rows)


def enough(table: npt.NDArray[np.int32], last: int) -> bool:
    return bool(table[0, REQUESTS] >= FEWEST and table[1:last, REQUESTS].sum() >= FEWEST)


def times(table: Floats, watched: Watched) -> tuple[float, float, float]:
    edges, last = watched.edges, watched.last
    requests, failed, attempts = table.T
    usual = attempts[0] / requests[0]
    detect_s = recover_s = return_s = np.nan
    # Whether the traffic left: the time before is the first of what is compared.
    place = change(attempts[:last], requests[:last], falls=True)
    if place is not None and rate(attempts[place:last], requests[place:last]) < usual / 2:
        detect_s = float(edges[place] - edges[1])
        back = change(
            np.concatenate(([attempts[place:last].sum()], attempts[last:])),
            np.concatenate(([requests[place:last].sum()], requests[last:])),
            falls=False,
        )
        if back is not None and rate(attempts[last + back - 1 :], requests[last + back - 1 :]) > usual / 2:
            return_s = float(edges[last + back - 1] - edges[last])
    # Whether users were worse off than before, and until when.
    bad, met = failed[1:last].sum(), requests[1:last].sum()
    worse = gain(np.array([failed[0]]), np.array([requests[0]]), np.array([bad]), np.array([met]))[0]
    if bad / met <= failed[0] / requests[0] or worse < EVIDENCE:
        recover_s = 0.0
    else:
        well = change(failed[1:], requests[1:], falls=True)
        if (
            well is not None
            and rate(failed[1 + well :], requests[1 + well :])
            < rate(failed[1 : 1 + well], requests[1 : 1 + well]) / 2
        ):
            recover_s = float(edges[1 + well] - edges[1])
    return detect_s, recover_s, return_s


def change(events: Floats, exposure: Floats, *, falls: bool) -> int | None:
    """The first bin after the change of rate with the greatest likelihood; None if it is not evident."""
    done, exposed = np.cumsum(events)[:-1], np.cumsum(exposure)[:-1]
    left, remains = events.sum() - done, exposure.sum() - exposed
    if not len(done):
        return None
    gains = gain(done, exposed, left, remains)
    with np.errstate(divide="ignore", invalid="ignore"):
        right_way = left * exposed < done * remains if falls else left * exposed > done * remains
    gains = np.where(right_way & (exposed > 0) & (remains > 0), gains, -np.inf)
    best = int(gains.argmax())
    return best + 1 if gains[best] >= EVIDENCE else None


def gain(first: Floats, exposed: Floats, second: Floats, remains: Floats) -> Floats:
    """The log likelihood that two rates add to one, for counts and what they were counted over."""

    def term(events: Floats, exposure: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(events > 0, events * np.log(events / exposure), 0.0)

    return term(first, exposed) + term(second, remains) - term(first + second, exposed + remains)


def rate(events: Floats, exposure: Floats) -> float:
    met = float(exposure.sum())
    return float(events.sum()) / met if met else np.nan


def growing(length_s: float) -> Floats:
    """Edges from 0 to a length: one second, and then each bin 5 % longer than the one before."""
    steps = max(0, int(np.log1p((GROWTH - 1) * length_s / FIRST_BIN_S) / np.log(GROWTH)))
    inner = FIRST_BIN_S * (GROWTH ** np.arange(steps + 1) - 1) / (GROWTH - 1)
    return np.append(inner[inner < length_s], length_s) if length_s > 0 else np.zeros(1)


def between(times: Floats, edges: Floats) -> Ints:
    return np.diff(np.searchsorted(times, edges))


def latest(times: Floats, limit: float) -> float:
    earlier = times[times <= limit]
    return float(earlier.max()) if len(earlier) else -np.inf


def earliest(times: Floats, limit: float) -> float:
    later = times[times >= limit]
    return float(later.min()) if len(later) else np.inf
