"""A rate-limited deployment: who waits for it, and how many it is let."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from simsla.routing.admission.line import DISPLACED, FULL, HOPELESS, LATE, Line, Rank, Waiter
from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.admission.slow_start import SlowStart, Ticket
from simsla.routing.admission.times import ServiceTimes
from simsla.routing.errors import AttemptError, RateLimited
from simsla.routing.progress import Progress
from simsla.routing.types import Reply

POLL_S: Final = 0.05
"""After so long the first in line asks again where nobody knows when it may be admitted."""


class Standing(Waiter):
    """A request in the lines of every deployment that could answer it; its turn comes at one of them."""

    __slots__ = ("called_by", "lines", "progress")

    def __init__(self, rank: Rank, progress: Progress, latest: float) -> None:
        """It is in no line yet; say whom to tell before it is in one."""
        super().__init__(rank, progress.deadline, latest, _nobody)
        self.progress = progress
        self.lines: list[Sluice] = []
        self.called_by: Sluice | None = None


def _nobody() -> None:
    pass


class Sluice:
    """The `Health` of one deployment as far as its rate limit goes, and the line before it.

    `SlowStart` says how many attempts it is let. While requests wait, a newcomer is refused: it has to go in
    line. One request at a time has its turn: it asks for admission, then says so with `settle`.
    """

    __slots__ = ("_alarm", "_called", "_held_until", "_line", "_policy", "_start", "_times", "refusal")

    def __init__(self, policy: QueuePolicy, alarm: Callable[[float], None]) -> None:
        """``alarm`` is asked for a call of `advance` at a time; the latest one asked for suffices."""
        self.refusal = ""
        self._policy = policy
        self._alarm = alarm
        self._line: Line[Standing] = Line()
        self._times = ServiceTimes()
        self._called: Standing | None = None
        self._held_until = -math.inf
        self._start = SlowStart(policy)

    @property
    def waiting(self) -> int:
        """Requests in its line."""
        return len(self._line)

    @property
    def in_flight(self) -> int:
        """Attempts that were let through since the last 429 and go on."""
        return self._start.in_flight

    @property
    def window(self) -> float:
        """How many may be in flight."""
        return self._start.window

    def limits(self, now: float) -> bool:
        """Whether a newcomer has to wait here, or would meet a rate limit of which nothing newer is known."""
        return self._start.unproven or not self._flows(now)

    @property
    def needs_s(self) -> float:
        """Seconds that a request needs once it has its turn."""
        return max(self._policy.min_service_s, self._times.median_s)

    def expected_turn_at(self, rank: Rank, now: float) -> float:
        """When a newcomer of this rank would have its turn if as many are borne as before the last 429."""
        pace = self._times.mean_s / self._start.borne
        return max(now, self._start.opens_at) + self._line.ahead(rank) * pace

    def admit(self, progress: Progress, now: float) -> Ticket | None:
        """A ticket for the request whose turn it is, or for any where the way is free."""
        if not self._flows(now) and (self._called is None or self._called.progress is not progress):
            in_line = self._called is not None or len(self._line)
            self.refusal = "others wait in line" if in_line else "rate limited"
            return None
        return self._start.begin(now)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """There is room for one more."""
        assert isinstance(ticket, Ticket)
        self._start.answered(ticket)
        self._times.add(now, now - ticket.begun_s, answered=True)
        self._ended(now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """A 429 closes it; any other failure says nothing about a rate limit."""
        assert isinstance(ticket, Ticket)
        if isinstance(error, RateLimited):
            self._start.refused(ticket, now, error)
        else:
            self._start.end(ticket)
            self._times.add(now, now - ticket.begun_s, answered=False)
        self._ended(now)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """The attempt said nothing of a rate limit; its place is free."""
        assert isinstance(ticket, Ticket)
        self._start.end(ticket)
        self._ended(now)

    def available_at(self, now: float) -> float:
        """When it opens; inf where that depends on others, in flight or in line. The one whose turn it is
        is meant while there is one.
        """
        if self._called is None and (len(self._line) or not self._start.has_room):
            return math.inf
        return max(now, self._start.opens_at)

    def advance(self, now: float) -> None:
        """Call the first in line if it may go; otherwise ask to be woken when it may."""
        while self._called is None and len(self._line) and self._start.has_room:
            opens_at = max(self._start.opens_at, self._held_until)
            if now < opens_at:
                self._alarm(opens_at)
                return
            first = self._line.first
            _leave_lines(first)
            if first.late(now, self.needs_s):
                first.shed(LATE)
            else:
                first.state = "in"
                first.called_by = self
                self._called = first
            first.told()

    def settle(self, now: float, again_at: float | None = None) -> None:
        """The one whose turn it was has asked for admission; the next has its turn.

        ``again_at`` where another part refused: until then, or until an attempt ends, nobody is called; inf
        where that part does not know.
        """
        assert self._called is not None
        self._called.called_by = None
        self._called = None
        if again_at is not None:
            self._held_until = now + POLL_S if math.isinf(again_at) else max(again_at, now + POLL_S)
        self.advance(now)

    def _flows(self, now: float) -> bool:
        return (
            self._called is None
            and not len(self._line)
            and now >= self._start.opens_at
            and self._start.has_room
        )

    def _ended(self, now: float) -> None:
        # Whatever refused the first in line may have room now.
        self._held_until = -math.inf
        self.advance(now)

    def _stand(self, standing: Standing) -> None:
        """In line, if there is room or a less important one makes room."""
        line = self._line
        if len(line) >= self._policy.max_waiting:
            if not len(line) or standing.rank < line.last.rank:
                return
            self._dismiss(line.last)
        line.add(standing)
        standing.lines.append(self)

    def _dismiss(self, standing: Standing) -> None:
        self._line.remove(standing)
        standing.lines.remove(self)
        if not standing.lines:
            standing.shed(DISPLACED)
            standing.told()

    @staticmethod
    def join(standing: Standing, sluices: Sequence[Sluice], now: float) -> None:
        """Into the line of each of these deployments.

        Its state tells: shed where its turn is expected too late or all are full; perhaps its turn is now.
        """
        if all(each.expected_turn_at(standing.rank, now) > standing.latest for each in sluices):
            standing.shed(HOPELESS)
            return
        standing.state = "waiting"
        for each in sluices:
            each._stand(standing)
        if not standing.lines:
            standing.shed(FULL)
        for each in sluices:
            each.advance(now)

    @staticmethod
    def leave(standing: Standing, now: float) -> None:
        """Out of every line; a turn that it has is handed on. Nothing happens to one that is out already."""
        if standing.state != "shed":
            standing.state = "left"
        _leave_lines(standing)
        if standing.called_by is not None:
            standing.called_by.settle(now)


def expire(standing: Standing) -> None:
    """The latest time for its turn has come: where it still waits it is shed."""
    if standing.state == "waiting":
        _leave_lines(standing)
        standing.shed(LATE)
        standing.told()


def _leave_lines(standing: Standing) -> None:
    for each in standing.lines:
        each._line.remove(standing)
    standing.lines = []
