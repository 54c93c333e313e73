"""Attempts that share a deployment: the more there are, the slower each of them is served.

All attempts at one deployment are served at the same pace, which depends on their number alone. So one clock
tells how much service each has had since it came: the deployment's attained service, which runs at that
pace. An attempt that needs w seconds of service and comes when the clock shows a is served when it shows
a + w, however often the pace changes until then. A heap of such goals and one timer for the nearest are all
it takes, log n for an arrival or a departure: processor sharing in virtual time, as in fair queueing.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsla.scenario.service import Batch, ProcessorSharing
    from simsla.virtualtime import SimEventLoop
    from simsla.virtualtime.handles import SimTimerHandle


class Sharing:
    """The attempts in service at one deployment during one run."""

    def __init__(self, service: ProcessorSharing | Batch) -> None:
        self.sharers = 0
        """Attempts in service."""
        self._slowdown = service.slowdown
        self._pace = 1.0  # seconds of service per second
        self._attained_s = 0.0  # what the clock of service showed
        self._at_s = 0.0  # then
        self._goals: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._timer: SimTimerHandle | None = None
        # The timer runs in a context of its own: it keeps nothing of a policy's alive.
        self._context = contextvars.Context()

    @property
    def slowdown(self) -> float:
        """How much longer everything takes now than it would alone."""
        return 1.0 / self._pace

    def attained_s(self, now: float) -> float:
        """What the clock of service shows."""
        return self._attained_s + (now - self._at_s) * self._pace

    def due_s(self, goal_s: float) -> float:
        """When the clock will show so much if nobody comes or goes; a time gone by where it does already."""
        return self._at_s + max(0.0, goal_s - self._attained_s) / self._pace

    def enter(self, loop: SimEventLoop) -> float:
        """One more attempt; what the clock shows as it comes."""
        now = loop.env._now
        # With nobody there the clock may begin anew, and so loses no precision in a long run.
        self._attained_s, self._at_s = (self.attained_s(now) if self.sharers else 0.0), now
        self.sharers += 1
        # It goes slower, so that the timer comes too early: it plans anew then.
        self._pace = 1.0 / self._slowdown(self.sharers)
        return self._attained_s

    def leave(self, loop: SimEventLoop) -> None:
        """One fewer."""
        now = loop.env._now
        self._attained_s, self._at_s = self.attained_s(now), now
        self.sharers -= 1
        if not self.sharers:
            self._goals.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        pace, self._pace = self._pace, 1.0 / self._slowdown(self.sharers)
        if self._pace > pace:
            self._plan(loop)

    def call_when(self, goal_s: float, callback: Callable[[], None], loop: SimEventLoop) -> None:
        """Call back once the clock shows so much, unless everybody has left before."""
        self._made += 1
        heapq.heappush(self._goals, (goal_s, self._made, callback))
        self._plan(loop)

    def _plan(self, loop: SimEventLoop) -> None:
        """See to it that a timer fires when the nearest goal is reached, or before."""
        if not self._goals:
            return
        when = max(self.due_s(self._goals[0][0]), loop.env._now)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._fire, loop, context=self._context)

    def _fire(self, loop: SimEventLoop) -> None:
        self._timer = None
        now = loop.env._now
        # The condition by which `_plan` chose the moment, so that rounding cannot make it fire for nothing.
        while self._goals and self.due_s(self._goals[0][0]) <= now:
            heapq.heappop(self._goals)[2]()
        if self._timer is None:
            self._plan(loop)


class Share:
    """One attempt in service at a deployment that is shared.

    Times of service are those that it would take alone.
    """

    def __init__(self, sharing: Sharing, first_s: float, total_s: float, loop: SimEventLoop) -> None:
        """It comes now, and leaves after `total_s` of service, unless it leaves before."""
        self.sharing = sharing
        self.first_s = first_s
        self.total_s = total_s
        self.served_s = 0.0
        """The service that it has had when it left."""
        self.first_token_s = math.nan
        """When its first token was made, on the run's clock."""
        self.left_at_s = math.nan
        """When it left."""
        self._loop = loop
        self.broken = False
        """Whether it was broken off."""
        self._inside = True
        self._reached: asyncio.Future[bool] | None = None
        self._end: asyncio.Future[bool] | None = None
        self._came_s = sharing.enter(loop)
        if first_s < total_s:
            sharing.call_when(self._came_s + first_s, self._first_token, loop)
        sharing.call_when(self._came_s + total_s, self._served, loop)

    async def until(self, service_s: float, limit: float) -> bool:
        """Wait until it has had so much service, at most the whole; False if the time `limit` came first."""
        goal_s, loop = self._came_s + service_s, self._loop
        if not self._inside or self.sharing.due_s(goal_s) <= loop.env._now:
            return True
        self._reached = reached = loop.create_future()
        if service_s >= self.total_s:
            self._end = reached
        else:
            self.sharing.call_when(goal_s, lambda: _resolve(reached, True), loop)
        timer = None
        if limit < math.inf:
            timer = loop.call_at(
                max(limit, loop.env._now), _resolve, reached, False, context=contextvars.Context()
            )
        try:
            # What is due in the very instant of the limit is in time.
            return await reached or not self._inside or self.sharing.due_s(goal_s) <= loop.env._now
        finally:
            if timer is not None:
                timer.cancel()

    async def pause(self, when: float, limit: float) -> bool:
        """Wait for a time on the run's clock; False if the time `limit` came before."""
        future: asyncio.Future[bool] = self._loop.create_future()
        due = max(min(when, limit), self.now())
        timer = self._loop.call_at(due, _resolve, future, when <= limit, context=contextvars.Context())
        try:
            return await future
        finally:
            timer.cancel()

    def now(self) -> float:
        """The time on the run's clock."""
        return self._loop.env._now

    def leave(self) -> None:
        """It goes, if it is still there."""
        if self._inside:
            self._inside = False
            self.left_at_s = self.now()
            self.served_s = self.sharing.attained_s(self.left_at_s) - self._came_s
            self.sharing.leave(self._loop)

    def break_off(self) -> None:
        """It goes now, if it is still there, and whoever waits for its service waits no longer."""
        if self._inside:
            self.broken = True
            self.leave()
            if self._reached is not None:
                _resolve(self._reached, True)

    def _first_token(self) -> None:
        if self._inside:
            self.first_token_s = self.now()

    def _served(self) -> None:
        if self._inside:
            if math.isnan(self.first_token_s):
                self.first_token_s = self.now()
            self.leave()
            self.served_s = self.total_s
            if self._end is not None:
                _resolve(self._end, True)


def _resolve(future: asyncio.Future[bool], reached: bool) -> None:
    # A cancellation in the same instant may have come first.
    if not future.done():
        future.set_result(reached)
