"""Outlier detection over all deployments of a Router, as in Envoy: one that is clearly worse than it should
be, or than the others, is ejected for a while.

Source: Envoy, ``outlier_detection.proto`` and ``outlier_detection_impl.cc``. Envoy works at a timer; here the
work of a timer is done when the next call comes, as of the moment when the timer would have fired.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.health.detector import OutlierDetector


@dataclass(frozen=True)
class OutlierPolicy(Section):
    """When a deployment is ejected, for how long, and how many may be at a time.

    A 5xx, a timeout, a failed connection and a broken reply are failures; any other answer, a 429 among them,
    is a success, because it says that the deployment is there.
    """

    consecutive_5xx: int = setting(5, minimum=1)
    """Failures in a row that eject. 5 as Envoy."""
    interval_s: float = setting(10.0, above=0.0, unit="s")
    """Seconds between two looks at the rates, at which deployments also return. 10 as Envoy."""
    base_ejection_s: float = setting(30.0, above=0.0, unit="s")
    """Seconds of an ejection, times the number of ejections, which falls by one in each interval without one.
    30 as Envoy."""
    max_ejection_s: float | None = setting(None, above=0.0, unit="s")
    """Seconds; the longest ejection. Left out: 300 as Envoy, or ``base_ejection_s`` if longer."""
    max_ejection_jitter_s: float = setting(0.0, minimum=0.0, unit="s")
    """Seconds; a random time up to this is added to each ejection. 0 as Envoy."""
    max_ejection_percent: float = setting(10.0, minimum=0.0, maximum=100.0)
    """The most deployments that are ejected at a time, in percent. 10 as Envoy."""
    always_eject_one: bool = setting(True)
    """Whether one may be ejected even where the percentage allows none. True, as in Envoy before this became
    an option that is off there: fewer than ten deployments are the rule here."""
    success_rate_minimum_hosts: int = setting(5, minimum=1)
    """The least deployments with enough requests for their success rates to be compared. 5 as Envoy."""
    success_rate_request_volume: int = setting(100, minimum=1)
    """The least requests of a deployment in an interval for its success rate to be compared. 100 as Envoy."""
    success_rate_stdev_factor: float = setting(1.9, minimum=0.0)
    """A success rate below the mean minus so many standard deviations ejects. 1.9: Envoy's 1900."""
    failure_percentage_threshold: float = setting(85.0, minimum=0.0, maximum=100.0)
    """The percentage of failures from which on it ejects, where that is enforced. 85 as Envoy."""
    failure_percentage_minimum_hosts: int = setting(5, minimum=1)
    """The least deployments with enough requests for the percentage to count. 5 as Envoy."""
    failure_percentage_request_volume: int = setting(50, minimum=1)
    """The least requests of a deployment in an interval for its percentage to count. 50 as Envoy."""
    enforcing_consecutive_5xx: float = setting(100.0, minimum=0.0, maximum=100.0)
    """The percentage of ejections for failures in a row that are carried out. 100 as Envoy."""
    enforcing_success_rate: float = setting(100.0, minimum=0.0, maximum=100.0)
    """The percentage of ejections for the success rate that are carried out. 100 as Envoy."""
    enforcing_failure_percentage: float = setting(0.0, minimum=0.0, maximum=100.0)
    """The percentage of ejections for the failure percentage that are carried out. 0 as Envoy."""
    panic_threshold: float = setting(0.5, minimum=0.0, maximum=1.0)
    """The share of deployments not ejected below which ejections are ignored. 0.5 as Envoy; 0: never."""

    def verify(self) -> None:
        """The longest ejection is not shorter than the first."""
        if self.max_ejection_s is not None and self.max_ejection_s < self.base_ejection_s:
            expected = f"at least base_ejection_s ({self.base_ejection_s:g})"
            raise ConfigError("max_ejection_s", self.max_ejection_s, expected)

    def build(self, names: Sequence[str], rng: random.Random | None = None) -> OutlierDetector:
        """The detector of these deployments, none of them ejected. ``rng`` decides jitter and enforcement."""
        return OutlierDetector(self, names, random.Random() if rng is None else rng)
