"""The limits ``aimd`` and ``gradient2`` of Netflix's concurrency-limits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.limits.adaptive import SIGNALS, AdaptiveLimit

_WARM_UP: Final = 10
# The long average falls faster while it is this many times the latest sample.
_DRIFT: Final = 2.0
_DRIFT_FACTOR: Final = 0.9


@dataclass(frozen=True)
class _Bounded(Section):
    """What both have."""

    signal: str = setting("per_token", choices=tuple(SIGNALS))
    """What is measured: "per_token", seconds per output token; "first_token"; or "round_trip", for which the
    formula was made, but which grows with the length of the answers, so that the limit collapses."""
    min_limit: int = setting(20, minimum=1)
    """The limit is never lower. 20 as in concurrency-limits."""
    max_limit: int = setting(200, minimum=1)
    """The limit is never higher. 200 as in concurrency-limits."""
    initial_limit: int = setting(20, minimum=1)
    """The limit at the start. 20 as in concurrency-limits."""

    def verify(self) -> None:
        """The bounds are in order."""
        if self.max_limit < self.min_limit:
            raise ConfigError("max_limit", self.max_limit, f"at least min_limit ({self.min_limit})")
        if not self.min_limit <= self.initial_limit <= self.max_limit:
            expected = f"within min_limit and max_limit ({self.min_limit} to {self.max_limit})"
            raise ConfigError("initial_limit", self.initial_limit, expected)


@dataclass(frozen=True)
class AimdLimit(_Bounded):
    """+1 for an answer while at least half of the limit is in use, x ``backoff_ratio`` for an overload.

    Source: AIMDLimit of concurrency-limits.
    """

    kind = "aimd"

    backoff_ratio: float = setting(0.9, minimum=0.5, maximum=0.99)
    """What is left of the limit after an overload. 0.9 as in concurrency-limits."""
    slow_s: float = setting(5.0, above=0.0, unit="s")
    """A signal above this is an overload. 5 as in concurrency-limits, where it is a round trip: with another
    signal the errors alone count until this is set to what is too slow for it."""

    def build(self, rng: random.Random) -> AdaptiveLimit:
        """A limit of one deployment."""
        return AdaptiveLimit(_Aimd(self), self.signal)


class _Aimd:
    __slots__ = ("_policy", "limit")

    def __init__(self, policy: AimdLimit) -> None:
        self._policy = policy
        self.limit: float = policy.initial_limit

    def turn(self, now: float) -> None:
        """Nothing depends on time."""

    def sample(self, value_s: float, in_flight: int, start: float, now: float) -> None:
        """Faster where the limit is in use."""
        if value_s > self._policy.slow_s:
            self.dropped(now)
        elif in_flight * 2 >= self.limit:
            self.limit = min(self._policy.max_limit, self.limit + 1)

    def dropped(self, now: float) -> None:
        """Slower."""
        self.limit = max(self._policy.min_limit, int(self.limit * self._policy.backoff_ratio))


@dataclass(frozen=True)
class Gradient2Limit(_Bounded):
    """The limit follows the long average of the signal over its latest value.

    g = clamp(tolerance x long / latest, 0.5, 1); limit <- (1 - smoothing) limit + smoothing (g limit +
    queue_size). It does not change while less than half of it is in use. Errors change nothing: together with
    a throttle they do. Source: Gradient2Limit of concurrency-limits.
    """

    kind = "gradient2"

    tolerance: float = setting(1.5, minimum=1.0)
    """How many times its long average the signal may be before the limit falls. 1.5 as in
    concurrency-limits."""
    smoothing: float = setting(0.2, above=0.0, maximum=1.0)
    """Weight of the new limit. 0.2 as in concurrency-limits."""
    queue_size: int = setting(4, minimum=0)
    """What the limit grows by while the signal is steady. 4 as in concurrency-limits."""
    long_window: int = setting(600, minimum=1)
    """Answers in the exponential long average. 600 as in concurrency-limits."""

    def build(self, rng: random.Random) -> AdaptiveLimit:
        """A limit of one deployment."""
        return AdaptiveLimit(_Gradient2(self), self.signal)


class _Gradient2:
    __slots__ = ("_count", "_long_s", "_policy", "limit")

    def __init__(self, policy: Gradient2Limit) -> None:
        self._policy = policy
        self._long_s = 0.0
        self._count = 0
        self.limit: float = policy.initial_limit

    def turn(self, now: float) -> None:
        """Nothing depends on time."""

    def sample(self, value_s: float, in_flight: int, start: float, now: float) -> None:
        """One step towards the gradient."""
        policy = self._policy
        long_s = self._average(value_s)
        if long_s / value_s > _DRIFT:
            self._long_s *= _DRIFT_FACTOR
        if in_flight < self.limit / 2:
            return
        gradient = max(0.5, min(1.0, policy.tolerance * long_s / value_s))
        target = gradient * self.limit + policy.queue_size
        limit = self.limit * (1.0 - policy.smoothing) + target * policy.smoothing
        self.limit = max(policy.min_limit, min(policy.max_limit, limit))

    def dropped(self, now: float) -> None:
        """Errors have no latency to learn from."""

    def _average(self, value_s: float) -> float:
        """The mean of the first ten, from then on exponential."""
        if self._count < _WARM_UP:
            self._count += 1
            self._long_s += (value_s - self._long_s) / self._count
        else:
            self._long_s += (value_s - self._long_s) * 2.0 / (self._policy.long_window + 1)
        return self._long_s
