"""Hedging, by the origin of the delay: ``fixed`` as in gRPC and Polly, ``percentile`` as in Finagle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.hedging.budget import HedgeBudget
from simsla.routing.hedging.delays import FixedDelay, PercentileDelay
from simsla.routing.hedging.hedges import Hedges
from simsla.routing.types import Timeouts

_ON: Final = ("completion", "first_token")


@dataclass(frozen=True)
class _Hedge(Section):
    """What all kinds have in common."""

    budget: HedgeBudget = field()
    """What share of the requests may be hedged. Required."""
    on: str = setting("completion", choices=_ON)
    """What must come in time and decides who wins: the whole answer, or its first token. With "first_token"
    all answers are read as streams; how long an answer is does not matter, so it tells late from long. With
    "completion" those that are read as streams are not hedged."""
    max_hedges: int = setting(1, minimum=1, maximum=4)
    """Hedges of one attempt, each the delay after the one before. 1 as in Polly and Finagle; gRPC allows
    five attempts in all. ``max_attempts`` of the policy counts them too."""
    to: str = setting("other", choices=("other", "any"))
    """"other": a deployment of the same tier that this request is not at. "any": also the same one again,
    after the others. Never a lower tier, never one whose health refuses."""
    min_headroom_s: float = setting(0.0, minimum=0.0, unit="s")
    """Seconds of the deadline that must be left to a hedge; with less it could not finish. A percentile also
    asks for the median of what it has seen. 0: whatever is left."""
    when_headroom_below_s: float | None = setting(None, above=0.0, unit="s")
    """Hedge only when no more than this is left of the deadline, so that those who can wait do. None:
    however much is left. Wanted in llm-d-router#646."""

    def verify(self) -> None:
        """The head-room in which to hedge is not empty."""
        thin_s = self.when_headroom_below_s
        if thin_s is not None and thin_s <= self.min_headroom_s:
            expected = f"above min_headroom_s ({self.min_headroom_s:g}), or null"
            raise ConfigError("when_headroom_below_s", thin_s, expected)

    def check(self, deadline_s: float, timeouts: Timeouts, max_attempts: int) -> None:
        """Refuse, with `ConfigError` and its path in the policy, what could never send a hedge under the
        policy's other limits.
        """
        if self.max_hedges >= max_attempts:
            expected = f"less than max_attempts ({max_attempts}), which counts hedges too"
            raise ConfigError("hedge.max_hedges", self.max_hedges, expected)
        limit_s = timeouts.first_token_s if self.on == "first_token" else timeouts.total_s
        for name, delay_s in self._delays():
            if limit_s is not None and delay_s is not None and delay_s >= limit_s:
                raise ConfigError(f"hedge.{name}", delay_s, f"less than an attempt may take ({limit_s:g})")
        if self.min_headroom_s >= deadline_s:
            expected = f"less than deadline_s ({deadline_s:g})"
            raise ConfigError("hedge.min_headroom_s", self.min_headroom_s, expected)

    def _delays(self) -> Iterable[tuple[str, float | None]]:
        return ()


@dataclass(frozen=True)
class FixedHedge(_Hedge):
    """A hedge after a fixed time. Source: gRPC A6, hedgingPolicy; Polly, HedgingStrategyOptions."""

    kind = "fixed"

    delay_s: float = setting(2.0, minimum=0.0, unit="s")
    """Seconds from the attempt to its hedge. 2 as in Polly; the example of gRPC has 0.5, too soon for answers
    that take seconds. 0: both at once."""

    def _delays(self) -> Iterable[tuple[str, float | None]]:
        return (("delay_s", self.delay_s),)

    def build(self) -> Hedges:
        """With a full budget."""
        return Hedges(self, FixedDelay(self))


@dataclass(frozen=True)
class PercentileHedge(_Hedge):
    """A hedge when an attempt takes longer than most: the live percentile of recent attempts.

    With independent latencies it costs a share 1 - ``percentile`` of further attempts. Finagle reckons it
    anew every 3 s, this one with each attempt. Source: Finagle, BackupRequestFilter; Dean and Barroso, The
    Tail at Scale.
    """

    kind = "percentile"

    percentile: float = setting(0.95, above=0.0, maximum=0.9999)
    """The share of attempts that are not late. 0.95 as in The Tail at Scale; Finagle: 1 - maxExtraLoad."""
    per: str = setting("model", choices=("model", "deployment"))
    """Whose attempts are compared. "model": of all deployments of the model, so that one that became slow is
    late by the measure of the others. "deployment": its own alone, where they differ by nature."""
    per_token: bool = setting(False)
    """Compare seconds per output token: an attempt is late when an answer of the request's ``max_tokens``
    (without: of the longest seen) would be, so that none is hedged for being long. Of completions only."""
    min_samples: int = setting(100, minimum=1)
    """Attempts within the window from which on the percentile is trusted. 100: five are above p95."""
    initial_delay_s: float | None = setting(None, above=0.0, unit="s")
    """The delay until then; None: no hedge until then, as in Finagle."""
    samples: int = setting(1000, minimum=1, maximum=10_000)
    """The most attempts compared, the latest."""
    window_s: float = setting(300.0, above=0.0, unit="s")
    """Seconds after which an attempt is forgotten. Finagle's 30 has too few of calls that take seconds."""

    def verify(self) -> None:
        """The samples suffice to tell the percentile from the maximum."""
        super().verify()
        if self.per_token and self.on == "first_token":
            raise ConfigError("per_token", True, "false where on is first_token, which depends on no length")
        # Rounded: 1 - 0.95 is a little more than 0.05.
        least = math.ceil(round(1.0 / (1.0 - self.percentile), 6)) - 1
        if self.min_samples < least:
            expected = f"at least {least} for the percentile {self.percentile:g}"
            raise ConfigError("min_samples", self.min_samples, expected)
        if self.samples < self.min_samples:
            raise ConfigError("samples", self.samples, f"at least min_samples ({self.min_samples})")

    def _delays(self) -> Iterable[tuple[str, float | None]]:
        return (("initial_delay_s", self.initial_delay_s),)

    def build(self) -> Hedges:
        """With a full budget and nothing seen yet."""
        return Hedges(self, PercentileDelay(self))


HedgePolicy = FixedHedge | PercentileHedge
"""Every kind; the first is meant where no ``kind`` is given."""
