"""Delays as resilience libraries compute them, with their own numbers as defaults: Polly and stamina."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError

_P_FACTOR: Final = 4.0
_SCALE: Final = 1.0 / 1.4
# Beyond it every delay is far above any cap, and further still it would overflow.
_LARGEST_EXPONENT: Final = 100


def _polly_curve(t: float) -> float:
    return math.exp2(t) * math.tanh(math.sqrt(_P_FACTOR * t))


@dataclass(frozen=True)
class PollyBackoff(Section):
    """min(cap, base / 1.4 (f(n + U) - f(n - 1 + U'))) with f(t) = 2^t tanh(sqrt(4 t)) and f = 0 before 0.

    Polly's exponential back-off with jitter: medians near 1, 1, 2, 4, 8 times the base, without peaks of
    density. Source: Polly.Contrib.WaitAndRetry, Backoff.DecorrelatedJitterV2, which Polly 8 has taken over.
    There U' is the U of the retry before; here it is drawn anew, because a rule keeps nothing between
    retries: each delay has the same distribution, only neighbours are not correlated.
    """

    kind = "polly"

    base_s: float = setting(2.0, minimum=0.0, unit="s")
    """Seconds; about the median of the first delay. 2 as Polly's ``Delay``."""
    cap_s: float = setting(20.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever: ``MaxDelay``, which Polly leaves open. 20 as in the AWS SDKs."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        retry = min(retry, _LARGEST_EXPONENT)
        risen = _polly_curve(retry + rng.random())
        before = _polly_curve(retry - 1 + rng.random()) if retry else 0.0
        return min(self.cap_s, (risen - before) * _SCALE * self.base_s)


@dataclass(frozen=True)
class StaminaBackoff(Section):
    """min(cap, base k^n + U(0, jitter)), as stamina."""

    kind = "stamina"

    base_s: float = setting(0.1, minimum=0.0, unit="s")
    """Seconds; ``wait_initial``, the first delay without its jitter."""
    cap_s: float = setting(5.0, minimum=0.0, unit="s")
    """Seconds; ``wait_max``, jitter included."""
    jitter_s: float = setting(1.0, minimum=0.0, unit="s")
    """Seconds; ``wait_jitter``, the most that jitter adds."""
    multiplier: float = setting(2.0, minimum=1.0, maximum=1000.0)
    """``wait_exp_base``, the k."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        grown_s = self.base_s * self.multiplier ** min(retry, _LARGEST_EXPONENT)
        return min(self.cap_s, grown_s + self.jitter_s * rng.random())
