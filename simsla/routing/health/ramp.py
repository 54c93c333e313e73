"""The ramped return: after an outage the admitted share of calls climbs, so that what has just come back is
not flooded at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError


@dataclass(frozen=True)
class StepRamp(Section):
    """The share climbs in steps of equal length, as asked for in Bifrost's issues 120 and 125."""

    kind = "steps"

    over_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds from the return to the whole share. 60: two of the default open times."""
    shares: tuple[float, ...] = setting((0.1, 0.25, 0.5), above=0.0, maximum=1.0)
    """The share of calls admitted in each step, then all. 10, 25 and 50 % as Bifrost."""

    def verify(self) -> None:
        """At least one step, none below the one before it."""
        if not self.shares:
            raise ConfigError("shares", [], "at least one share")
        for index, share in enumerate(self.shares[1:], 1):
            if share < self.shares[index - 1]:
                raise ConfigError(f"shares.{index}", share, f"at least {self.shares[index - 1]:g}")

    def share(self, elapsed_s: float) -> float:
        """The share so long after the return."""
        if elapsed_s >= self.over_s:
            return 1.0
        return self.shares[min(int(elapsed_s / self.over_s * len(self.shares)), len(self.shares) - 1)]


@dataclass(frozen=True)
class LinearRamp(Section):
    """The share climbs in proportion to time, as Envoy's slow start does."""

    kind = "linear"

    over_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds from the return to the whole share. 60: two of the default open times."""
    from_share: float = setting(0.1, above=0.0, maximum=1.0)
    """The share at the return. 0.1 as Envoy's ``min_weight_percent``."""

    def share(self, elapsed_s: float) -> float:
        """The share so long after the return."""
        climbed = min(1.0, max(0.0, elapsed_s / self.over_s))
        return self.from_share + (1.0 - self.from_share) * climbed


Ramp = StepRamp | LinearRamp
"""Every kind; the first is meant where no ``kind`` is given."""
