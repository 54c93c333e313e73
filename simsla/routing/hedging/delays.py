"""How late an attempt must be before it is hedged: a fixed time, or a live percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from simsla.routing.hedging.window import Window
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Request

if TYPE_CHECKING:
    from simsla.routing.hedging.policy import FixedHedge, PercentileHedge

SHORTEST_DELAY_S: Final = 0.001
"""Where the percentile of instant answers is 0, the hedge is not sent along with each of them. As Finagle."""

# Durations are differences of large floats: an attempt that takes just as long as all others is not late.
_ROUNDING_S: Final = 1e-6


class Delay(Protocol):
    """The delay before a hedge. It learns from first attempts alone: of a hedge it is known only how long the
    lucky ones took.
    """

    @property
    def learns(self) -> bool:
        """Whether `took` changes anything."""
        ...

    def after_s(self, candidate: Candidate, request: Request, now: float) -> float | None:
        """Seconds after which an attempt at the candidate is late; None where that is not known yet."""
        ...

    def needs_s(self, candidate: Candidate, request: Request) -> float:
        """Seconds that half of the attempts at the candidate need; 0.0 where that is not known."""
        ...

    def took(
        self, candidate: Candidate, request: Request, now: float, seconds: float, tokens: int | None
    ) -> None:
        """An attempt took so long, with so many tokens of output; None: at least so long, it was cut off."""
        ...


class FixedDelay:
    """Always the same."""

    __slots__ = ("_delay_s",)

    learns = False

    def __init__(self, policy: FixedHedge) -> None:
        self._delay_s = policy.delay_s

    def after_s(self, candidate: Candidate, request: Request, now: float) -> float:
        """As configured."""
        return self._delay_s

    def needs_s(self, candidate: Candidate, request: Request) -> float:
        """Not known."""
        return 0.0

    def took(
        self, candidate: Candidate, request: Request, now: float, seconds: float, tokens: int | None
    ) -> None:
        """Nothing is learnt."""


class PercentileDelay:
    """A live percentile of the seconds, or of the seconds per output token, of recent attempts."""

    __slots__ = ("_policy", "_recent", "_whose_model")

    learns = True

    def __init__(self, policy: PercentileHedge) -> None:
        self._policy = policy
        self._whose_model = policy.per == "model"
        self._recent: dict[str, Recent] = {}

    def after_s(self, candidate: Candidate, request: Request, now: float) -> float | None:
        """The percentile; ``initial_delay_s`` until there are enough attempts to know it."""
        policy, recent = self._policy, self._of(candidate)
        recent.seconds.forget(now)
        if len(recent.seconds) < policy.min_samples:
            return policy.initial_delay_s
        delay_s = recent.seconds.quantile(policy.percentile) * self._scale(recent, request)
        return max(SHORTEST_DELAY_S, delay_s + _ROUNDING_S)

    def needs_s(self, candidate: Candidate, request: Request) -> float:
        """The median, where the percentile is known as well."""
        recent = self._of(candidate)
        if len(recent.seconds) < self._policy.min_samples:
            return 0.0
        return recent.seconds.quantile(0.5) * self._scale(recent, request)

    def took(
        self, candidate: Candidate, request: Request, now: float, seconds: float, tokens: int | None
    ) -> None:
        """One more sample. What was cut off was late already, so it stays above the percentile: counted as if
        it had ended then, it moves no percentile below.
        """
        recent = self._of(candidate)
        if self._policy.per_token:
            if tokens is None:
                seconds /= self._scale(recent, request)
            else:
                seconds /= max(tokens, 1)
                recent.tokens.add(now, max(tokens, 1))
        recent.seconds.add(now, seconds)

    def _of(self, candidate: Candidate) -> Recent:
        deployment = candidate.deployment
        key = deployment.model if self._whose_model else deployment.name
        recent = self._recent.get(key)
        if recent is None:
            recent = self._recent[key] = Recent(self._policy)
        return recent

    def _scale(self, recent: Recent, request: Request) -> float:
        """What a sample is multiplied with: 1, or the most tokens that this answer may have."""
        if not self._policy.per_token:
            return 1.0
        if request.max_tokens is not None:
            return request.max_tokens
        return recent.tokens.quantile(1.0) if len(recent.tokens) else 1.0


class Recent:
    """What recent attempts at one deployment or model took, and how many tokens they gave."""

    __slots__ = ("seconds", "tokens")

    def __init__(self, policy: PercentileHedge) -> None:
        self.seconds = Window(policy.samples, policy.window_s)
        self.tokens = Window(policy.samples, policy.window_s)
