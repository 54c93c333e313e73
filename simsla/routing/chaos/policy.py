"""Which attempts fail or are delayed on purpose."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ATTEMPT_ERRORS, AttemptError, ConfigError


class Mischief(NamedTuple):
    """What happens to one attempt: the error it ends with, None where it is sent, and the delay before."""

    error: AttemptError | None
    delay_s: float


@dataclass(frozen=True)
class ChaosPolicy(Section):
    """Faults and latency at random: Polly's chaos strategies, LiteLLM's mock parameters.

    An attempt that is made to fail never leaves the process and costs nothing. The Router takes it for the
    deployment's own failure: that is the drill. Injected errors say "injected" in their text.
    """

    faults: Mapping[str, float] = setting(
        FrozenMapping(), minimum=0.0, maximum=1.0, keys=tuple(sorted(ATTEMPT_ERRORS))
    )
    """Kind of error -> the share of attempts that end with it at once."""
    latency_share: float = setting(0.0, minimum=0.0, maximum=1.0)
    """The share of attempts that are delayed before they are sent."""
    latency_s: float = setting(30.0, minimum=0.0, unit="s")
    """Seconds of that delay, at most the attempt's limit. 30 as Polly."""
    deployments: tuple[str, ...] = setting(())
    """The deployments concerned; none named: all."""

    def verify(self) -> None:
        """The shares exclude one another, and something is injected."""
        total = fsum(self.faults.values())
        if total > 1.0:
            raise ConfigError("faults", total, "shares that add up to at most 1")
        if total == 0.0 and self.latency_share == 0.0:
            raise ConfigError("faults", dict(self.faults), "a share above 0 here or in latency_share")

    def named(self) -> Iterable[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        return ((f"deployments.{index}", name) for index, name in enumerate(self.deployments))

    def draw(self, name: str, rng: random.Random) -> Mischief | None:
        """What happens to an attempt at the deployment of this name, or None."""
        if self.deployments and name not in self.deployments:
            return None
        delay_s = self.latency_s if rng.random() < self.latency_share else 0.0
        u = rng.random()
        for kind, share in self.faults.items():
            if u < share:
                return Mischief(ATTEMPT_ERRORS[kind]("injected", deployment=name), delay_s)
            u -= share
        return Mischief(None, delay_s) if delay_s else None
