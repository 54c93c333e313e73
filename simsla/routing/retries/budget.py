"""Retry budgets: how many further attempts all requests together may make, so that retries cannot become
the outage.

A retry is any attempt after a request's first one, at the same deployment or at another. Each kind is a
section, its ``kind`` the name of its origin; `build` makes the shared state, and each request opens a lease.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, ConfigError, RateLimited

_BUCKETS = 10
# Sums of deposits such as 0.1 round: a retry that is paid up to this much is paid.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class FinagleBudget(Section):
    """A leaky bucket: each request deposits 1, each retry takes 1 / ``ratio``, all within ``ttl_s``.

    Under total failure the amplification is at most 1 + ratio, and ``reserve_per_s`` retries on top.
    Source: Finagle, RetryBudget.
    """

    kind = "finagle"

    ratio: float = setting(0.2, above=0.0, maximum=1000.0)
    """Retries per request that the budget pays for in the long run."""
    ttl_s: float = setting(10.0, above=0.0, unit="s")
    """Seconds after which a deposit is forgotten, and so is a withdrawal."""
    reserve_per_s: float = setting(10.0, minimum=0.0)
    """Retries per second that are allowed whatever the traffic, so that little traffic can retry at all."""

    def build(self) -> FinagleBucket:
        """A full reserve and no deposits."""
        return FinagleBucket(self)


class FinagleBucket:
    """The deposits less the withdrawals of the last ``ttl_s``, in ten slices of time."""

    __slots__ = ("_cost", "_reserve", "_slice", "_slice_s", "_slices", "_sum")

    def __init__(self, policy: FinagleBudget) -> None:
        self._cost = 1.0 / policy.ratio
        self._reserve = policy.reserve_per_s * policy.ttl_s * self._cost
        self._slice_s = policy.ttl_s / _BUCKETS
        self._slices = [0.0] * _BUCKETS
        self._slice = 0
        self._sum = 0.0

    def balance(self, now: float) -> float:
        """What may be spent; 0 where deposits expired before the withdrawals that they paid for."""
        self._advance(now)
        return max(0.0, self._reserve + self._sum)

    def open(self, now: float) -> FinagleBucket:
        """Deposit for one request; the bucket keeps nothing of it, and is its own lease."""
        self._advance(now)
        self._slices[self._slice % _BUCKETS] += 1.0
        self._sum += 1.0
        return self

    def failed(self, now: float, error: AttemptError) -> None:
        """A failure alone costs nothing."""

    def retry(self, now: float, error: AttemptError) -> bool:
        """Whether a retry is paid for; if so it is paid."""
        if self.balance(now) < self._cost - _ROUNDING:
            return False
        self._slices[self._slice % _BUCKETS] -= self._cost
        self._sum -= self._cost
        return True

    def close(self, now: float, answered: bool) -> None:
        """Nothing comes back."""

    def _advance(self, now: float) -> None:
        current = math.floor(now / self._slice_s)
        passed = current - self._slice
        if passed <= 0:
            return
        for step in range(1, min(passed, _BUCKETS) + 1):
            self._slices[(self._slice + step) % _BUCKETS] = 0.0
        self._slice = current
        self._sum = math.fsum(self._slices)


@dataclass(frozen=True)
class EnvoyBudget(Section):
    """At any time no more than max(``min_retries``, ``ratio`` x active requests) may be retries.

    A limit on concurrency, not on rate: it bounds how much of the load are retries. Source: Envoy,
    circuit_breakers.thresholds.retry_budget.
    """

    kind = "envoy"

    ratio: float = setting(0.2, minimum=0.0, maximum=1.0)
    """``budget_percent``: the share of the active requests that may be retries."""
    min_retries: int = setting(3, minimum=0)
    """``min_retry_concurrency``."""

    def build(self) -> EnvoyLimit:
        """Nothing active."""
        return EnvoyLimit(self)


class EnvoyLimit:
    """How many requests are active, and how many of those with a retry."""

    __slots__ = ("_policy", "active", "retrying")

    def __init__(self, policy: EnvoyBudget) -> None:
        self._policy = policy
        self.active = 0
        self.retrying = 0

    @property
    def limit(self) -> float:
        """Retries that may be active now."""
        return max(self._policy.min_retries, self._policy.ratio * self.active)

    def open(self, now: float) -> EnvoyLease:
        """One more active request."""
        self.active += 1
        return EnvoyLease(self)


class EnvoyLease:
    """One active request, retrying or not."""

    __slots__ = ("_limit", "_retrying")

    def __init__(self, limit: EnvoyLimit) -> None:
        self._limit = limit
        self._retrying = False

    def failed(self, now: float, error: AttemptError) -> None:
        """The attempt, and with it a retry, is over."""
        if self._retrying:
            self._retrying = False
            self._limit.retrying -= 1

    def retry(self, now: float, error: AttemptError) -> bool:
        """Whether one more retry is within the limit; it counts from its back-off to its end."""
        if self._limit.retrying + 1 > self._limit.limit + _ROUNDING:
            return False
        self._retrying = True
        self._limit.retrying += 1
        return True

    def close(self, now: float, answered: bool) -> None:
        """The request is over."""
        if self._retrying:
            self._retrying = False
            self._limit.retrying -= 1
        self._limit.active -= 1


@dataclass(frozen=True)
class GRPCBudget(Section):
    """Each failure takes 1 token, each success gives ``token_ratio``; retries only above half of the most.

    Source: gRPC A6, retryThrottling.
    """

    kind = "grpc"

    max_tokens: float = setting(10.0, above=0.0, maximum=1000.0)
    """The most tokens, and the number at the start. 10 as in the example of A6."""
    token_ratio: float = setting(0.1, above=0.0)
    """Tokens for a success."""

    def build(self) -> GRPCTokens:
        """All tokens."""
        return GRPCTokens(self)


class GRPCTokens:
    """The count of tokens, within [0, max]."""

    __slots__ = ("_policy", "tokens")

    def __init__(self, policy: GRPCBudget) -> None:
        self._policy = policy
        self.tokens = policy.max_tokens

    def open(self, now: float) -> GRPCTokens:
        """A request alone changes nothing; the count is its own lease."""
        return self

    def failed(self, now: float, error: AttemptError) -> None:
        """An attempt failed."""
        self.tokens = max(0.0, self.tokens - 1.0)

    def retry(self, now: float, error: AttemptError) -> bool:
        """Whether more than half of the tokens are left."""
        return self.tokens > self._policy.max_tokens / 2

    def close(self, now: float, answered: bool) -> None:
        """The request is over; an answer was a success."""
        if answered:
            self.tokens = min(self._policy.max_tokens, self.tokens + self._policy.token_ratio)


@dataclass(frozen=True)
class AWSBudget(Section):
    """A retry takes tokens by the kind of error; a success gives the last cost back, or 1 without retries.

    Source: the standard retry mode of the AWS SDKs, botocore 1.44.
    """

    kind = "aws"

    capacity: float = setting(500.0, minimum=1.0)
    """Tokens at the start, and the most."""
    transient_cost: float = setting(14.0, above=0.0)
    """Tokens for a retry after any other error than a throttling one."""
    throttling_cost: float = setting(5.0, above=0.0)
    """Tokens for a retry after a rate limit."""

    def verify(self) -> None:
        """A full bucket pays for each kind of retry."""
        for name, cost in (
            ("transient_cost", self.transient_cost),
            ("throttling_cost", self.throttling_cost),
        ):
            if cost > self.capacity:
                raise ConfigError(name, cost, f"at most capacity ({self.capacity:g})")

    def build(self) -> AWSBucket:
        """A full bucket."""
        return AWSBucket(self)


class AWSBucket:
    """The tokens of all requests, within [0, capacity]."""

    __slots__ = ("policy", "tokens")

    def __init__(self, policy: AWSBudget) -> None:
        self.policy = policy
        self.tokens = policy.capacity

    def open(self, now: float) -> AWSLease:
        """A request that has not been retried."""
        return AWSLease(self)


class AWSLease:
    """What one request paid for its last retry."""

    __slots__ = ("_bucket", "_paid")

    def __init__(self, bucket: AWSBucket) -> None:
        self._bucket = bucket
        self._paid: float | None = None

    def failed(self, now: float, error: AttemptError) -> None:
        """A failure alone costs nothing."""

    def retry(self, now: float, error: AttemptError) -> bool:
        """Whether the tokens pay for a retry after this error; if so they do."""
        policy = self._bucket.policy
        cost = policy.throttling_cost if isinstance(error, RateLimited) else policy.transient_cost
        if cost > self._bucket.tokens:
            return False
        self._bucket.tokens -= cost
        self._paid = cost
        return True

    def close(self, now: float, answered: bool) -> None:
        """The request is over; an answer gives tokens back."""
        if answered:
            back = 1.0 if self._paid is None else self._paid
            self._bucket.tokens = min(self._bucket.policy.capacity, self._bucket.tokens + back)


Budget = FinagleBudget | EnvoyBudget | GRPCBudget | AWSBudget
"""Every kind; the first is meant where no ``kind`` is given."""
