"""Delays between attempts at one deployment: a section per formula, its ``kind`` the name of its origin.

Here: the four of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). Retry 0 is the first one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, ConfigError

# 2.0 ** 1024 overflows; every cap is reached long before.
_LARGEST_EXPONENT: Final = 1000


def doubled_s(base_s: float, retry: int, cap_s: float) -> float:
    """Seconds: min(cap, base 2^retry), for any ``retry``."""
    return min(cap_s, base_s * 2.0 ** min(retry, _LARGEST_EXPONENT))


@dataclass(frozen=True)
class Exponential(Section):
    """min(cap, base 2^n): no jitter, so clients that failed together come back together."""

    kind = "exponential"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the first delay or its bound. 0.5 as in the OpenAI SDK."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever. 8 as in the OpenAI SDK."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        return doubled_s(self.base_s, retry, self.cap_s)


@dataclass(frozen=True)
class FullJitter(Section):
    """U(0, min(cap, base 2^n)) with n = 0 for the first retry.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; the variant with the least work
    and the least synchrony of clients.
    """

    kind = "full"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the largest first delay. 0.5 as in the OpenAI SDK."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever. 8 as in the OpenAI SDK."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0); ``waited_s`` was the delay before the last one."""
        return rng.random() * doubled_s(self.base_s, retry, self.cap_s)


@dataclass(frozen=True)
class EqualJitter(Section):
    """m/2 + U(0, m/2) with m = min(cap, base 2^n): never less than half the wait."""

    kind = "equal"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the largest first delay."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        return doubled_s(self.base_s, retry, self.cap_s) * (0.5 + 0.5 * rng.random())


@dataclass(frozen=True)
class DecorrelatedJitter(Section):
    """min(cap, U(base, 3 s)), s the delay before, at first the base: grows from where it is."""

    kind = "decorrelated"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the least delay."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever."""

    def verify(self) -> None:
        """The least delay is not above the largest."""
        if self.base_s > self.cap_s:
            raise ConfigError("base_s", self.base_s, f"at most cap_s ({self.cap_s:g})")

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before the next retry; ``waited_s`` was the delay before the last attempt, or 0."""
        before_s = max(waited_s, self.base_s)
        return min(self.cap_s, self.base_s + rng.random() * (3.0 * before_s - self.base_s))
