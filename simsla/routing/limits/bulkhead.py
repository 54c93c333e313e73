"""The bulkhead: a fixed number of attempts at a time."""

from __future__ import annotations

import math
from typing import Literal

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.types import Reply


class Bulkhead:
    """At most ``limit`` attempts in flight; what comes on top is refused at once, as LiteLLM does.

    That of an account is part of the health of each of its deployments. ``max_concurrent_calls`` of
    resilience4j, the concurrency limiter of Polly, ``max_parallel_requests`` of LiteLLM.
    """

    __slots__ = ("in_flight", "limit", "refusal")

    def __init__(self, limit: int, owner: str = "") -> None:
        """``owner`` is appended to the reason of a refusal."""
        self.limit = limit
        self.in_flight = 0
        self.refusal = f"concurrency limit{owner}"

    def admit(self, progress: Progress, now: float) -> Literal[True] | None:
        """A ticket where a place is free."""
        if self.in_flight >= self.limit:
            return None
        self.in_flight += 1
        return True

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """Its place is free."""
        self.in_flight -= 1

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """Its place is free."""
        self.in_flight -= 1

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """Its place is free."""
        self.in_flight -= 1

    def available_at(self, now: float) -> float:
        """Now where a place is free; otherwise nobody knows."""
        return now if self.in_flight < self.limit else math.inf
