"""One pod of the gateway: who is in it, what it works on, and when it crashes."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsla.world.sharing import Share

__all__ = ["Mark", "Pod", "Turn"]

Turn = asyncio.Future[bool | None]
"""True: the place is given; False: the pod has crashed; None: the wait has lasted too long."""


Mark = tuple[float, float, float, int]
"""What a pod has done by a moment: the time, requests held x seconds, seconds worked, requests that came."""


class Pod:
    """A pod; all times are on the run's clock.

    `came` counts the requests that came, `held` those that have a place in it, and `waiting` are the turns of
    those that wait for one. It is `ready` to take requests or not; a `leaving` pod takes none and ends with
    the last that it holds.
    `crash_s` is when it will crash next, and `sharers` are those in it whose end is not known until then.
    """

    __slots__ = (
        "_area",
        "_assigned_s",
        "_free_s",
        "_since_s",
        "came",
        "changed_s",
        "crash_s",
        "crashes",
        "held",
        "leaving",
        "marks",
        "ready",
        "sharers",
        "slot",
        "started",
        "started_s",
        "waiting",
    )

    def __init__(
        self, slot: int, started_s: float, workers: int, crashes: Iterator[tuple[float, float]]
    ) -> None:
        """`slot` is its place among the pods, `crashes` the episodes (start, end) of that place."""
        self.slot = slot
        self.started_s = started_s
        self.changed_s = started_s
        self.crashes = crashes
        self.crash_s = math.inf
        self.started = False
        self.ready = False
        self.leaving = False
        self.came = 0
        self.held = 0
        self.waiting: deque[Turn] = deque()
        self.sharers: dict[object, Share] = {}
        self.marks: deque[Mark] = deque()
        self._free_s = [started_s] * workers
        self._area = self._assigned_s = 0.0
        self._since_s = started_s

    def become_ready(self, now: float) -> None:
        """It takes requests from now on; what it did before it was gone is forgotten."""
        self.started = self.ready = True
        self.changed_s = now
        self._free_s = [now] * len(self._free_s)
        self.marks.clear()
        self.marks.append(self.mark(now))

    def become_unready(self, now: float) -> None:
        """It takes no requests until it is ready again."""
        self.ready = False
        self.changed_s = now

    def take(self, now: float) -> None:
        """A request gets a place."""
        self._area += self.held * (now - self._since_s)
        self._since_s = now
        self.held += 1

    def leave(self, now: float) -> None:
        """A request ended; its place goes to the one that has waited longest."""
        self._area += self.held * (now - self._since_s)
        self._since_s = now
        self.held -= 1
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                self.held += 1
                turn.set_result(True)
                return

    def work(self, now: float, service_s: float) -> tuple[float, bool]:
        """When its work on a request will be done, and whether it begins at once.

        The workers take requests in the order of their coming, so it is known in advance. A request that
        leaves meanwhile is worked on all the same.
        """
        free_s = self._free_s
        which = 0 if len(free_s) == 1 else free_s.index(min(free_s))
        begin_s = free_s[which]
        at_once = begin_s <= now
        if at_once:
            begin_s = now
        free_s[which] = done_s = begin_s + service_s
        self._assigned_s += service_s
        return done_s, at_once

    def mark(self, now: float) -> Mark:
        """What it has done so far."""
        worked_s = self._assigned_s
        for free_s in self._free_s:
            if free_s > now:
                worked_s -= free_s - now
        return now, self._area + self.held * (now - self._since_s), worked_s, self.came

    @property
    def workers(self) -> int:
        """Requests that it works on at once."""
        return len(self._free_s)

    def next_crash(self, after_s: float) -> tuple[float, float]:
        """The start and the end of its first crash after a moment."""
        for start_s, end_s in self.crashes:
            if start_s > after_s:
                return start_s, end_s
        return math.inf, math.inf
