"""The admission queue: so many requests in the Router at a time, the others in line."""

from __future__ import annotations

import math
from collections.abc import Callable

from simsla.routing.admission.line import DISPLACED, FULL, HOPELESS, LATE, Line, Waiter
from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.admission.times import ServiceTimes
from simsla.routing.types import Request


class Visitor(Waiter):
    """One request: in line, then in the Router since ``entered_s``."""

    __slots__ = ("entered_s",)

    entered_s: float


class AdmissionQueue:
    """Who is in the Router, who waits, and who is shed.

    A newcomer is shed at once where its turn is expected too late for its deadline. By Little's law a full
    Router is left by ``max_concurrent`` / (mean time inside) requests a second; a newcomer waits for all
    that go before it and for one more. What it needs afterwards is the median time of an answer.

    `join` says by the state of what it returns whether the request is in, waits or is shed; one that waits
    is told when that has changed. Each that is in is handed back once, through `finished` or `leave`.
    """

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._most = math.inf if policy.max_concurrent is None else policy.max_concurrent
        self._line: Line[Visitor] = Line()
        self._times = ServiceTimes()
        self._arrivals = 0
        self.inside = 0

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    @property
    def needs_s(self) -> float:
        """Seconds that a request needs once it has its turn."""
        return max(self._policy.min_service_s, self._times.median_s)

    def expected_wait_s(self, ahead: int) -> float:
        """Seconds until the turn of a request that so many go before, where no place is free."""
        return (ahead + 1) * self._times.mean_s / self._most

    def join(self, request: Request, deadline: float, now: float, told: Callable[[], None]) -> Visitor:
        """A newcomer. ``told`` must not call the queue."""
        policy = self._policy
        self._arrivals += 1
        rank = (policy.importance(request, deadline), -self._arrivals)
        latest = deadline - self.needs_s
        if policy.max_wait_s is not None:
            latest = min(latest, now + policy.max_wait_s)
        visitor = Visitor(rank, deadline, latest, told)
        if self.inside < self._most:
            self._enter(visitor, now)
            return visitor
        line = self._line
        if now + self.expected_wait_s(line.ahead(rank)) > latest:
            visitor.shed(HOPELESS)
        elif len(line) < policy.max_waiting:
            line.add(visitor)
        elif not len(line) or rank < line.last.rank:
            visitor.shed(FULL)
        else:
            self._end(line.last, DISPLACED)
            line.add(visitor)
        return visitor

    def finished(self, visitor: Visitor, now: float, answered: bool) -> None:
        """One that was in is done; the next has its turn."""
        self._times.add(now, now - visitor.entered_s, answered)
        self.leave(visitor, now)

    def leave(self, visitor: Visitor, now: float) -> None:
        """One that was in or in line gives up, which says nothing about how long a request takes.

        Nothing happens to one that is out already.
        """
        was, visitor.state = visitor.state, "left" if visitor.state != "shed" else "shed"
        if was == "waiting":
            self._line.remove(visitor)
        elif was == "in":
            self.inside -= 1
            self._call(now)

    def expire(self, visitor: Visitor) -> None:
        """The latest time for its turn has come: where it still waits it is shed."""
        if visitor.state == "waiting":
            self._end(visitor, LATE)

    def _call(self, now: float) -> None:
        while self.inside < self._most and len(self._line):
            visitor = self._line.first
            if visitor.late(now, self.needs_s):
                self._end(visitor, LATE)
                continue
            self._line.remove(visitor)
            self._enter(visitor, now)
            visitor.told()

    def _enter(self, visitor: Visitor, now: float) -> None:
        visitor.state = "in"
        visitor.entered_s = now
        self.inside += 1

    def _end(self, visitor: Visitor, why: str) -> None:
        self._line.remove(visitor)
        visitor.shed(why)
        visitor.told()
