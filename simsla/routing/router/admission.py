"""The admission queue on a request's way, and the lines before rate-limited deployments."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.admission.queue import AdmissionQueue, Visitor
from simsla.routing.admission.sluice import Sluice, Standing, expire
from simsla.routing.errors import RateLimited, RoutingError, Shed
from simsla.routing.progress import Progress
from simsla.routing.protocols import NOTHING_SPENT, Exhausted, Health, LastResort, Resort
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.notes import explained
from simsla.routing.router.verdict import SHORTEST_ATTEMPT_S
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Reply, Request

_PART: Final = "queue"

QUEUED: Final = "queued_s"
"""The note of how long a request has waited in line, in seconds."""


class AdmissionStage:
    """A `Stage` that lets so many requests at a time into the attempts; `counts` says how many came in
    "at_once", how many "waited" first and how many were "shed".

    Put it behind the cache, whose hits need no place, and before whatever calls a model.
    """

    part = _PART
    spent_usd = NOTHING_SPENT

    def __init__(self, queue: AdmissionQueue, clock: LoopClock) -> None:
        self._queue = queue
        self._clock = clock
        self._inside: dict[Progress, Visitor] = {}
        self.counts: Counter[str] = Counter()

    async def enter(self, request: Request, progress: Progress) -> Request:
        """The request, when it has its turn; raises `Shed` where that would be too late or comes too late."""
        began_s = self._clock.now()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queue
        visitor = queue.join(request, progress.deadline, began_s, partial(_wake, ended))
        came_in = "at_once"
        if visitor.state == "waiting":
            timer = ended.get_loop().call_at(visitor.latest, queue.expire, visitor)
            try:
                await ended
            except BaseException:
                # Perhaps its turn came in the same instant: the next one gets it.
                queue.leave(visitor, self._clock.now())
                raise
            finally:
                timer.cancel()
            _waited(progress, began_s, self._clock.now())
            came_in = "waited"
        if visitor.state == "shed":
            self.counts["shed"] += 1
            raise _shed(progress, visitor.why, self._clock.now())
        self.counts[came_in] += 1
        self._inside[progress] = visitor
        return request

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """Its place is free."""
        self._queue.finished(self._inside.pop(progress), self._clock.now(), reply is not None)

    async def close(self) -> None:
        """Nothing goes on in the background."""


class RateLimitResort:
    """A `LastResort`: where rate limits are all that keeps a request from its answer, it waits in line.

    It stands in the lines of all such deployments of its plan. Everything else is left to the ``inner`` last
    resort; without one the request fails.
    """

    def __init__(self, policy: QueuePolicy, inner: LastResort | None, clock: LoopClock) -> None:
        self._policy = policy
        self._inner = inner
        self._clock = clock
        self._sluices: dict[str, Sluice] = {}
        self._limits: dict[str, Sequence[Health]] = {}
        self._arrivals = 0

    def before(self, name: str, limits: Sequence[Health]) -> Sequence[Health]:
        """The limits of the deployment of this name, the spend cap not among them, with its sluice first.

        Both are part of the health of the deployment, which every plan has.
        """
        self._sluices[name] = _Alarm(self._policy, self._clock).sluice
        self._limits[name] = limits
        return (self._sluices[name], *limits)

    def decide(self, exhausted: Exhausted) -> Resort:
        """Wait for a turn, or what the inner one says."""
        progress, now = exhausted.progress, exhausted.now
        limited = [each for each in exhausted.plan if self._is_limited(each, progress, now)]
        if limited:
            return Resort("wait", turn=partial(self._turn, progress, limited))
        return Resort("fail") if self._inner is None else self._inner.decide(exhausted)

    def _is_limited(self, candidate: Candidate, progress: Progress, now: float) -> bool:
        """Whether it was a rate limit that this request met there, and no other failure."""
        name = candidate.deployment.name
        for error in reversed(progress.errors):
            if error.deployment == name:
                return isinstance(error, RateLimited)
        refusals = progress.refusals or {}
        return self._sluices[name].limits(now) or any((name, word) in refusals for word in self._words(name))

    def _words(self, name: str) -> set[str]:
        return {each.refusal for each in self._limits[name]}

    async def _turn(self, progress: Progress, candidates: Sequence[Candidate]) -> tuple[Candidate, object]:
        """Whom to call, with the ticket that it gave; raises `Shed`."""
        began_s = now = self._clock.now()
        lines = {self._sluices[each.deployment.name]: each for each in candidates}
        standing = self._newcomer(progress, lines, now)
        loop = asyncio.get_running_loop()
        try:
            while True:
                ended: asyncio.Future[None] = loop.create_future()
                standing.told = partial(_wake, ended)
                Sluice.join(standing, tuple(lines), now)
                if standing.state == "waiting":
                    timer = loop.call_at(standing.latest, expire, standing)
                    try:
                        await ended
                    finally:
                        timer.cancel()
                    now = self._clock.now()
                if standing.called_by is None:
                    raise _shed(progress, standing.why, now)
                candidate = lines[standing.called_by]
                ticket, again_at = self._admit(candidate, progress, now)
                standing.called_by.settle(now, again_at)
                if ticket is not None:
                    return candidate, ticket
        finally:
            now = self._clock.now()
            Sluice.leave(standing, now)
            _waited(progress, began_s, now)

    def _newcomer(self, progress: Progress, sluices: Iterable[Sluice], now: float) -> Standing:
        policy = self._policy
        # Twice the shortest: the attempt begins a moment after the turn.
        needs_s = max(2 * SHORTEST_ATTEMPT_S, min(each.needs_s for each in sluices))
        latest = progress.deadline - needs_s
        if policy.max_wait_s is not None:
            waited_s = (progress.notes or {}).get(QUEUED, 0.0)
            latest = min(latest, now + policy.max_wait_s - waited_s)
        self._arrivals += 1
        rank = (policy.importance(progress.request, progress.deadline), -self._arrivals)
        return Standing(rank, progress, latest)

    def _admit(
        self, candidate: Candidate, progress: Progress, now: float
    ) -> tuple[object | None, float | None]:
        """The ticket, or when to ask again; raises `Shed` where waiting does not help."""
        health = candidate.health
        assert health is not None
        ticket = health.admit(progress, now)
        if ticket is not None:
            return ticket, None
        again_at = health.available_at(now)
        if again_at <= now and health.refusal not in self._words(candidate.deployment.name):
            raise _shed(progress, f"its turn came, but {health.refusal}", now)
        return None, again_at


class _Alarm:
    """Wakes a sluice at the time that it asked for last."""

    __slots__ = ("_clock", "_timer", "sluice")

    def __init__(self, policy: QueuePolicy, clock: LoopClock) -> None:
        self.sluice = Sluice(policy, self._set)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def _set(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.sluice.advance(self._clock.now())


def _wake(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _waited(progress: Progress, began_s: float, now: float) -> None:
    waited_s = now - began_s
    if waited_s > 0.0:
        progress.explain(now, _PART, "waited", waited_s)
        progress.note(QUEUED, (progress.notes or {}).get(QUEUED, 0.0) + waited_s)


def _shed(progress: Progress, why: str, now: float) -> RoutingError:
    progress.explain(now, _PART, "shed", why)
    error = Shed(f"{progress.request!r}: {why}")
    if progress.errors:
        error.__cause__ = progress.errors[-1]
    return explained(error, progress)
