"""What the environment does to one deployment, from moment to moment.

The faults of a deployment's components, and its own error shares, come down to a few thresholds on one
uniform per attempt. They change only where an episode starts or ends, so they are laid out in time once and
looked up by a pointer that only moves forward.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.environment import FAULT_KINDS, ORDINARY, Environment, Manner

HANG = -1
"""In the place of an attempt's outcome: it is accepted and never answered."""

UNREACHED = -10
"""In the place of an attempt's outcome: nothing answers its attempt to connect, not even a refusal."""

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
    outcome) that lies above u. It is turned away on arrival if u < `refused`. `slowdown` multiplies
    latencies. `told` are the steps (from, to, seconds) whose errors say when to come again.
    """

    refused: float
    failing: float
    steps: tuple[tuple[float, int], ...]
    slowdown: float
    told: tuple[tuple[float, float, float], ...] = ()

    def retry_after_s(self, u: float) -> float | None:
        """When to come again, as an attempt with this uniform is told; None: as the deployment says."""
        return next((seconds for low, high, seconds in self.told if low <= u < high), None)

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


class Effect(NamedTuple):
    """What an episode does while it lasts, in codes as in `Environment`."""

    kind: int
    severity: float
    error: int
    manner: Manner = ORDINARY


def condition(errors: Mapping[str, float], episodes: Iterable[tuple[Any, ...]]) -> Condition:
    """Independent causes combined: `errors` are shares by kind, `episodes` are effects."""
    by_kind: dict[str, list[Effect]] = {kind: [] for kind in FAULT_KINDS}
    for episode in episodes:
        effect = Effect(*episode)
        by_kind[FAULT_KINDS[effect.kind]].append(effect)
    steps: list[tuple[float, int]] = []
    told: list[tuple[float, float, float]] = []
    remaining = 1.0

    def strike(share: float, outcome: int) -> None:
        nonlocal remaining
        if share > 0:
            remaining *= 1.0 - share
            steps.append((1.0 - remaining, outcome))

    for effect in by_kind["connect"]:
        strike(effect.severity, UNREACHED if effect.manner.hang else CONNECT)
    for effect in by_kind["outage"]:
        strike(effect.severity, CONNECT)
    strike(errors.get("connect", 0.0), CONNECT)
    for effect in by_kind["rate_limit_storm"]:
        low = 1.0 - remaining
        strike(effect.severity, _OUTCOME_OF_STATUS[429])
        if effect.manner.retry_after_s is not None:
            told.append((low, 1.0 - remaining, effect.manner.retry_after_s))
    refused = 1.0 - remaining
    for effect in by_kind["hang"]:
        strike(effect.severity, HANG)
    strike(errors.get("hang", 0.0), HANG)
    for effect in by_kind["brownout"]:
        strike(effect.severity, _OUTCOME_OF_STATUS[effect.error])
    # The shares of answers exclude one another: an attempt has one answer.
    answers = [(name, errors.get(name, 0.0)) for name in _OUTCOME_OF_ANSWER]
    base, total = remaining, math.fsum(share for _, share in answers)
    so_far = 0.0
    for name, share in answers:
        if share > 0:
            so_far += share
            steps.append((1.0 - base * (1.0 - so_far), _OUTCOME_OF_ANSWER[name]))
    remaining = 0.0 if total == 1.0 else base * (1.0 - total)
    for effect in by_kind["cut"]:
        strike(effect.severity, CUT)
    for effect in by_kind["malformed"]:
        strike(effect.severity, MALFORMED)
    failing = 1.0 - remaining
    slowdown = math.prod(effect.severity for effect in by_kind["slowdown"])
    return Condition(refused, failing, tuple(steps), slowdown, tuple(told))


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
                mine.manner_codes()[rows].tolist(),
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
        known: dict[tuple[tuple[int, float, int, int], ...], Condition] = {}
        for edge in edges.tolist():
            active = [row for row in active if ends[row] > edge]
            while following is not None and starts[following] <= edge:
                if ends[following] > edge:
                    active.append(following)
                following = next(upcoming)
            key = tuple(sorted(effects[row] for row in active))
            if key not in known:
                known[key] = condition(errors, [(*what, mine.manners[code]) for *what, code in key])
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
