"""How long a breaker stays open: the options that several kinds share, and their formulas."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, ConfigError
from simsla.routing.health.ramp import Ramp

LONGEST_OPEN_S = 300.0
"""As in Finagle and Envoy."""


@dataclass(frozen=True, kw_only=True)
class Opening(Section):
    """What every breaker with a half-open state can have besides the rule that opens it."""

    open_growth: float = setting(1.0, minimum=1.0)
    """Each time that it opens again before it has closed, the open time is so many times as long. 1: always
    the same, as resilience4j and Polly; 2 doubles it."""
    max_open_s: float | None = setting(None, above=0.0, unit="s")
    """Seconds; the longest open time. Left out: 300 as Finagle and Envoy, or ``open_s`` where that is
    longer."""
    jitter: float = setting(0.0, minimum=0.0, maximum=1.0)
    """The share of the open time that is drawn at random, so that not all routers probe at the same moment:
    the time is uniform between (1 - jitter) and 1 times itself. 0.5 is equal jitter, 1 full
    jitter, 0 none."""
    ramp: Ramp | None = field(default=None)
    """How the admitted share climbs once it has closed; None: at once to all."""


def growing(policy: Opening, open_s: float, rng: random.Random) -> GrowingTime:
    """The open time of a section whose first one is ``open_s``."""
    longest_s = max(LONGEST_OPEN_S, open_s) if policy.max_open_s is None else policy.max_open_s
    return GrowingTime(open_s, policy.open_growth, longest_s, policy.jitter, rng)


def verify_longest(open_s: float, max_open_s: float | None) -> None:
    """Refuse, with `ConfigError`, a longest open time that is shorter than the first one."""
    if max_open_s is not None and max_open_s < open_s:
        raise ConfigError("max_open_s", max_open_s, f"at least open_s ({open_s:g})")


class GrowingTime:
    """min(longest, first x growth^n) x (1 - jitter x U)."""

    __slots__ = ("_first_s", "_growth", "_jitter", "_longest_s", "_random")

    def __init__(
        self, first_s: float, growth: float, longest_s: float, jitter: float, rng: random.Random
    ) -> None:
        self._first_s = first_s
        self._growth = growth
        self._longest_s = longest_s
        self._jitter = jitter
        self._random = rng.random

    def next_s(self, in_a_row: int, error: AttemptError | None) -> float:
        """The time after so many openings in a row."""
        # Beyond 2^1000 a float overflows; the longest time has been reached by then.
        power = self._growth**in_a_row if in_a_row * math.log2(self._growth) < 1000.0 else math.inf
        seconds = min(self._longest_s, self._first_s * power)
        return seconds * (1.0 - self._jitter * self._random()) if self._jitter > 0.0 else seconds


class EqualJitteredTime:
    """First, then h + U(0, h) with h = first x 2^(n - 1), at most the longest. Source: Finagle's
    ``Backoff.equalJittered``.
    """

    __slots__ = ("_first_s", "_longest_s", "_random")

    def __init__(self, first_s: float, longest_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = rng.random

    def next_s(self, in_a_row: int, error: AttemptError | None) -> float:
        """The time after so many openings in a row."""
        if in_a_row == 0:
            return self._first_s
        half_s = min(self._longest_s, self._first_s * 2.0 ** min(in_a_row - 1, 62))
        return min(self._longest_s, half_s + half_s * self._random())
