"""What the environment does to one deployment, from moment to moment.

The faults of a deployment's components, and its own error shares, come down to a few thresholds on one
uniform per attempt. They change only where an episode starts or ends, so they are laid out in time once and
looked up by a pointer that only moves forward.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.environment import FAULT_KINDS, Environment

HANG = -1
"""In the place of an attempt's outcome: it is accepted and never answered."""

CONNECT = ATTEMPT_OUTCOMES.index("connect")

CUT = ATTEMPT_OUTCOMES.index("interrupted")
MALFORMED = ATTEMPT_OUTCOMES.index("malformed")

_OUTCOME_OF_STATUS = {
    429: ATTEMPT_OUTCOMES.index("rate_limited"),
    500: ATTEMPT_OUTCOMES.index("server_error"),
    503: ATTEMPT_OUTCOMES.index("unavailable"),
}

# What a deployment's own errors say about an answer, in the order of their thresholds: new kinds are
# appended, so that the luck of a scenario without them does not move.
_OUTCOME_OF_ANSWER = {str(status): outcome for status, outcome in _OUTCOME_OF_STATUS.items()} | {
    "400": ATTEMPT_OUTCOMES.index("bad_request"),
    "cut": CUT,
    "malformed": MALFORMED,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """How attempts fare for a while.

    An attempt with the uniform u fails if u < `failing`, and then as the first of `steps` (threshold,
    outcome) that lies above u. Connections are refused if u < `refused`. `slowdown` multiplies latencies.
    """

    refused: float
    failing: float
    steps: tuple[tuple[float, int], ...]
    slowdown: float

    def failure(self, u: float) -> tuple[int, float]:
        """The outcome of an attempt whose uniform is below `failing`, and where in its step u lies.

        The place is uniform in [0, 1) itself, so it may decide what else is a matter of chance.
        """
        below = 0.0
        for threshold, outcome in self.steps:
            if u < threshold:
                return outcome, (u - below) / (threshold - below)
            below = threshold
        return self.steps[-1][1], 0.0


def condition(errors: Mapping[str, float], episodes: Sequence[tuple[int, float, int]]) -> Condition:
    """Independent causes combined: `errors` are shares by kind, episodes are (kind, severity, error)."""
    by_kind: dict[str, list[tuple[float, int]]] = {kind: [] for kind in FAULT_KINDS}
    for kind, severity, error in episodes:
        by_kind[FAULT_KINDS[kind]].append((severity, error))
    steps: list[tuple[float, int]] = []
    remaining = 1.0

    def strike(share: float, outcome: int) -> None:
        nonlocal remaining
        if share > 0:
            remaining *= 1.0 - share
            steps.append((1.0 - remaining, outcome))

    for severity, _ in by_kind["outage"]:
        strike(severity, CONNECT)
    strike(errors.get("connect", 0.0), CONNECT)
    refused = 1.0 - remaining
    for severity, _ in by_kind["hang"]:
        strike(severity, HANG)
    strike(errors.get("hang", 0.0), HANG)
    for severity, error in by_kind["brownout"]:
        strike(severity, _OUTCOME_OF_STATUS[error])
    # The shares of answers exclude one another: an attempt has one answer.
    answers = [(name, errors.get(name, 0.0)) for name in _OUTCOME_OF_ANSWER]
    base, total = remaining, math.fsum(share for _, share in answers)
    so_far = 0.0
    for name, share in answers:
        if share > 0:
            so_far += share
            steps.append((1.0 - base * (1.0 - so_far), _OUTCOME_OF_ANSWER[name]))
    remaining = 0.0 if total == 1.0 else base * (1.0 - total)
    for severity, _ in by_kind["cut"]:
        strike(severity, CUT)
    for severity, _ in by_kind["malformed"]:
        strike(severity, MALFORMED)
    failing = 1.0 - remaining
    slowdown = math.prod(severity for severity, _ in by_kind["slowdown"])
    return Condition(refused, failing, tuple(steps), slowdown)


class Conditions:
    """The conditions of one deployment over a run, by the run's own clock."""

    def __init__(
        self,
        errors: Mapping[str, float],
        dependencies: Sequence[str],
        environment: Environment,
        begin_s: float,
        end_s: float,
    ) -> None:
        """`begin_s` and `end_s` are absolute times; the run's clock is 0 at `begin_s`."""
        codes = [environment.components.index(name) for name in dependencies]
        mine = environment.between(begin_s, end_s)
        rows = np.flatnonzero(np.isin(mine.component, codes))
        starts = np.maximum(mine.start_s[rows] - begin_s, 0.0)
        ends = mine.end_s[rows] - begin_s
        effects = list(
            zip(
                mine.kind[rows].tolist(),
                mine.severity[rows].tolist(),
                mine.error[rows].tolist(),
                strict=True,
            )
        )
        edges = np.unique(np.concatenate(([0.0], starts, ends)))
        self._from_s: list[float] = [*edges.tolist(), math.inf]
        opening = np.argsort(starts, kind="stable")
        self._conditions: list[Condition] = []
        active: list[int] = []
        upcoming = iter([*opening.tolist(), None])
        following = next(upcoming)
        known: dict[tuple[tuple[int, float, int], ...], Condition] = {}
        for edge in edges.tolist():
            active = [row for row in active if ends[row] > edge]
            while following is not None and starts[following] <= edge:
                if ends[following] > edge:
                    active.append(following)
                following = next(upcoming)
            key = tuple(sorted(effects[row] for row in active))
            if key not in known:
                known[key] = condition(errors, key)
            self._conditions.append(known[key])
        self._at = 0
        self.current = self._conditions[0]
        self.until_s = self._from_s[1]

    def at(self, now: float) -> Condition:
        """The condition at `now`; times must not go back."""
        if now >= self.until_s:
            self._at = bisect.bisect_right(self._from_s, now, lo=self._at) - 1
            self.current = self._conditions[self._at]
            self.until_s = self._from_s[self._at + 1]
        return self.current
