"""The loop of attempts: it awaits, and every decision in it is asked of a state machine."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Sequence
from typing import TypeVar, overload

from simsla.routing.errors import AttemptError, NoDeployment
from simsla.routing.progress import Progress
from simsla.routing.protocols import (
    Exhausted,
    Failure,
    Health,
    LastResort,
    Lease,
    RetryBudget,
    RetryRule,
    Selector,
)
from simsla.routing.router.calls import Call, settle
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.notes import explained, finished
from simsla.routing.router.verdict import SHORTEST_ATTEMPT_S, verdict
from simsla.routing.selection.chains import Candidate
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Request, Timeouts

R = TypeVar("R")


class Attempts:
    """Walks the plan of a request until a call succeeds, the time is over or nothing is left to try."""

    def __init__(
        self,
        selector: Selector,
        retry: RetryRule,
        budget: RetryBudget | None,
        resort: LastResort | None,
        max_attempts: int,
        clock: LoopClock,
        transport: Transport,
        deadline_s: float = math.inf,
        explains: bool = True,
    ) -> None:
        """Without a ``resort`` a request fails when nothing is left to try; ``deadline_s`` and ``explains``
        are for requests that begin here.
        """
        self._selector = selector
        self._retry = retry
        self._budget = budget
        self._resort = resort
        self._max_attempts = max_attempts
        self._clock = clock
        self._random = transport.random
        self._send = transport.send
        self._deadline_s = deadline_s
        self._explains = explains

    def run(self, progress: Progress, call: Call[R]) -> Awaitable[R]:
        """What the first successful call returned; see `Router.handle` for the errors."""
        return self.answer(progress.request, progress, call)

    @overload
    async def answer(self, request: Request) -> Reply: ...
    @overload
    async def answer(self, request: Request, progress: Progress, call: Call[R]) -> R: ...
    async def answer(
        self, request: Request, progress: Progress | None = None, call: Call[R] | None = None
    ) -> R | Reply:
        """The loop itself.

        Without ``progress`` the request begins here, and without ``call`` whole replies are asked for: with
        each coroutine between its task and the transport a simulated request would cost 5 % more.
        """
        now = self._clock.now()
        if progress is None:
            deadline = now + self._deadline_s
            if request.deadline is not None and request.deadline < deadline:
                deadline = request.deadline
            progress = Progress(request, deadline, self._explains)
        deadline = progress.deadline
        left_s = deadline - now
        try:
            candidates = self._selector.candidates(request, now)
        except NoDeployment as error:
            explained(error, progress)
            raise
        index = 0
        tries = 0  # at this candidate
        delay_s = 0.0  # before this attempt
        untried = False  # whether a candidate was passed over
        refused = False  # the same, on this walk of the plan
        forced: object | None = None  # the ticket of a candidate that is called although its health refuses
        answered = False
        paid = False  # whether the retry budget has paid for the attempt that comes next
        lease = None if self._budget is None else self._budget.open(now)
        try:
            while left_s >= SHORTEST_ATTEMPT_S:
                if index == len(candidates):
                    more = await self._once_more(progress, None if paid else lease, refused, now)
                    if more is None:
                        break
                    candidates, forced = more
                    paid = True
                    index = tries = 0
                    delay_s = 0.0
                    refused = False
                    now = self._clock.now()
                    left_s = deadline - now
                    continue
                candidate = candidates[index]
                health = candidate.health
                ticket = None
                if health is not None:
                    ticket = forced or health.admit(progress, now)
                    forced = None
                    if ticket is None:
                        untried = refused = True
                        progress.refused(now, candidate.deployment.name, health.refusal)
                        index += 1
                        tries = 0
                        delay_s = 0.0
                        continue
                timeouts = candidate.timeouts
                if left_s < candidate.total_s:
                    timeouts = cut(timeouts, left_s)
                progress.begun_s = now
                try:
                    if call is not None:
                        result = await call(progress, candidate, ticket, timeouts)
                        answered = True
                        return result
                    progress.attempts += 1
                    reply = await self._send(
                        request, candidate.deployment, timeouts=timeouts, max_tokens=progress.max_tokens
                    )
                except AttemptError as error:
                    now = self._clock.now()
                    left_s = deadline - now
                    if call is None:
                        settle(progress, candidate, ticket, timeouts, now, error)
                    progress.failed(now, error.deployment or candidate.deployment.name, error)
                    if lease is not None and not error.blames_request:
                        lease.failed(now, error)
                    tries += 1
                    # No local name for the failure: it would tie the error to its own traceback.
                    decision = self._retry.decide(
                        Failure(progress.request, error, tries, delay_s, now), self._random
                    )
                    if decision.action == "stop":
                        explained(error, progress)
                        raise
                    if progress.attempts >= self._max_attempts:
                        untried = untried or index + 1 < len(candidates)
                        break
                    delay_s = decision.delay_s
                    if decision.action == "next" or not _worth_waiting(delay_s, left_s, health, now):
                        candidates = self._selector.after(error, candidate, candidates[index + 1 :])
                        index = 0
                        tries = 0
                        delay_s = 0.0
                    paid = index < len(candidates)
                    if paid and not _paid(lease, error, now):
                        progress.explain(now, "stopped", candidate.deployment.name, "retry budget spent")
                        untried = True
                        break
                except BaseException:
                    # Cancelled, or a mistake in the transport: no verdict on the deployment.
                    if call is None and health is not None:
                        health.released(ticket, self._clock.now())
                    raise
                else:
                    if health is not None:
                        health.succeeded(ticket, self._clock.now(), reply)
                    progress.answered_by = candidate
                    answered = True
                    if progress.attempts == 1 and not candidate.degraded and progress.notes is None:
                        if progress.explains:
                            reply.progress = progress
                        return reply
                    return finished(reply, progress)
                if delay_s > 0.0:
                    progress.explain(now, "wait", candidate.deployment.name, delay_s)
                    await asyncio.sleep(delay_s)
                    now = self._clock.now()
                    left_s = deadline - now
            # No local name for the error, either.
            raise explained(verdict(progress, left_s, untried), progress)
        finally:
            if forced is not None:
                # The time ran out between its ticket and its call.
                chosen = candidates[0].health
                assert chosen is not None
                chosen.released(forced, self._clock.now())
            # Each error's traceback refers to this frame and the frame to the errors: undo the cycle.
            if progress.errors and call is None:
                progress.errors = ()
            if lease is not None:
                lease.close(self._clock.now(), answered)

    async def _once_more(
        self, progress: Progress, lease: Lease | None, refused: bool, now: float
    ) -> tuple[Sequence[Candidate], object | None] | None:
        """What may be tried after all, with the ticket of a candidate that is called although it refused.

        None where nothing may be. ``lease`` is what pays for it, None where that is done.
        """
        errors = progress.errors
        if self._resort is None or (errors and errors[-1].blames_request):
            return None
        plan = self._selector.candidates(progress.request, now)
        resort = self._resort.decide(Exhausted(progress, plan, refused, now))
        candidate = resort.candidate
        if resort.action == "fail":
            return None
        if errors and not _paid(lease, errors[-1], now):
            if candidate is not None and candidate.health is not None and resort.ticket is not None:
                candidate.health.released(resort.ticket, now)
            return None
        if resort.turn is not None:
            candidate, ticket = await resort.turn()
            return (candidate,), ticket
        if resort.action == "use":
            assert candidate is not None
            name = candidate.deployment.name
            progress.explain(now, "use", name, "the least bad of those that refuse")
            return (candidate,), resort.ticket
        if progress.deadline - now - resort.delay_s < SHORTEST_ATTEMPT_S:
            return None
        progress.waits(now, resort.delay_s)
        await asyncio.sleep(resort.delay_s)
        return self._selector.candidates(progress.request, self._clock.now()), None


def _paid(lease: Lease | None, error: AttemptError, now: float) -> bool:
    """Whether the retry budget pays for another attempt; a request's own fault is not charged to it."""
    return lease is None or error.blames_request or lease.retry(now, error)


def cut(timeouts: Timeouts, left_s: float) -> Timeouts:
    """The timeouts within what is left. All four, because a transport may have no total of its own."""
    return Timeouts(
        _at_most(left_s, timeouts.connect_s),
        _at_most(left_s, timeouts.first_token_s),
        _at_most(left_s, timeouts.idle_s),
        left_s,
    )


def _at_most(left_s: float, limit_s: float | None) -> float:
    return left_s if limit_s is None or limit_s > left_s else limit_s


def _worth_waiting(delay_s: float, left_s: float, health: Health | None, now: float) -> bool:
    """Whether the same deployment can be tried after the delay: in time, and not known to be refused."""
    in_time = left_s - delay_s >= SHORTEST_ATTEMPT_S
    return in_time and (health is None or health.available_at(now) <= now + delay_s)
