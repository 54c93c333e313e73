"""The ranking ``adaptive_weights``."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.ranking import Ranking, Stateless, drawing_key
from simsla.routing.types import Deployment, Reply, Request

SHORT_S: Final = 60.0
LONG_S: Final = 300.0
"""The two windows of the error share, in seconds."""

LEAST_WEIGHT: Final = 1.0
MOST_WEIGHT: Final = 1000.0


@dataclass(frozen=True)
class AdaptiveWeights(Section):
    """At random by weights from 1 to 1000 that follow a score of errors, latency and use: Bifrost's adaptive
    load balancing.

    score = ``error`` x errors + ``latency`` x latency + ``utilization`` x use - momentum; the weight falls
    linearly from 1000 at 0 to 1 at the worst score. Errors are 0.5 of their share in the last minute, 0.3 of
    that in the last five and 0.2 of that of all time.

    Source: the documentation of Bifrost; its code is not open. What it leaves open is decided here. The
    latency is how much slower per output token the last minute was than the deployment's own mean of all
    time, 1 at twice; the use is its share of the attempts of the last minute; the momentum is ``momentum``
    times what the error share of the last minute is below that of the last five. A deployment that fails
    always keeps a third of its weight: it takes a breaker to leave it alone.
    """

    kind = "adaptive_weights"

    interval_s: float = setting(5.0, minimum=0.1, unit="s")
    """Seconds between two reviews of the weights."""
    error: float = setting(0.5, above=0.0, maximum=1.0)
    """What the error share weighs."""
    latency: float = setting(0.2, minimum=0.0, maximum=1.0)
    """What the latency weighs."""
    utilization: float = setting(0.05, minimum=0.0, maximum=1.0)
    """What the use weighs."""
    momentum: float = setting(0.15, minimum=0.0, maximum=1.0)
    """What an improvement weighs. 0.15: a clean last minute makes up for what the last five have against
    it."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return AdaptingWeights(self, deployments, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _Counts:
    """The attempts of one interval, or of several."""

    __slots__ = ("attempts", "failed", "tokens", "took_s")

    def __init__(self) -> None:
        self.attempts = 0
        self.failed = 0
        self.took_s = 0.0
        self.tokens = 0

    def add(self, other: _Counts) -> None:
        self.attempts += other.attempts
        self.failed += other.failed
        self.took_s += other.took_s
        self.tokens += other.tokens

    @property
    def error_share(self) -> float:
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def s_per_token(self) -> float:
        return self.took_s / self.tokens if self.tokens else 0.0


class _Route:
    """What one deployment did: in this interval, in the past ones of the longer window, and ever."""

    __slots__ = ("ever", "now", "past")

    def __init__(self, intervals: int) -> None:
        self.now = _Counts()
        self.past: deque[_Counts] = deque(maxlen=intervals)
        self.ever = _Counts()

    def end_interval(self, quiet: int) -> None:
        """The interval is over, and so are ``quiet`` more in which nobody asked."""
        self.ever.add(self.now)
        self.past.append(self.now)
        self.past.extend(_Counts() for _ in range(min(quiet, self.past.maxlen or 0)))
        self.now = _Counts()

    def lately(self, intervals: int) -> _Counts:
        """The last so many past intervals together."""
        found = _Counts()
        for counts in islice(reversed(self.past), intervals):
            found.add(counts)
        return found


class AdaptingWeights(Stateless):
    """The ranking of `AdaptiveWeights`; ``weights`` are those of the last review."""

    def __init__(
        self, policy: AdaptiveWeights, deployments: Sequence[Deployment], rng: random.Random
    ) -> None:
        self._policy = policy
        self._random = rng.random
        self._short = math.ceil(SHORT_S / policy.interval_s)
        intervals = math.ceil(LONG_S / policy.interval_s)
        self._routes = {each.name: _Route(intervals) for each in deployments}
        self._reviewed: float | None = None
        self.weights = {each.name: MOST_WEIGHT for each in deployments}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """An attempt, and how fast it was."""
        self._review(now)
        counts = self._routes[name].now
        counts.attempts += 1
        counts.took_s += took_s
        counts.tokens += max(reply.tokens_out, 1)

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """A failed attempt, which says nothing of the speed."""
        self._review(now)
        counts = self._routes[name].now
        counts.attempts += 1
        counts.failed += 1

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Drawn one after the other by the weights of now."""
        self._review(now)
        return sorted(group, key=lambda each: drawing_key(self._random(), self.weights[each.deployment.name]))

    def _review(self, now: float) -> None:
        if self._reviewed is None:
            self._reviewed = now
        steps = int((now - self._reviewed) / self._policy.interval_s)
        if steps == 0:
            return
        self._reviewed += steps * self._policy.interval_s
        for route in self._routes.values():
            route.end_interval(steps - 1)
        lately = {name: route.lately(self._short) for name, route in self._routes.items()}
        attempts = sum(counts.attempts for counts in lately.values())
        policy = self._policy
        worst = policy.error + policy.latency + policy.utilization
        for name, route in self._routes.items():
            use = lately[name].attempts / attempts if attempts else 0.0
            score = min(worst, max(0.0, self._score(route, lately[name], use)))
            self.weights[name] = MOST_WEIGHT - (MOST_WEIGHT - LEAST_WEIGHT) * score / worst

    def _score(self, route: _Route, lately: _Counts, use: float) -> float:
        policy = self._policy
        short, long = lately.error_share, route.lately(len(route.past)).error_share
        errors = 0.5 * short + 0.3 * long + 0.2 * route.ever.error_share
        usual_s = route.ever.s_per_token
        slower = lately.s_per_token / usual_s - 1.0 if usual_s else 0.0
        latency = min(1.0, max(0.0, slower))
        momentum = policy.momentum * max(0.0, long - short)
        return policy.error * errors + policy.latency * latency + policy.utilization * use - momentum
