"""When to try the same deployment again."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ContextLengthExceeded
from simsla.routing.protocols import NEXT, STOP, Decision, Failure
from simsla.routing.retries.backoff import FullJitter
from simsla.routing.retries.backoff_sdk import AWSBackoff, Backoff, LiteLLMBackoff

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
class ErrorRetry(Section):
    """What one kind of error, or one deployment, changes in the retry policy; what is left out stays."""

    max_attempts: int | None = setting(None, minimum=1)
    """Attempts at one deployment, counted over all kinds, when the last one failed in this way. 1: never
    retry."""
    backoff: Backoff | None = field(default=None)
    """The delay before a retry after such an error."""
    retry_after_cap_s: float | None = setting(None, minimum=0.0, unit="s")
    """Seconds; the longest Retry-After of such an error that is waited for."""


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
    backoff: Backoff = field(default=FullJitter())
    """The delay before each retry."""
    retry_after_cap_s: float = setting(5.0, minimum=0.0, unit="s")
    """Seconds; the longest Retry-After that is waited for. 5: a longer wait is better spent at the next
    deployment."""

    per_error: Mapping[str, ErrorRetry] = setting(FrozenMapping(), keys=RETRYABLE)
    """Kind of error -> what it changes. A kind named here is retried whether or not ``on_errors`` has it."""
    per_deployment: Mapping[str, ErrorRetry] = setting(FrozenMapping())
    """Deployment -> what it changes, as LiteLLM's ``model_group_retry_policy``. What ``per_error`` says of
    the kind of error goes before."""

    def named(self) -> Iterable[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        return ((f"per_deployment.{name}", name) for name in self.per_deployment)

    def decide(self, failure: Failure, rng: random.Random) -> Decision:
        """The rule itself; the same generator gives the same delays."""
        error = failure.error
        if error.blames_request:
            return NEXT if isinstance(error, ContextLengthExceeded) else STOP
        max_attempts = self.max_attempts
        backoff = self.backoff
        retry_after_cap_s = self.retry_after_cap_s
        of_error = self.per_error.get(error.kind)
        if of_error is None and error.kind not in self.on_errors:
            return NEXT
        for special in (self.per_deployment.get(error.deployment or ""), of_error):
            if special is not None:
                max_attempts = max_attempts if special.max_attempts is None else special.max_attempts
                backoff = special.backoff or backoff
                cap_s = special.retry_after_cap_s
                retry_after_cap_s = retry_after_cap_s if cap_s is None else cap_s
        if failure.tries >= max_attempts:
            return NEXT
        hint_s = error.retry_after_s
        delay_s = backoff.delay_s(failure.tries - 1, failure.waited_s, rng, error)
        if hint_s is not None:
            if hint_s > retry_after_cap_s:
                return NEXT
            if not isinstance(backoff, LiteLLMBackoff | AWSBackoff):
                delay_s = max(delay_s, hint_s)
        return Decision("retry", delay_s)
