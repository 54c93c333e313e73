"""Circuit breakers by the share of failed and of slow calls: resilience4j's and Polly's."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from simsla.routing.config import setting
from simsla.routing.errors import AttemptError
from simsla.routing.health.machine import CircuitBreaker
from simsla.routing.health.opentime import Opening, growing, verify_longest
from simsla.routing.health.trial import Verdict
from simsla.routing.health.trips import FailureRatio
from simsla.routing.health.windows import CountWindow, TimeWindow, Window
from simsla.routing.types import Reply


@dataclass(frozen=True)
class RatioBreaker(Opening):
    """Open while too large a share of calls fails or is slow; the probes are judged by the same shares.

    Source: resilience4j, ``CircuitBreakerConfig`` and ``CircuitBreakerMetrics``.
    """

    kind = "ratio"

    failure_ratio: float = setting(0.5, above=0.0, maximum=1.0)
    """The share of failed calls from which on it opens. 0.5 as resilience4j."""
    slow_ratio: float = setting(1.0, above=0.0, maximum=1.0)
    """The share of slow calls, failed ones included, from which on it opens. 1 as resilience4j: all."""
    slow_call_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds above which a call is slow. 60 as resilience4j; a call that ``timeouts.total_s`` ends earlier
    is never slow."""
    slow_first_token_s: float | None = setting(None, above=0.0, unit="s")
    """Seconds to the first token above which an answer is slow as well, whatever its length; None: only the
    whole call counts, as in resilience4j, where a long answer is a slow one."""
    window: str = setting("count", choices=("count", "time"))
    """Whether the last ``window_calls`` or the last ``window_s`` decide. "count" as resilience4j."""
    window_calls: int = setting(100, minimum=1)
    """Calls of the count window. 100 as resilience4j."""
    window_s: float = setting(100.0, above=0.0, unit="s")
    """Seconds of the time window. 100 as resilience4j."""
    min_calls: int = setting(100, minimum=1)
    """The least calls in the window for a share to count; at most the count window's size and, while
    half-open, the probes. 100 as resilience4j."""
    open_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds without any call once open. 60 as resilience4j."""
    half_open_probes: int = setting(10, minimum=1)
    """Calls let through while half-open. 10 as resilience4j."""

    def verify(self) -> None:
        """The longest open time is not shorter than the first one."""
        verify_longest(self.open_s, self.max_open_s)

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """A breaker in its first state, closed. ``group`` does not matter to it."""
        rng = random.Random() if rng is None else rng
        return CircuitBreaker(
            _Shares(self),
            growing(self, self.open_s, rng),
            rng,
            probes=self.half_open_probes,
            trial=functools.partial(_SharesTrial, self),
            ramp=self.ramp,
        )

    def is_slow(self, took_s: float, reply: Reply | None) -> bool:
        """Whether a call counts as slow."""
        first_token_s = self.slow_first_token_s
        return took_s > self.slow_call_s or (
            first_token_s is not None and reply is not None and reply.first_token_s > first_token_s
        )

    def exceeded(self, window: Window) -> bool:
        """Whether either share is reached."""
        calls = window.calls
        return window.failed / calls >= self.failure_ratio or window.slow / calls >= self.slow_ratio


class _Shares:
    """The shares of one window."""

    def __init__(self, policy: RatioBreaker) -> None:
        self._policy = policy
        counted = policy.window == "count"
        self._window: Window = CountWindow(policy.window_calls) if counted else TimeWindow(policy.window_s)
        self._least_calls = min(policy.min_calls, policy.window_calls) if counted else policy.min_calls

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """Whether a share is reached; a success can be slow, or the last call that was needed."""
        return self._add(now, False, self._policy.is_slow(took_s, reply))

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether a share is reached."""
        return self._add(now, True, self._policy.is_slow(took_s, None))

    def _add(self, now: float, failed: bool, slow: bool) -> bool:
        self._window.add(now, failed, slow)
        return self._window.calls >= self._least_calls and self._policy.exceeded(self._window)

    def clear(self) -> None:
        """An empty window."""
        self._window.clear()


class _SharesTrial:
    """The same shares over the probes."""

    def __init__(self, policy: RatioBreaker, probes: int) -> None:
        self._policy = policy
        self._window = CountWindow(probes)
        self._least_calls = min(policy.min_calls, probes)

    def succeeded(self, took_s: float, reply: Reply) -> Verdict | None:
        """The verdict once enough probes have ended."""
        return self._add(False, self._policy.is_slow(took_s, reply))

    def failed(self, took_s: float, error: AttemptError) -> Verdict | None:
        """The verdict once enough probes have ended."""
        return self._add(True, self._policy.is_slow(took_s, None))

    def _add(self, failed: bool, slow: bool) -> Verdict | None:
        self._window.add(0.0, failed, slow)
        if self._window.calls < self._least_calls:
            return None
        return "open" if self._policy.exceeded(self._window) else "close"


@dataclass(frozen=True)
class PollyBreaker(Opening):
    """Open where too large a share of the calls of a time window failed; one probe. Source: Polly v8,
    ``CircuitBreakerStrategyOptions``.
    """

    kind = "polly"

    failure_ratio: float = setting(0.1, above=0.0, maximum=1.0)
    """The share of failed calls from which on it opens. 0.1 as Polly."""
    minimum_throughput: int = setting(100, minimum=2)
    """The least calls in the window for the share to count. 100 as Polly."""
    sampling_s: float = setting(30.0, above=0.0, unit="s")
    """Seconds of the window. 30 as Polly."""
    open_s: float = setting(5.0, above=0.0, unit="s")
    """Seconds without any call once open: Polly's break duration. 5 as Polly."""
    half_open_probes: int = setting(1, minimum=1)
    """Calls let through while half-open; as many successes close the breaker, one failure opens it. 1 as
    Polly."""

    def verify(self) -> None:
        """The longest open time is not shorter than the first one."""
        verify_longest(self.open_s, self.max_open_s)

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """A breaker in its first state, closed. ``group`` does not matter to it."""
        rng = random.Random() if rng is None else rng
        return CircuitBreaker(
            FailureRatio(
                TimeWindow(self.sampling_s),
                self.failure_ratio,
                self.minimum_throughput,
            ),
            growing(self, self.open_s, rng),
            rng,
            probes=self.half_open_probes,
            ramp=self.ramp,
        )
