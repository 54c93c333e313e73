"""When to try the same deployment again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from simsla.routing.backoff import FullJitter
from simsla.routing.config import Section, setting
from simsla.routing.errors import ContextLengthExceeded
from simsla.routing.protocols import NEXT, STOP, Decision, Failure

RETRYABLE: Final = (
    "connect",
    "timeout",
    "rate_limited",
    "server_error",
    "unavailable",
    "stream_interrupted",
    "malformed",
)
"""The kinds of error after which an identical attempt at the same deployment can succeed."""


@dataclass(frozen=True)
class RetryPolicy(Section):
    """Retries at one deployment before the next one is tried."""

    max_attempts: int = setting(2, minimum=1)
    """Attempts at one deployment, the first included. 2: one retry rides out a stray error; a deployment
    that fails twice in a row is better left for the next one."""
    on_errors: tuple[str, ...] = setting(
        ("connect", "rate_limited", "server_error", "unavailable", "stream_interrupted", "malformed"),
        choices=RETRYABLE,
    )
    """The kinds of error to retry on; any other goes to the next deployment at once. Not on "timeout" by
    default: it has cost the most time already, and what hangs once mostly hangs again."""
    backoff: FullJitter = field(default=FullJitter())
    """The delay before each retry."""
    retry_after_cap_s: float = setting(5.0, minimum=0.0, unit="s")
    """Seconds; the longest Retry-After that is waited for. 5: a longer wait is better spent at the next
    deployment."""

    def decide(self, failure: Failure, rng: random.Random) -> Decision:
        """The rule itself; the same generator gives the same delays."""
        error = failure.error
        if error.blames_request:
            return NEXT if isinstance(error, ContextLengthExceeded) else STOP
        if failure.tries >= self.max_attempts or error.kind not in self.on_errors:
            return NEXT
        delay_s = self.backoff.delay_s(failure.tries - 1, failure.waited_s, rng)
        if error.retry_after_s is not None:
            if error.retry_after_s > self.retry_after_cap_s:
                return NEXT
            delay_s = max(delay_s, error.retry_after_s)
        return Decision("retry", delay_s)
