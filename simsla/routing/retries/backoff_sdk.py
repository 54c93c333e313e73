"""Delays as SDKs, gateways and proxies compute them, with their own numbers as defaults.

Sources: the openai SDK 2.54, litellm 1.106, Bifrost's retries, gRPC A6, Envoy's router filter, botocore 1.44.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, ConfigError, RateLimited
from simsla.routing.retries.backoff import (
    DecorrelatedJitter,
    EqualJitter,
    Exponential,
    FullJitter,
    doubled_s,
)
from simsla.routing.retries.backoff_libraries import PollyBackoff, StaminaBackoff


@dataclass(frozen=True)
class Constant(Section):
    """The same delay each time."""

    kind = "constant"

    interval_s: float = setting(1.0, minimum=0.0, unit="s")
    """Seconds."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before each retry."""
        return self.interval_s


@dataclass(frozen=True)
class OpenAIBackoff(Section):
    """min(base 2^n, cap) (1 - 0.25 U), as the openai SDK."""

    kind = "openai"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the largest first delay."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        return doubled_s(self.base_s, retry, self.cap_s) * (1.0 - 0.25 * rng.random())


@dataclass(frozen=True)
class LiteLLMBackoff(Section):
    """min(max(base 2^n, Retry-After), cap) + 0.75 U, as litellm: the hint of the server is cut to the cap.

    Litellm draws a deployment of the group anew for each retry, and waits 0 s while the group has another
    healthy one. Here another deployment is always called without a wait, and a retry is at the same one: its
    rule is ``retry.max_attempts: 1``, which leaves each deployment for the next at once.
    """

    kind = "litellm"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the first delay without its jitter."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay without its jitter."""
    jitter_s: float = setting(0.75, minimum=0.0, unit="s")
    """Seconds; the most that jitter adds."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0) after ``error``."""
        hint_s = error.retry_after_s or 0.0 if error is not None else 0.0
        grown_s = doubled_s(self.base_s, retry, self.cap_s)
        return min(max(grown_s, hint_s), self.cap_s) + self.jitter_s * rng.random()


@dataclass(frozen=True)
class GRPCBackoff(Section):
    """min(base k^n, cap) U(0.8, 1.2), as gRPC (A6); the defaults are those of its example."""

    kind = "grpc"

    base_s: float = setting(0.1, minimum=0.0, unit="s")
    """Seconds; ``initialBackoff``."""
    cap_s: float = setting(1.0, minimum=0.0, unit="s")
    """Seconds; ``maxBackoff``; jitter goes up to 20 % beyond it."""
    multiplier: float = setting(2.0, minimum=1.0, maximum=1000.0)
    """``backoffMultiplier``, the k."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        # 1000 ** 100 is still a float, and more than any cap.
        return min(self.base_s * self.multiplier ** min(retry, 100), self.cap_s) * (0.8 + 0.4 * rng.random())


@dataclass(frozen=True)
class BifrostBackoff(Section):
    """min(base 2^n, cap) U(0.8, 1.2), as Bifrost."""

    kind = "bifrost"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the first delay without its jitter."""
    cap_s: float = setting(5.0, minimum=0.0, unit="s")
    """Seconds; the largest delay without its jitter, which goes up to 20 % beyond it."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        return doubled_s(self.base_s, retry, self.cap_s) * (0.8 + 0.4 * rng.random())


@dataclass(frozen=True)
class EnvoyBackoff(Section):
    """U(0, min(base (2^(n+1) - 1), cap)), as Envoy: below 25, 75, 175 ms, then ten times the base."""

    kind = "envoy"

    base_s: float = setting(0.025, minimum=0.0, unit="s")
    """Seconds; ``base_interval``."""
    cap_s: float | None = setting(None, minimum=0.0, unit="s")
    """Seconds; ``max_interval``. Left out: ten times the base."""

    def verify(self) -> None:
        """The base is within the cap."""
        if self.cap_s is not None and self.base_s > self.cap_s:
            raise ConfigError("base_s", self.base_s, f"at most cap_s ({self.cap_s:g})")

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0)."""
        cap_s = 10.0 * self.base_s if self.cap_s is None else self.cap_s
        return rng.random() * min(cap_s, self.base_s * (2.0 ** min(retry + 1, 1000) - 1.0))


@dataclass(frozen=True)
class AWSBackoff(Section):
    """U(0, 1) min(base 2^n, cap), as the AWS SDKs (standard); Retry-After is clamped to [t, t + 5 s]."""

    kind = "aws"

    base_s: float = setting(0.05, minimum=0.0, unit="s")
    """Seconds; the largest first delay after any other error than a throttling one."""
    throttling_base_s: float = setting(1.0, minimum=0.0, unit="s")
    """Seconds; the largest first delay after a rate limit."""
    cap_s: float = setting(20.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever without a hint."""

    def delay_s(
        self, retry: int, waited_s: float, rng: random.Random, error: AttemptError | None = None
    ) -> float:
        """Seconds before retry number ``retry`` (from 0) after ``error``."""
        base_s = self.throttling_base_s if isinstance(error, RateLimited) else self.base_s
        delay_s = rng.random() * doubled_s(base_s, retry, self.cap_s)
        if error is None or error.retry_after_s is None:
            return delay_s
        return min(max(error.retry_after_s, delay_s), delay_s + 5.0)


Backoff = (
    FullJitter
    | EqualJitter
    | DecorrelatedJitter
    | Exponential
    | Constant
    | OpenAIBackoff
    | LiteLLMBackoff
    | GRPCBackoff
    | BifrostBackoff
    | EnvoyBackoff
    | AWSBackoff
    | PollyBackoff
    | StaminaBackoff
)
"""Every formula; the first is meant where no ``kind`` is given."""
