"""The transport of a world with gateway pods: attempts pass a pod on their way to their deployment.

What a pod's own work takes is known as soon as it begins, so an attempt that finds a free worker meets its
deployment at once, and its answer is as much later: only one that must wait costs an event. The pods' crashes
are known in advance too, so an answer that a crash will cut ends by its own timer; only where a deployment's
service depends on its load, so that no end is known in advance, the crash itself has to break it off.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

from simsla.world.attempt import CANCELLED, QUEUED, UNAVAILABLE
from simsla.world.conditions import CONNECT, CUT, HANG
from simsla.world.shares import SHARED
from simsla.world.transport import SimTransport, _resolve

if TYPE_CHECKING:
    from simsla.routing import Deployment
    from simsla.world.attempt import Attempt
    from simsla.world.gateway.pods import Pod, Turn
    from simsla.world.gateway.pool import Pool

__all__ = ["GatewayTransport", "Visit"]


class Visit:
    """An attempt's stay in a pod: whether it has its place there, when the pod's work on it is done, and
    whether it has gone on to its deployment.
    """

    __slots__ = ("deployment", "done_s", "holds_place", "passed_on", "pod")

    def __init__(self, pod: Pod, deployment: Deployment, holds_place: bool) -> None:
        self.pod = pod
        self.deployment = deployment
        self.holds_place = holds_place
        self.done_s = math.inf
        self.passed_on = False


class GatewayTransport(SimTransport):
    """A `SimTransport` some of whose deployments are behind the pods of a gateway."""

    _at_once = False

    def __init__(self, *world: Any, pool: Pool, behind: frozenset[str], **more: Any) -> None:
        """`behind` are the names of the deployments that are reached through `pool`."""
        super().__init__(*world, **more)
        self.pool = pool
        self._behind = {
            name: (server.index, "gateway answer") for name, server in self._servers.items() if name in behind
        }
        """Where the blocks of requests keep the service times of each deployment's first calls."""

    def _admit(self, attempt: Attempt, deployment: Deployment) -> None:
        attempt.visit = None
        key = self._behind.get(attempt.server.name)
        if key is None:
            super()._admit(attempt, deployment)
            return
        pool, now = self.pool, self._env._now
        pod = pool.choose()
        if pod is None:
            attempt.turn_away(UNAVAILABLE)
            return
        if pod.held < pool.limit:
            pod.take(now)
            attempt.visit = visit = Visit(pod, deployment, True)
            drawn = attempt.whose.block.other_luck.get(key)
            if drawn is not None and attempt.ordinal == 0 and attempt.request.purpose == "answer":
                service_s = drawn[0][0][attempt.whose.place]  # nearly always, without a call
            else:
                service_s = self._service_s(attempt)
            visit.done_s, at_once = pod.work(now, service_s)
            if not at_once:
                attempt.outcome = QUEUED
                return
            visit.passed_on = True
            super()._admit(attempt, deployment)
            if attempt.outcome != QUEUED:
                self._pass_through(attempt, visit)
        elif len(pod.waiting) < pool.queue_limit:
            attempt.visit = Visit(pod, deployment, False)
            attempt.outcome = QUEUED
        else:
            attempt.turn_away(UNAVAILABLE)

    async def _wait(self, attempt: Attempt, limit_s: float | None) -> None:
        visit = attempt.visit
        if visit is None:
            await super()._wait(attempt, limit_s)
            return
        end_s = math.inf if limit_s is None else self._env._now + limit_s
        if not visit.passed_on:
            await self._wait_in_pod(attempt, visit, end_s)
            if attempt.outcome != QUEUED:
                return
            visit.passed_on = True
            super()._admit(attempt, visit.deployment)
        if attempt.outcome == QUEUED:
            left_s = None if limit_s is None else end_s - self._env._now
            await super()._wait(attempt, left_s)
        self._pass_through(attempt, visit)

    async def _wait_in_pod(self, attempt: Attempt, visit: Visit, end_s: float) -> None:
        """Wait for a place, and for the pod's work. It may end in a crash of the pod, or at `end_s`."""
        pod = visit.pod
        if not visit.holds_place and not await self._wait_for_place(attempt, visit, end_s):
            return
        due_s = min(visit.done_s, pod.crash_s, end_s)
        await self._until(due_s)
        attempt.queued_s = self._env._now - attempt.start_s
        if due_s == visit.done_s:
            return
        if due_s == end_s:
            attempt.outcome, attempt.total_s = HANG, math.inf
        else:
            attempt.turn_away(CONNECT)

    async def _wait_for_place(self, attempt: Attempt, visit: Visit, end_s: float) -> bool:
        """Whether it got a place."""
        pod = visit.pod
        turn: Turn = asyncio.Future(loop=self._loop)
        pod.waiting.append(turn)
        timer = self._loop.call_at(end_s, _resolve, turn, None, context=self._context)
        try:
            given = await turn
            visit.holds_place = given is True
        except asyncio.CancelledError:
            # The place may have come in the very instant of the cancellation.
            visit.holds_place = not turn.cancelled() and turn.result() is True
            raise
        finally:
            timer.cancel()
            attempt.queued_s = self._env._now - attempt.start_s
            if not visit.holds_place:
                with contextlib.suppress(ValueError):
                    pod.waiting.remove(turn)
        if visit.holds_place:
            visit.done_s, _ = pod.work(self._env._now, self._service_s(attempt))
            return True
        if given is None:
            attempt.outcome, attempt.total_s = HANG, math.inf
        else:
            attempt.turn_away(CONNECT)
        return False

    def _pass_through(self, attempt: Attempt, visit: Visit) -> None:
        """Its answer is later by what the pod still has to work on it, and may be cut by a crash."""
        served_s = attempt.start_s + attempt.queued_s
        delay_s = max(0.0, visit.done_s - served_s)
        attempt.total_s += delay_s
        if attempt.served:
            attempt.first_s += delay_s
        left_s = max(0.0, visit.pod.crash_s - served_s)
        if attempt.outcome == SHARED:
            visit.pod.sharers[visit] = attempt.share
            return
        if attempt.total_s <= left_s:
            return
        attempt.outcome = CUT
        attempt.total_s = left_s
        if attempt.served:
            generating_s = left_s - attempt.first_s
            if generating_s < 0:
                attempt.readable = 0
            elif attempt.per_token_s > 0:
                attempt.readable = min(attempt.tokens - 1, max(1, int(generating_s / attempt.per_token_s)))
            else:
                attempt.readable = attempt.tokens - 1

    def _service_s(self, attempt: Attempt) -> float:
        server, whose = attempt.server, attempt.whose
        return self.pool.service.of(
            whose.block,
            whose.place,
            (server.index, server.name),
            attempt.request.purpose,
            attempt.ordinal,
        )

    def _answered(self, attempt: Attempt) -> dict[str, Any] | None:
        metadata = super()._answered(attempt)
        visit = attempt.visit
        if visit is not None:
            self._leave(visit, self._env._now)
            meter = self.pool.meter
            if meter is not None:
                meter.ended(self._env._now, self._env._now - attempt.start_s)
        return metadata

    def _leave(self, visit: Visit, now: float) -> None:
        pod = visit.pod
        if pod.sharers:
            pod.sharers.pop(visit, None)
        if visit.holds_place:
            pod.leave(now)
        if pod.leaving:
            self.pool.left(pod, now)

    def _close(self, attempt: Attempt, outcome: int) -> None:
        super()._close(attempt, outcome)
        visit = attempt.visit
        if visit is not None:
            now = self._env._now
            self._leave(visit, now)
            # A client that left says nothing of how long the answer would have taken.
            if self.pool.meter is not None and outcome != CANCELLED:
                self.pool.meter.ended(now, now - attempt.start_s)
