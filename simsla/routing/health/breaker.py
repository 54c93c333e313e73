"""Circuit breakers by consecutive failures, and the union of every kind of breaker."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simsla.routing.config import setting
from simsla.routing.health.accrual import FinagleBreaker
from simsla.routing.health.cooldown import LiteLLMCooldown, PortkeyBreaker
from simsla.routing.health.machine import CircuitBreaker
from simsla.routing.health.opentime import Opening, growing, verify_longest
from simsla.routing.health.ratio import PollyBreaker, RatioBreaker
from simsla.routing.health.trips import Consecutive

__all__ = ["Breaker", "BreakerPolicy", "CircuitBreaker"]


@dataclass(frozen=True)
class BreakerPolicy(Opening):
    """When to stop calling a deployment, and how to find out that it is back."""

    kind = "consecutive"

    failures: int = setting(5, minimum=1)
    """Consecutive failures that open the breaker. 5 as in Finagle's failure accrual and Envoy's
    consecutive_5xx."""
    open_s: float = setting(30.0, above=0.0, unit="s")
    """Seconds without any call once open. 30 as Envoy's base ejection time."""
    half_open_probes: int = setting(1, minimum=1)
    """Calls let through while half-open; as many successes close the breaker, one failure opens it again. 1
    as Finagle: what is still broken then costs one request per ``open_s``."""

    def verify(self) -> None:
        """The longest open time is not shorter than the first one."""
        verify_longest(self.open_s, self.max_open_s)

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """A breaker in its first state, closed. ``group`` does not matter to it."""
        rng = random.Random() if rng is None else rng
        return CircuitBreaker(
            Consecutive(self.failures),
            growing(self, self.open_s, rng),
            rng,
            probes=self.half_open_probes,
            ramp=self.ramp,
        )


Breaker = BreakerPolicy | RatioBreaker | PollyBreaker | FinagleBreaker | LiteLLMCooldown | PortkeyBreaker
"""Every kind; the first is meant where no ``kind`` is given.

``build(rng, group)`` makes the breaker of one deployment: ``rng`` decides jitter and ramps (None: one of its
own), ``group`` is how many deployments serve the same tier, this one included.
"""
