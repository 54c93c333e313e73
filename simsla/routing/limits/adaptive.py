"""Adaptive concurrency: as many attempts at a time as a deployment answers without slowing down."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from simsla.routing.errors import AttemptError, AttemptTimeout, RateLimited, ServiceUnavailable
from simsla.routing.progress import Progress
from simsla.routing.types import Reply

DROPS: Final = (RateLimited, ServiceUnavailable, AttemptTimeout)
"""Failures that mean overload. Others say nothing of it, as in the gRPC client of concurrency-limits."""

Signal = Callable[[Reply], float | None]


class Algorithm(Protocol):
    """Finds the limit. The ``in_flight`` of an attempt counts itself and those before it when it began."""

    @property
    def limit(self) -> float:
        """Attempts at a time, rounded down."""
        ...

    def turn(self, now: float) -> None:
        """Time has come to ``now``."""
        ...

    def sample(self, value_s: float, in_flight: int, start: float, now: float) -> None:
        """An attempt that began at ``start`` was answered; ``value_s`` is the signal."""
        ...

    def dropped(self, now: float) -> None:
        """An attempt failed by overload."""
        ...


def per_token(reply: Reply) -> float | None:
    """Seconds per output token after the first, so that neither the prompt nor the length of the answer
    counts; of an answer whose first token was not seen arriving, seconds in total per token.
    """
    if reply.tokens_out < 1:
        return None
    if 0.0 < reply.first_token_s < reply.total_s and reply.tokens_out > 1:
        return (reply.total_s - reply.first_token_s) / (reply.tokens_out - 1)
    return reply.total_s / reply.tokens_out


def first_token(reply: Reply) -> float | None:
    """Seconds to the first token: sees queues, and depends on the length of the prompt only."""
    return reply.first_token_s


def round_trip(reply: Reply) -> float | None:
    """Seconds in total, as the sources have it: an answer twice as long looks like an overload."""
    return reply.total_s


SIGNALS: Final[dict[str, Signal]] = {
    "per_token": per_token,
    "first_token": first_token,
    "round_trip": round_trip,
}


class _Ticket(NamedTuple):
    in_flight: int
    start: float


class AdaptiveLimit:
    """At most the limit of an algorithm in flight."""

    refusal = "adaptive concurrency limit"

    __slots__ = ("_algorithm", "_signal", "in_flight")

    def __init__(self, algorithm: Algorithm, signal: str) -> None:
        """``signal`` is a name in `SIGNALS`."""
        self._algorithm = algorithm
        self._signal = SIGNALS[signal]
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Attempts that may be in flight."""
        return int(self._algorithm.limit)

    def admit(self, progress: Progress, now: float) -> _Ticket | None:
        """A ticket below the limit. Where it has just fallen, more than it may still be in flight."""
        self._algorithm.turn(now)
        if self.in_flight >= self.limit:
            return None
        self.in_flight += 1
        return _Ticket(self.in_flight, now)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """A sample of the signal."""
        assert isinstance(ticket, _Ticket)
        self.in_flight -= 1
        value_s = self._signal(reply)
        if value_s is not None and value_s > 0.0:
            self._algorithm.sample(value_s, ticket.in_flight, ticket.start, now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """A drop where the deployment is overloaded."""
        self.in_flight -= 1
        if isinstance(error, DROPS):
            self._algorithm.dropped(now)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """No sample."""
        self.in_flight -= 1

    def available_at(self, now: float) -> float:
        """Now below the limit; otherwise nobody knows."""
        self._algorithm.turn(now)
        return now if self.in_flight < self.limit else math.inf
