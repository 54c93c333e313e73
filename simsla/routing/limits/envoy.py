"""The limit ``envoy_gradient``: Envoy's adaptive concurrency filter."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.limits.adaptive import SIGNALS, AdaptiveLimit

_KEPT: Final = 1000
# So many updates in a row at the lowest limit mean that the ideal was measured wrongly.
_AT_LOWEST: Final = 5


@dataclass(frozen=True)
class EnvoyGradient(Section):
    """The limit follows the ideal value of the signal over its current one.

    The ideal is measured now and then at ``min_concurrency``. Then, every ``update_s`` with an answer,
    g = clamp((1 + buffer) x ideal / current, 0.5, 2); limit <- g limit + sqrt(g limit). Source: the gradient
    controller of Envoy's adaptive concurrency filter. While it measures, most of the load is refused: give
    it somewhere else to go.
    """

    kind = "envoy_gradient"

    signal: str = setting("per_token", choices=tuple(SIGNALS))
    """What is measured: "per_token", seconds per output token; "first_token"; or "round_trip" as in Envoy,
    which grows with the length of the answers, so that the limit collapses."""
    percentile: float = setting(50.0, above=0.0, maximum=100.0)
    """Of the samples of an update, and of a measurement of the ideal. 50 as in Envoy."""
    update_s: float = setting(0.1, above=0.0, unit="s")
    """Seconds between updates; one without an answer is left out. 0.1 as in Envoy's example."""
    interval_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds from one measurement of the ideal to the next. 60 as in Envoy's example, whose answers take
    milliseconds: with answers of 5 s a measurement takes 83 s, and an hour between two is more like it."""
    requests: int = setting(50, minimum=1, maximum=_KEPT)
    """Answers that a measurement of the ideal takes. 50 as in Envoy."""
    jitter: float = setting(0.15, minimum=0.0, maximum=1.0)
    """Share of ``interval_s`` up to which it is prolonged at random, so that not all deployments are measured
    at once. 0.15 as in Envoy."""
    buffer: float = setting(0.25, minimum=0.0)
    """Share by which the current value may be above the ideal. 0.25 as in Envoy."""
    min_concurrency: int = setting(3, minimum=1)
    """The lowest limit, and that of a measurement. 3 as in Envoy."""
    max_concurrency: int = setting(1000, minimum=1)
    """The highest limit. 1000 as in Envoy."""

    def verify(self) -> None:
        """The bounds are in order."""
        if self.max_concurrency < self.min_concurrency:
            expected = f"at least min_concurrency ({self.min_concurrency})"
            raise ConfigError("max_concurrency", self.max_concurrency, expected)

    def build(self, rng: random.Random) -> AdaptiveLimit:
        """A limit of one deployment, which begins with a measurement."""
        return AdaptiveLimit(_Gradient(self, rng), self.signal)


class _Gradient:
    __slots__ = (
        "_at_lowest",
        "_deferred",
        "_epoch",
        "_ideal_s",
        "_measuring",
        "_next_measurement",
        "_next_update",
        "_policy",
        "_random",
        "_samples",
        "limit",
    )

    def __init__(self, policy: EnvoyGradient, rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._samples: deque[float] = deque(maxlen=_KEPT)
        self._ideal_s = 0.0
        self._at_lowest = 0
        self._next_update = math.inf
        self._next_measurement = -math.inf
        self._epoch = -math.inf
        self._measuring = False
        self._deferred = self.limit = policy.min_concurrency

    def turn(self, now: float) -> None:
        """Whatever is due."""
        if self._measuring:
            return
        if now >= self._next_update:
            self._next_update = now + self._policy.update_s
            if self._samples:
                self._update()
        if now >= self._next_measurement or self._at_lowest >= _AT_LOWEST:
            self._measure(now)

    def sample(self, value_s: float, in_flight: int, start: float, now: float) -> None:
        """Those that began before the last measurement are of another load."""
        self.turn(now)
        if start < self._epoch:
            return
        self._samples.append(value_s)
        if self._measuring and len(self._samples) >= self._policy.requests:
            self._measured(now)

    def dropped(self, now: float) -> None:
        """Errors have no latency to learn from."""

    def _measure(self, now: float) -> None:
        self._measuring = True
        self._epoch = now
        self._at_lowest = 0
        self._samples.clear()
        self._deferred = self.limit
        self.limit = self._policy.min_concurrency

    def _measured(self, now: float) -> None:
        policy = self._policy
        self._ideal_s = self._summary_s()
        self._measuring = False
        self.limit = self._deferred
        self._next_update = now + policy.update_s
        self._next_measurement = now + policy.interval_s * (1.0 + policy.jitter * self._random())

    def _update(self) -> None:
        policy = self._policy
        lowest = self.limit == policy.min_concurrency
        gradient = (1.0 + policy.buffer) * self._ideal_s / self._summary_s()
        limit = self.limit * max(0.5, min(2.0, gradient))
        limit = int(limit + math.sqrt(limit))
        self.limit = max(policy.min_concurrency, min(policy.max_concurrency, limit))
        lowest = lowest and self.limit == policy.min_concurrency
        self._at_lowest = self._at_lowest + 1 if lowest else 0

    def _summary_s(self) -> float:
        ordered = sorted(self._samples)
        self._samples.clear()
        return ordered[math.ceil(len(ordered) * self._policy.percentile / 100.0) - 1]
