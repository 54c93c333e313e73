"""The state machine of outlier detection: who is ejected, until when, and whether that still counts."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.types import Reply

if TYPE_CHECKING:
    from simsla.routing.health.outlier import OutlierPolicy


class _Host:
    __slots__ = ("calls", "ejected", "ejections", "in_a_row", "multiplier", "name", "returns", "successes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ejected = False
        self.ejections = 0
        self.multiplier = 0
        self.returns = 0
        """The number of the tick at which it returns, or has returned."""
        self.in_a_row = 0
        self.calls = 0
        """In the present interval, as ``successes``."""
        self.successes = 0


class OutlierDetector:
    """The state of all deployments. `health` gives the view of one."""

    def __init__(self, policy: OutlierPolicy, names: Sequence[str], rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._hosts = {name: _Host(name) for name in names}
        longest_s = policy.max_ejection_s
        self._longest_s = max(300.0, policy.base_ejection_s) if longest_s is None else longest_s
        self._start: float | None = None
        self._tick = 0
        self._next_at = -math.inf
        self._active = 0

    def health(self, name: str) -> Ejection:
        """The view of this deployment."""
        return Ejection(self, self._hosts[name])

    @property
    def ejected(self) -> tuple[str, ...]:
        """Who is ejected, as of the last call."""
        return tuple(host.name for host in self._hosts.values() if host.ejected)

    @property
    def panicking(self) -> bool:
        """Whether so many are ejected that ejections are ignored."""
        return self._active > 0 and 1.0 - self._active / len(self._hosts) < self._policy.panic_threshold

    def advance(self, now: float) -> None:
        """Do what the timer would have done until ``now``."""
        if now >= self._next_at:
            self._catch_up(now)

    def returns_at(self, host: _Host) -> float:
        """When an ejected deployment returns."""
        return self._due(host.returns)

    def count(self, host: _Host, now: float, success: bool) -> None:
        """One call has ended."""
        self.advance(now)
        host.calls += 1
        if success:
            host.successes += 1
            host.in_a_row = 0
            return
        host.in_a_row += 1
        if host.in_a_row >= self._policy.consecutive_5xx and not host.ejected:
            self._eject(host, now, self._policy.enforcing_consecutive_5xx)
            host.in_a_row = 0

    def _due(self, tick: int) -> float:
        assert self._start is not None
        return self._start + tick * self._policy.interval_s

    def _tick_at(self, at: float) -> int:
        """The number of the first tick at or after this time."""
        assert self._start is not None
        tick = math.ceil((at - self._start) / self._policy.interval_s)
        # The quotient rounds.
        while self._due(tick) < at:
            tick += 1
        while self._due(tick - 1) >= at:
            tick -= 1
        return tick

    def _catch_up(self, now: float) -> None:
        if self._start is None:
            self._start = now
        else:
            first = self._tick + 1
            last = self._tick_at(now)
            if self._due(last) > now:
                last -= 1
            # All that was counted belongs to the first interval; the others were empty.
            self._return_until(first)
            self._compare(self._due(first))
            self._return_until(last)
            for host in self._hosts.values():
                host.calls = host.successes = 0
                if not host.ejected:
                    host.multiplier = max(0, host.multiplier - (last - max(host.returns, first - 1)))
            self._tick = last
        self._next_at = self._due(self._tick + 1)

    def _return_until(self, tick: int) -> None:
        for host in self._hosts.values():
            if host.ejected and host.returns <= tick:
                host.ejected = False
                host.in_a_row = 0
                self._active -= 1

    def _compare(self, at: float) -> None:
        policy = self._policy
        hosts = [host for host in self._hosts.values() if host.calls > 0 and not host.ejected]
        # The worst first: the cap may not allow all.
        rated = sorted(((host.successes / host.calls, host) for host in hosts), key=lambda each: each[0])
        compared = [each for each in rated if each[1].calls >= policy.success_rate_request_volume]
        if len(compared) >= policy.success_rate_minimum_hosts:
            lowest = _threshold([rate for rate, _ in compared], policy.success_rate_stdev_factor)
            for rate, host in compared:
                if rate < lowest:
                    self._eject(host, at, policy.enforcing_success_rate)
        counted = [each for each in rated if each[1].calls >= policy.failure_percentage_request_volume]
        if len(counted) >= policy.failure_percentage_minimum_hosts:
            for _, host in counted:
                if 100.0 * (host.calls - host.successes) / host.calls >= policy.failure_percentage_threshold:
                    self._eject(host, at, policy.enforcing_failure_percentage)

    def _eject(self, host: _Host, at: float, enforcing: float) -> None:
        """Within the cap, and where chance enforces it."""
        policy = self._policy
        within = 100.0 * (self._active + 1) / len(self._hosts) <= policy.max_ejection_percent
        if host.ejected or not (within or (policy.always_eject_one and self._active == 0)):
            return
        if enforcing < 100.0 and self._random() * 100.0 >= enforcing:
            return
        if host.multiplier * policy.base_ejection_s < self._longest_s + policy.base_ejection_s:
            host.multiplier += 1
        seconds = min(policy.base_ejection_s * host.multiplier, self._longest_s)
        if policy.max_ejection_jitter_s > 0.0:
            seconds += policy.max_ejection_jitter_s * self._random()
        host.returns = self._tick_at(at + seconds)
        host.ejected = True
        host.ejections += 1
        self._active += 1


def _threshold(rates: Sequence[float], factor: float) -> float:
    """Mean minus so many standard deviations of the population."""
    mean = math.fsum(rates) / len(rates)
    variance = math.fsum((rate - mean) ** 2 for rate in rates) / len(rates)
    return mean - factor * math.sqrt(variance)


class Ejection:
    """The health of one deployment, as outlier detection sees it."""

    __slots__ = ("_detector", "_host")

    refusal = "ejected as an outlier"

    def __init__(self, detector: OutlierDetector, host: _Host) -> None:
        self._detector = detector
        self._host = host

    @property
    def state(self) -> str:
        """``ejected`` or ``in``, as of the last call."""
        return "ejected" if self._host.ejected else "in"

    @property
    def ejections(self) -> int:
        """How often it has been ejected."""
        return self._host.ejections

    def admit(self, progress: Progress, now: float) -> object | None:
        """A ticket unless it is ejected and there is no panic."""
        detector = self._detector
        detector.advance(now)
        return None if self._host.ejected and not detector.panicking else True

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """A success."""
        self._detector.count(self._host, now, True)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """A failure where it is a 5xx or has no status at all."""
        self._detector.count(self._host, now, error.status is not None and error.status < 500)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """It does not count."""

    def available_at(self, now: float) -> float:
        """When it returns; now in a panic."""
        detector = self._detector
        detector.advance(now)
        return detector.returns_at(self._host) if self._host.ejected and not detector.panicking else now

    def __repr__(self) -> str:
        return f"<Ejection {self._host.name} {self.state}, {self.ejections} so far>"
