"""The configuration of the admission queue."""

from __future__ import annotations

from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.types import Request


@dataclass(frozen=True)
class QueuePolicy(Section):
    """Requests wait in line instead of failing: for a place in the Router, for the end of a rate limit.

    A request whose turn would come too late for its deadline is shed at once, so that those who wait are
    those who can still be answered.
    """

    max_concurrent: int | None = setting(None, minimum=1)
    """Requests in the Router at a time; the others wait. One that waits for the end of a rate limit keeps its
    place. None: any number, so that only rate limits make requests wait."""
    max_waiting: int = setting(1024, minimum=0)
    """Requests in a line; beyond it the last in line is shed, be it the new one or another. 1024 as the
    pending requests of Envoy."""
    max_wait_s: float | None = setting(None, above=0.0, unit="s")
    """Seconds; the most that one request waits, all its waits together. None: as long as its deadline lets
    it."""
    order: str = setting("priority", choices=("priority", "fifo", "deadline"))
    """Who goes first: the larger ``priority`` of the request, the earlier arrival, or the earlier deadline.
    Among equals the earlier arrival."""
    min_service_s: float = setting(0.0, minimum=0.0, unit="s")
    """Seconds of its deadline that a request needs after its wait. What is needed is the median of the last
    hundred answers, and at least this. 0: before the first answer nothing is known."""
    on_rate_limit: bool = setting(False)
    """Whether a request waits where deployments answer 429 or the limits of this policy refuse, and nothing
    else is left to try. A rate-limited deployment is then called again by one request at its
    ``Retry-After``, and by twice as many with each round that is answered."""
    retry_after_s: float = setting(1.0, above=0.0, unit="s")
    """Seconds for which a deployment is left alone after a 429 that does not say. 1 as the throttling delay
    of the AWS SDKs."""
    max_retry_after_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds; a longer ``Retry-After`` is cut to this. 60 as Portkey: a wish of a day, seen in the field,
    must not take a deployment out for a day."""

    def verify(self) -> None:
        """It has something to wait for; its delays do not contradict each other."""
        if self.max_concurrent is None and not self.on_rate_limit:
            raise ConfigError("max_concurrent", None, "a number, where on_rate_limit is false")
        if self.retry_after_s > self.max_retry_after_s:
            expected = f"at most max_retry_after_s ({self.max_retry_after_s:g})"
            raise ConfigError("retry_after_s", self.retry_after_s, expected)

    def check(self, deadline_s: float) -> None:
        """Refuse, with `ConfigError`, what no request within this deadline can keep."""
        for name, value_s in (("max_wait_s", self.max_wait_s), ("min_service_s", self.min_service_s)):
            if value_s is not None and value_s > deadline_s:
                raise ConfigError(f"queue.{name}", value_s, f"at most deadline_s ({deadline_s:g})")

    def importance(self, request: Request, deadline: float) -> float:
        """Whoever has more of it goes first."""
        if self.order == "priority":
            return request.priority
        return -deadline if self.order == "deadline" else 0.0
