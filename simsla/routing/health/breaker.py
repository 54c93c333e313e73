"""Circuit breaker by consecutive failures, with bounded probes while half-open."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.types import Reply


@dataclass(frozen=True)
class BreakerPolicy(Section):
    """When to stop calling a deployment, and how to find out that it is back."""

    kind = "consecutive"

    failures: int = setting(5, minimum=1)
    """Consecutive failures that open the breaker. 5 as in Finagle's failure accrual and Envoy's
    consecutive_5xx."""
    open_s: float = setting(30.0, above=0.0, unit="s")
    """Seconds without any call once open. 30 as Envoy's base ejection time."""
    half_open_probes: int = setting(1, minimum=1)
    """Calls let through while half-open; as many successes close the breaker, one failure opens it again. 1
    as Finagle: what is still broken then costs one request per ``open_s``."""

    def build(self) -> CircuitBreaker:
        """A breaker in its first state, closed."""
        return CircuitBreaker(self)


class CircuitBreaker:
    """The state machine of one deployment: closed, open, half-open.

    A ticket is the number of the state's episode, so the outcome of an attempt that began in an earlier
    episode changes nothing: a slow success from before the outage does not close the breaker, and no late
    failure prolongs it.
    """

    refusal = "breaker open"

    __slots__ = ("_episode", "_failures", "_free_probes", "_open_until", "_policy", "_successes", "state")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.state = "closed"
        self._episode = 0
        self._failures = 0
        self._open_until = -math.inf
        self._free_probes = 0
        self._successes = 0

    def admit(self, progress: Progress, now: float) -> int | None:
        """A ticket, or None while open and while every probe is out."""
        if self.state == "closed":
            return self._episode
        if self.state == "open":
            if now < self._open_until:
                return None
            self._enter("half_open")
            self._free_probes = self._policy.half_open_probes
            self._successes = 0
        if self._free_probes == 0:
            return None
        self._free_probes -= 1
        return self._episode

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """The attempt was answered."""
        if ticket != self._episode:
            return
        self._failures = 0
        if self.state == "half_open":
            self._successes += 1
            if self._successes == self._policy.half_open_probes:
                self._enter("closed")

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """The attempt failed through the deployment's fault."""
        if ticket != self._episode:
            return
        self._failures += 1
        if self.state == "half_open" or self._failures >= self._policy.failures:
            self._enter("open")
            self._open_until = now + self._policy.open_s

    def released(self, ticket: object, now: float) -> None:
        """The attempt says nothing about the deployment: its probe can be used again."""
        if ticket == self._episode and self.state == "half_open":
            self._free_probes += 1

    def available_at(self, now: float) -> float:
        """Now unless open; inf while every probe is out, because nobody knows when one returns."""
        if self.state == "open":
            return max(now, self._open_until)
        return math.inf if self.state == "half_open" and self._free_probes == 0 else now

    def _enter(self, state: str) -> None:
        self.state = state
        self._episode += 1
        self._failures = 0

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state}, {self._failures} failures in a row>"
