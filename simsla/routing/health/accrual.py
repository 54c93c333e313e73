"""Failure accrual, as in Finagle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from simsla.routing.config import Section, setting
from simsla.routing.health.machine import CircuitBreaker
from simsla.routing.health.opentime import EqualJitteredTime, verify_longest
from simsla.routing.health.ramp import Ramp
from simsla.routing.health.trips import FailureAccrual
from simsla.routing.health.windows import TimeWindow


@dataclass(frozen=True)
class FinagleBreaker(Section):
    """Dead after failures in a row or below a success rate, for a time that grows with equal jitter; then one
    request is the probe. Source: Finagle, ``FailureAccrualFactory`` and ``FailureAccrualPolicy``.
    """

    kind = "finagle"

    failures: int = setting(5, minimum=1)
    """Failures in a row. 5 as Finagle."""
    success_rate: float = setting(0.8, minimum=0.0, maximum=1.0)
    """The success rate below which it is dead. 0.8 as Finagle; 0: never for its rate."""
    window_s: float = setting(30.0, above=0.0, unit="s")
    """Seconds over which the rate is taken. 30 as Finagle."""
    min_requests: int = setting(5, minimum=1)
    """The least requests in the window for the rate to count. 5 as Finagle."""
    open_s: float = setting(5.0, above=0.0, unit="s")
    """Seconds; the first dead time. 5 as Finagle."""
    max_open_s: float = setting(300.0, above=0.0, unit="s")
    """Seconds; the longest dead time. 300 as Finagle."""
    ramp: Ramp | None = field(default=None)
    """How the admitted share climbs after the probe succeeded; None: at once to all, as Finagle."""

    def verify(self) -> None:
        """The longest dead time is not shorter than the first one."""
        verify_longest(self.open_s, self.max_open_s)

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """A breaker in its first state, closed. ``group`` does not matter to it."""
        rng = random.Random() if rng is None else rng
        return CircuitBreaker(
            FailureAccrual(self.failures, TimeWindow(self.window_s), self.success_rate, self.min_requests),
            EqualJitteredTime(self.open_s, self.max_open_s, rng),
            rng,
            ramp=self.ramp,
        )
