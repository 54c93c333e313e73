"""How many attempts at a time a deployment is let after a 429."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.errors import RateLimited

# Attempts at a time more for each that is answered, beyond what was borne: 5 % more a round.
_GROWTH: Final = 0.05


class Ticket(NamedTuple):
    """One attempt."""

    epoch: int
    begun_s: float


class SlowStart:
    """Until a first 429 as many as like. A 429 ends that for the ``Retry-After``; then one is let through.

    Each that is answered makes room for one more: twice as many a round, as the slow start of TCP, up to
    those that were in flight beside the 429 and so were borne, and 5 % more a round beyond. Several 429s of
    the same round count as one.
    """

    __slots__ = ("_epoch", "_policy", "borne", "in_flight", "opens_at", "unproven", "window")

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._epoch = 1  # one, and one more for each round with a 429
        self.opens_at = -math.inf
        self.window = math.inf
        """How many may be in flight."""
        self.borne = math.inf
        """How many were in flight beside the last 429."""
        self.in_flight = 0
        """Attempts since the last 429 that go on."""
        self.unproven = False
        """Whether none was answered since the last 429."""

    @property
    def has_room(self) -> bool:
        """Whether one more may be in flight, at the right time."""
        return self.in_flight + 1 <= self.window

    def begin(self, now: float) -> Ticket:
        """One more is in flight."""
        self.in_flight += 1
        return Ticket(self._epoch, now)

    def end(self, ticket: Ticket) -> bool:
        """It is over; whether it began after the last 429, so that it says something about now."""
        current = ticket.epoch == self._epoch
        if current:
            self.in_flight -= 1
        return current

    def answered(self, ticket: Ticket) -> None:
        """It is over and makes room for one more."""
        if not self.end(ticket):
            return
        self.unproven = False
        if self.window < self.borne:
            self.window += 1.0
        elif 2 * (self.in_flight + 1) >= self.window:
            # Only what is used is known to be borne.
            self.window += _GROWTH

    def refused(self, ticket: Ticket, now: float, error: RateLimited) -> None:
        """It is over by a 429."""
        policy = self._policy
        wish_s = policy.retry_after_s if error.retry_after_s is None else error.retry_after_s
        self.opens_at = max(self.opens_at, now + min(wish_s, policy.max_retry_after_s))
        if self.end(ticket):
            # A failed probe tells nothing new.
            self.borne = self.in_flight or self.borne
            self.window = 1.0
            self._epoch += 1
            self.in_flight = 0
            self.unproven = True
