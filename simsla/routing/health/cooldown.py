"""Cooldowns: breakers that a timer closes, without probes. LiteLLM's and Portkey's."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError, AttemptTimeout, ConfigError, ConnectError
from simsla.routing.health.machine import CircuitBreaker
from simsla.routing.health.opentime import GrowingTime
from simsla.routing.health.ramp import Ramp
from simsla.routing.health.windows import ExpiringCount
from simsla.routing.types import Reply

_MINUTE_S: Final = 60.0
_COOLED_4XX: Final = frozenset({401, 402, 404, 408, 429})
_RETRIED_4XX: Final = frozenset({408, 409, 429})


@dataclass(frozen=True)
class LiteLLMCooldown(Section):
    """LiteLLM's cooldown: benched for a short time, then back at once with all traffic.

    Source: litellm 1.106, ``router_utils/cooldown_handlers.py``. An error without a status counts as 500, a
    timeout as 408. A failed connection never cools a deployment down, as there.
    """

    kind = "litellm"

    allowed_fails: int | None = setting(None, minimum=0)
    """More failures than this within ``cooldown_s`` of the first cool it down. None, the default there: a 429
    or more than half of at least 5 calls failing within 60 s do, where the group has another deployment; all
    of at least 1000 failing within 60 s do; and every status that is never retried, such as 401."""
    cooldown_s: float = setting(5.0, above=0.0, unit="s")
    """Seconds of a cooldown, and how long ``allowed_fails`` remembers. 5 as LiteLLM."""
    retry_after: bool = setting(True)
    """Whether the server's Retry-After is the cooldown instead, 0 for none. True as LiteLLM; False as for a
    deployment there with a ``cooldown_time`` of its own."""
    max_retry_after_s: float | None = setting(None, minimum=0.0, unit="s")
    """Seconds; the most that Retry-After can ask for. None as LiteLLM, where 86400 benches for a day."""
    extend: bool = setting(False)
    """Whether a failure that would cool it down prolongs a running cooldown. False as LiteLLM, whose users
    ask for it in #40130."""
    ramp: Ramp | None = field(default=None)
    """How the admitted share climbs after a cooldown; None: at once to all, as LiteLLM."""

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """Not cooling. ``group`` is how many deployments serve the same tier, this one included."""
        return CircuitBreaker(
            _CooldownRule(self, group),
            _RetryAfterTime(self),
            random.Random() if rng is None else rng,
            probes=None,
            ramp=self.ramp,
            extend=self.extend,
        )


class _CooldownRule:
    """Its counts outlive a cooldown: they are forgotten by age alone."""

    def __init__(self, policy: LiteLLMCooldown, group: int) -> None:
        self._allowed_fails = policy.allowed_fails
        self._alone = group <= 1
        self._allowed = ExpiringCount(policy.cooldown_s)
        self._successes = ExpiringCount(_MINUTE_S)
        self._failures = ExpiringCount(_MINUTE_S)

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """It counts."""
        self._successes.add(now)
        return False

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether it cools down."""
        self._failures.add(now)
        status = _status(error)
        if isinstance(error, ConnectError) or (400 <= status < 500 and status not in _COOLED_4XX):
            return False
        if self._allowed_fails is not None:
            if self._allowed.value(now) >= self._allowed_fails:
                return True
            self._allowed.add(now)
            return False
        failures = self._failures.value(now)
        calls = failures + self._successes.value(now)
        if not self._alone and (status == 429 or (calls >= 5 and failures / calls > 0.5)):
            return True
        return (calls >= 1000 and failures == calls) or (status < 500 and status not in _RETRIED_4XX)

    def clear(self) -> None:
        """Nothing: age alone forgets."""


class _RetryAfterTime:
    def __init__(self, policy: LiteLLMCooldown) -> None:
        self._policy = policy

    def next_s(self, in_a_row: int, error: AttemptError | None) -> float:
        """The server's wish, else the configured time."""
        policy = self._policy
        wish_s = error.retry_after_s if error is not None and policy.retry_after else None
        if wish_s is None:
            return policy.cooldown_s
        return wish_s if policy.max_retry_after_s is None else min(wish_s, policy.max_retry_after_s)


def _status(error: AttemptError) -> int:
    if error.status is not None:
        return error.status
    return 408 if isinstance(error, AttemptTimeout) else 500


@dataclass(frozen=True)
class PortkeyBreaker(Section):
    """Portkey's ``cb_config``: open by a count or a percentage of failures, closed by a timer.

    Source: Portkey's documentation of its circuit breaker. Where all are open Portkey calls them all the
    same: ``when_all_open: {kind: least_bad}`` is nearest to that.
    """

    kind = "portkey"

    failure_threshold: int | None = setting(5, minimum=1)
    """More failures than this open it; None: the percentage alone decides. Portkey has no default; 5 as the
    other kinds."""
    failure_threshold_percentage: float | None = setting(None, above=0.0, maximum=100.0)
    """A larger percentage of failures opens it; None: the count alone decides."""
    minimum_requests: int = setting(10, minimum=1)
    """The least requests for the percentage to count. 10 as the example in Portkey's documentation."""
    cooldown_s: float = setting(30.0, minimum=30.0, unit="s")
    """Seconds until the timer closes it. 30, the least that Portkey takes."""
    window_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds after which each count begins anew, from its first event on. Portkey does not say its own; 60
    as LiteLLM, because failures that add up for ever would open any breaker."""
    failure_status_codes: tuple[int, ...] = setting((), minimum=400, maximum=599)
    """The statuses that are failures. Empty: from 500 on, as Portkey. An error without a status is always a
    failure; any other error counts as a success."""
    ramp: Ramp | None = field(default=None)
    """How the admitted share climbs after it closed; None: at once to all, as Portkey."""

    def verify(self) -> None:
        """Something must be able to open it."""
        if self.failure_threshold is None and self.failure_threshold_percentage is None:
            raise ConfigError(
                "failure_threshold", None, "a number where failure_threshold_percentage is not given"
            )

    def build(self, rng: random.Random | None = None, group: int = 1) -> CircuitBreaker:
        """A breaker in its first state, closed. ``group`` does not matter to it."""
        rng = random.Random() if rng is None else rng
        return CircuitBreaker(
            _PortkeyRule(self),
            GrowingTime(self.cooldown_s, 1.0, self.cooldown_s, 0.0, rng),
            rng,
            probes=None,
            ramp=self.ramp,
        )


class _PortkeyRule:
    def __init__(self, policy: PortkeyBreaker) -> None:
        self._policy = policy
        self._successes = ExpiringCount(policy.window_s)
        self._failures = ExpiringCount(policy.window_s)

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """It counts."""
        self._successes.add(now)
        return False

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether a threshold is exceeded."""
        policy = self._policy
        status = error.status
        codes = policy.failure_status_codes
        if status is not None and (status not in codes if codes else status < 500):
            self._successes.add(now)
            return False
        self._failures.add(now)
        failures = self._failures.value(now)
        if policy.failure_threshold is not None and failures > policy.failure_threshold:
            return True
        if policy.failure_threshold_percentage is None:
            return False
        calls = failures + self._successes.value(now)
        percentage = 100.0 * failures / calls
        return calls >= policy.minimum_requests and percentage > policy.failure_threshold_percentage

    def clear(self) -> None:
        """The counts begin anew."""
        self._successes.clear()
        self._failures.clear()
