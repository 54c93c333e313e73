"""The send rate of the adaptive retry mode of the AWS SDKs."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, RateLimited
from simsla.routing.limits.bucket import Bucket
from simsla.routing.limits.tickets import Ticket
from simsla.routing.progress import Progress
from simsla.routing.types import Reply


@dataclass(frozen=True)
class AWSRate(Section):
    """From the first rate limit on, attempts are sent at a rate that falls with each one and grows as CUBIC.

    On a rate limit W = min(measured, rate), K = cbrt(W (1 - beta) / scale) and rate = beta W; on any other
    response, t seconds later, rate = scale (t - K)^3 + W. It is at most twice what is measured and at least
    ``min_rate_per_s``. Source: the adaptive retry mode of the AWS SDKs, botocore 1.44.
    """

    kind = "aws"

    beta: float = setting(0.7, above=0.0, maximum=0.99)
    """What is left of the rate after a rate limit. 0.7 as in botocore."""
    scale: float = setting(0.4, above=0.0)
    """How fast the rate grows back. 0.4 as in botocore."""
    smoothing: float = setting(0.8, above=0.0, maximum=1.0)
    """Weight of the latest ``bucket_s`` in the measured rate. 0.8 as in botocore."""
    bucket_s: float = setting(0.5, above=0.0, unit="s")
    """Seconds over which responses are counted. 0.5 as in botocore."""
    min_rate_per_s: float = setting(0.5, above=0.0)
    """Attempts per second that are always allowed. 0.5 as in botocore."""

    def build(self, rng: random.Random) -> CubicRate:
        """The rate of one deployment, without a limit so far."""
        return CubicRate(self)


class CubicRate:
    """The measured rate of responses, and the bucket of what may be sent."""

    refusal = "adaptive send rate"

    __slots__ = ("_bucket", "_count", "_failed_at", "_k", "_measured", "_policy", "_slot", "_w")

    def __init__(self, policy: AWSRate) -> None:
        self._policy = policy
        self._bucket: Bucket | None = None
        self._measured = 0.0
        self._count = 0
        self._slot: int | None = None
        self._w = 0.0
        self._k = 0.0
        self._failed_at = 0.0

    @property
    def rate_per_s(self) -> float:
        """Attempts per second that may be sent."""
        return math.inf if self._bucket is None else self._bucket.per_s

    def admit(self, progress: Progress, now: float) -> Ticket | None:
        """A ticket where the rate allows one more."""
        if self._bucket is not None:
            if self._bucket.wait_s(1.0, now) > 0.0:
                return None
            self._bucket.take(1.0, now)
        return Ticket(progress, progress.attempts, 0.0 if self._bucket is None else 1.0)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """A response."""
        self._responded(now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """A response, or the rate limit."""
        if isinstance(error, RateLimited):
            self._throttled(now)
        else:
            self._responded(now)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """No response; given back where the attempt never began."""
        assert isinstance(ticket, Ticket)
        if self._bucket is not None and ticket.unused:
            self._bucket.give(ticket.amount, now)

    def available_at(self, now: float) -> float:
        """When the bucket holds one attempt."""
        return now if self._bucket is None else now + self._bucket.wait_s(1.0, now)

    def _responded(self, now: float) -> None:
        self._measure(now)
        if self._bucket is not None:
            self._limit(self._policy.scale * (now - self._failed_at - self._k) ** 3 + self._w, now)

    def _throttled(self, now: float) -> None:
        policy = self._policy
        self._measure(now)
        self._w = min(self._measured, self.rate_per_s)
        self._k = math.cbrt(self._w * (1.0 - policy.beta) / policy.scale)
        self._failed_at = now
        if self._bucket is None:
            self._bucket = Bucket(policy.min_rate_per_s, 1.0)
            self._bucket.take(1.0, now)
        self._limit(policy.beta * self._w, now)

    def _limit(self, rate: float, now: float) -> None:
        """Set the rate; the bucket holds a second of it, and at least one attempt."""
        assert self._bucket is not None
        rate = min(rate, 2.0 * self._measured)
        self._bucket.resize(max(rate, self._policy.min_rate_per_s), max(rate, 1.0), now)

    def _measure(self, now: float) -> None:
        """One more response. The rate is known anew with the first one after each ``bucket_s``."""
        policy = self._policy
        slot = math.floor(now / policy.bucket_s)
        if self._slot is None:
            self._slot = slot
        self._count += 1
        if slot > self._slot:
            current = self._count / ((slot - self._slot) * policy.bucket_s)
            self._measured = current * policy.smoothing + self._measured * (1.0 - policy.smoothing)
            self._count = 0
            self._slot = slot
