"""The circuit breaker: one machine, closed, open and half-open, under every kind of rule that opens it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, Protocol

from simsla.routing.errors import AttemptError
from simsla.routing.health.ramp import Ramp
from simsla.routing.health.trial import StrictTrial, Trial, Verdict
from simsla.routing.progress import Progress
from simsla.routing.types import Reply

_REFUSALS = {
    "open": "breaker open",
    "half_open": "breaker half-open, its probes are out",
    "ramping": "breaker returning step by step",
}


class Rule(Protocol):
    """When a closed breaker opens. It hears of every outcome, which took ``took_s`` from admission."""

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """Whether the breaker opens."""
        ...

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether the breaker opens."""
        ...

    def clear(self) -> None:
        """The breaker opens or closes: what was seen until now counts no more."""
        ...


class OpenTime(Protocol):
    """How long a breaker stays open."""

    def next_s(self, in_a_row: int, error: AttemptError | None) -> float:
        """Seconds; ``in_a_row`` is how often it has opened since it was last closed. 0: it does not open.

        ``error`` is the failure that opens it, None where a slow success does.
        """
        ...


class CircuitBreaker:
    """The state machine of one deployment.

    ``state`` is closed, open, half_open or, where it returns step by step, ramping; an open breaker learns
    only when it is asked that its time is over. ``opened`` counts how often it has opened.

    A ticket is the number of the state's episode and the time of admission, so the outcome of an attempt that
    began in an earlier episode changes nothing: a slow success from before the outage does not close the
    breaker, and no late failure prolongs it. At most ``probes`` attempts are out while half-open. With None a
    timer closes the breaker, and every outcome counts whenever its attempt began.
    """

    __slots__ = (
        "_episode",
        "_extend",
        "_free_probes",
        "_in_a_row",
        "_new_trial",
        "_open_time",
        "_open_until",
        "_probes",
        "_ramp",
        "_random",
        "_rule",
        "_since",
        "_trial",
        "opened",
        "state",
    )

    def __init__(
        self,
        rule: Rule,
        open_time: OpenTime,
        rng: random.Random,
        *,
        probes: int | None = 1,
        trial: Callable[[int], Trial] = StrictTrial,
        ramp: Ramp | None = None,
        extend: bool = False,
    ) -> None:
        """``trial`` makes, of the number of probes, what judges them. With ``extend`` a failure that would
        open an open breaker prolongs its time.
        """
        self._rule = rule
        self._open_time = open_time
        self._random = rng.random
        self._probes = probes
        self._new_trial = trial
        self._ramp = ramp
        self._extend = extend
        self.state = "closed"
        self.opened = 0
        self._episode = 0
        self._in_a_row = 0
        self._open_until = -math.inf
        self._since = -math.inf
        self._free_probes = 0
        self._trial: Trial | None = None

    @property
    def refusal(self) -> str:
        """Why the state refuses."""
        return _REFUSALS.get(self.state, "")

    def admit(self, progress: Progress, now: float) -> tuple[int, float] | None:
        """A ticket, or None while open, while every probe is out and where the ramp's draw is against it."""
        if self.state != "closed" and not self._passes(now):
            return None
        return (self._episode, now)

    def succeeded(self, ticket: Any, now: float, reply: Reply) -> None:
        """The attempt was answered."""
        if ticket[0] != self._episode:
            return
        if self._trial is not None:
            self._conclude(self._trial.succeeded(now - ticket[1], reply), now, None)
        elif self._rule.succeeded(now, now - ticket[1], reply):
            self._open(now, None)

    def failed(self, ticket: Any, now: float, error: AttemptError) -> None:
        """The attempt failed through the deployment's fault."""
        if ticket[0] != self._episode:
            return
        if self._trial is not None:
            self._conclude(self._trial.failed(now - ticket[1], error), now, error)
        elif self._rule.failed(now, now - ticket[1], error):
            self._open(now, error)

    def released(self, ticket: Any, now: float, error: AttemptError | None = None) -> None:
        """The attempt says nothing about the deployment: its probe can be used again."""
        if ticket[0] == self._episode and self._trial is not None:
            self._free_probes += 1

    def available_at(self, now: float) -> float:
        """Now unless open; inf while every probe is out, because nobody knows when one returns."""
        if self.state == "open":
            return max(now, self._open_until)
        return math.inf if self._trial is not None and self._free_probes == 0 else now

    def _passes(self, now: float) -> bool:
        if self.state == "open":
            if now < self._open_until:
                return False
            self._reenter(now)
        if self._trial is not None:
            if self._free_probes == 0:
                return False
            self._free_probes -= 1
        elif self.state == "ramping":
            assert self._ramp is not None
            share = self._ramp.share(now - self._since)
            if share >= 1.0:
                # The same episode: what is in flight still counts.
                self.state = "closed"
                self._in_a_row = 0
                return True
            return self._random() < share
        return True

    def _reenter(self, now: float) -> None:
        if self._probes is None:
            self._close(now)
            return
        self.state = "half_open"
        self._episode += 1
        self._free_probes = self._probes
        self._trial = self._new_trial(self._probes)

    def _conclude(self, verdict: Verdict | None, now: float, error: AttemptError | None) -> None:
        if verdict == "close":
            self._close(now)
        elif verdict == "open":
            self._open(now, error)

    def _close(self, now: float) -> None:
        self._trial = None
        self._since = now
        if self._ramp is None:
            self.state = "closed"
            self._in_a_row = 0
        else:
            self.state = "ramping"
        self._forget()

    def _open(self, now: float, error: AttemptError | None) -> None:
        seconds = self._open_time.next_s(self._in_a_row, error)
        if seconds <= 0.0:
            return
        if self.state == "open" and now < self._open_until:
            if self._extend:
                self._open_until = max(self._open_until, now + seconds)
            return
        self._trial = None
        self.state = "open"
        self.opened += 1
        self._in_a_row += 1
        self._open_until = now + seconds
        self._forget()

    def _forget(self) -> None:
        if self._probes is not None:
            self._episode += 1
        self._rule.clear()

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state}, opened {self.opened} times>"
