"""Throttling by chance: the more of its answers fail, the less a deployment is asked."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.limits.windows import SlidingSum
from simsla.routing.progress import Progress
from simsla.routing.types import Reply

_SLICES: Final = 60


@dataclass(frozen=True)
class SreThrottle(Section):
    """Refuses with probability max(0, (requests - k x accepts) / (requests + 1)).

    Requests count before they are sent, those refused here included, accepts when they are answered. Source:
    adaptive throttling in Site Reliability Engineering, "Handling Overload".
    """

    kind = "sre"

    k: float = setting(2.0, minimum=1.0)
    """Requests per accept that are let through. 2 as at Google: half of what is sent may fail."""
    window_s: float = setting(120.0, above=0.0, unit="s")
    """Seconds that count. 120 as at Google."""
    min_requests: int = setting(100, minimum=0)
    """Nothing is refused before so many requests in the window, because the answers to the first ones are
    still to come. 100 as in Kratos; the formula alone has 0."""

    def build(self, rng: random.Random) -> _Sre:
        """The throttle of one deployment."""
        return _Sre(self, rng)


class _Sre:
    refusal = "throttled"

    __slots__ = ("_accepts", "_policy", "_random", "_requests")

    def __init__(self, policy: SreThrottle, rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._requests = SlidingSum(policy.window_s / _SLICES, _SLICES)
        self._accepts = SlidingSum(policy.window_s / _SLICES, _SLICES)

    def probability(self, now: float) -> float:
        """Of a refusal."""
        requests = self._requests.total(now)
        if requests < self._policy.min_requests:
            return 0.0
        return max(0.0, (requests - self._policy.k * self._accepts.total(now)) / (requests + 1.0))

    def admit(self, progress: Progress, now: float) -> int | None:
        """A ticket, or by chance none; counted either way."""
        probability = self.probability(now)
        number = self._requests.add(1.0, now)
        return None if probability > 0.0 and self._random() < probability else number

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """Accepted."""
        self._accepts.add(1.0, now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """Not accepted."""

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """As if it had not been."""
        assert isinstance(ticket, int)
        self._requests.take_back(1.0, ticket, now)

    def available_at(self, now: float) -> float:
        """Now: it is a matter of chance."""
        return now


@dataclass(frozen=True)
class EnvoyThrottle(Section):
    """Refuses with probability ((n - successes / threshold) / (n + 1)) ^ (1 / aggression), n attempts ended.

    Source: Envoy's admission control filter. Every failure of the deployment counts, the rate limit too.
    """

    kind = "envoy"

    threshold: float = setting(0.95, above=0.0, maximum=1.0)
    """Success rate from which on nothing is refused. 0.95 as in Envoy."""
    aggression: float = setting(1.0, minimum=1.0)
    """1 as in Envoy: the probability rises linearly as the success rate falls; a larger one, faster."""
    window_s: float = setting(120.0, above=0.0, unit="s")
    """Seconds that count. 120 as in Envoy's example."""
    max_probability: float = setting(0.8, minimum=0.0, maximum=1.0)
    """The most that is refused, so that a recovery is seen. 0.8 as in Envoy."""
    min_rps: float = setting(5.0, minimum=0.0)
    """Attempts per second below which nothing is refused. 5 as in Envoy's example."""

    def build(self, rng: random.Random) -> _Envoy:
        """The throttle of one deployment."""
        return _Envoy(self, rng)


class _Envoy:
    refusal = "throttled"

    __slots__ = ("_ended", "_policy", "_random", "_successes")

    def __init__(self, policy: EnvoyThrottle, rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._ended = SlidingSum(policy.window_s / _SLICES, _SLICES)
        self._successes = SlidingSum(policy.window_s / _SLICES, _SLICES)

    def probability(self, now: float) -> float:
        """Of a refusal."""
        policy = self._policy
        ended = self._ended.total(now)
        excess = ended - self._successes.total(now) / policy.threshold
        # As Envoy: the rate over the time since the oldest sample, at least a second.
        if excess <= 0.0 or ended < policy.min_rps * max(1.0, self._ended.age_s(now)):
            return 0.0
        return min(policy.max_probability, math.pow(excess / (ended + 1.0), 1.0 / policy.aggression))

    def admit(self, progress: Progress, now: float) -> bool | None:
        """A ticket, or by chance none."""
        probability = self.probability(now)
        return None if probability > 0.0 and self._random() < probability else True

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """A success."""
        self._ended.add(1.0, now)
        self._successes.add(1.0, now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """A failure."""
        self._ended.add(1.0, now)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """Says nothing."""

    def available_at(self, now: float) -> float:
        """Now: it is a matter of chance."""
        return now
