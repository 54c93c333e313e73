"""The simulated transport: the world's side of the seam."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from simsla.records import NOBODY, PURPOSES
from simsla.routing import Deployment, NotFound, Reply, Request, Timeouts
from simsla.routing.errors import nearest
from simsla.routing.selection.capabilities import offers
from simsla.world import shares
from simsla.world.answer_stream import AnswerStream
from simsla.world.attempt import (
    BAD_REQUEST,
    CANCELLED,
    CONTEXT_LENGTH,
    OK,
    QUEUED,
    RATE_LIMITED,
    TIMEOUT,
    Attempt,
)
from simsla.world.conditions import CONNECT, HANG
from simsla.world.ending import Ending
from simsla.world.poison import POISON
from simsla.world.requests import OpenRequest
from simsla.world.server import Server
from simsla.world.shares import SHARED
from simsla.world.streams import BLOCK
from simsla.world.traffic import Block

if TYPE_CHECKING:
    from simsla.records import Recorder
    from simsla.routing.caching.semantic import CachePolicy
    from simsla.virtualtime import SimEventLoop
    from simsla.virtualtime.handles import SimTimerHandle
    from simsla.world.cache_store import CacheStore

_PURPOSE_CODES: Final = {name: code for code, name in enumerate(PURPOSES)}

# The length of an answer to a call that belongs to no request.
_NOBODYS_TOKENS: Final = 64

_NO_TIMEOUTS: Final = Timeouts()


class SimTransport(Ending):
    """`Transport` over the world: `deployments`, `random`, `send` and `stream`.

    Limits of time are kept without a task or a timer of their own: the world knows when an attempt would end
    and schedules the earlier of that and its limit. Only an attempt that waits for a slot needs a timer.
    """

    _at_once: ClassVar[bool] = True
    """Whether an attempt is at its deployment in the moment when it begins."""

    def __init__(
        self,
        loop: SimEventLoop,
        deployments: Sequence[Deployment],
        servers: Sequence[Server],
        recorder: Recorder,
        generator: random.Random,
    ) -> None:
        """`generator` is what a policy may draw from; `servers` belong to `deployments`, in order."""
        super().__init__(loop.env, recorder)
        self.deployments = tuple(deployments)
        self.random = generator
        self.open: dict[int | str, OpenRequest] = {}
        """The requests in progress, by number: to them belong the calls that a policy makes for them."""
        self.unowned = 0
        """Attempts so far that belonged to no request."""
        self.cache_store: Callable[[CachePolicy], CacheStore] | None = None
        """Makes the store of a policy's semantic cache; None: it keeps its answers in its own memory."""
        self._servers = {server.name: server for server in servers}
        for server in servers:
            server.at_once = self._at_once and server.limit is None and server.grey is None
        self._loop = loop
        # The world's timers run in a context of their own: they keep nothing of a policy's alive.
        self._context = contextvars.Context()

    @property
    def in_flight(self) -> int:
        """Attempts that have begun and not ended."""
        return sum(server.in_flight for server in self._servers.values())

    async def send(
        self,
        request: Request,
        deployment: Deployment,
        *,
        timeouts: Timeouts = _NO_TIMEOUTS,
        max_tokens: int | None = None,
    ) -> Reply:
        """The whole reply; see `simsla.routing.Transport`."""
        attempt = self._begin(request, deployment, max_tokens)
        timer = None
        try:
            if attempt.outcome <= QUEUED:
                if attempt.outcome == QUEUED:
                    await self._wait(attempt, timeouts.total_s)
                if attempt.outcome == SHARED:
                    await shares.serve(attempt, timeouts.total_s)
                    if attempt.outcome == OK:
                        return self._reply(attempt)
                    raise self._failed(attempt, "total")
            lasts_s, phase = attempt.total_s, "total"
            refused = attempt.outcome == CONNECT
            limit_s = timeouts.total_s
            if limit_s is not None and attempt.queued_s + lasts_s > limit_s:
                lasts_s, attempt.outcome = max(0.0, limit_s - attempt.queued_s), TIMEOUT
            if refused and timeouts.connect_s is not None and lasts_s > timeouts.connect_s:
                lasts_s, phase, attempt.outcome = timeouts.connect_s, "connect", TIMEOUT
            end: asyncio.Future[None] = asyncio.Future(loop=self._loop)
            if lasts_s < math.inf:
                timer = self._loop.call_later(lasts_s, _resolve, end, None, context=self._context)
            await end
        except asyncio.CancelledError:
            if timer is not None:
                timer.cancel()
            self._close(attempt, CANCELLED)
            raise
        if attempt.outcome == OK:
            return self._reply(attempt)
        raise self._failed(attempt, phase)

    def stream(
        self,
        request: Request,
        deployment: Deployment,
        *,
        timeouts: Timeouts = _NO_TIMEOUTS,
        max_tokens: int | None = None,
    ) -> AnswerStream:
        """The reply in pieces; see `simsla.routing.Transport`. Leaving it early cancels the attempt."""
        return AnswerStream(self, request, deployment, timeouts, max_tokens)

    # The life of an attempt

    def _reply(self, attempt: Attempt) -> Reply:
        """Its answer, which is whole just now."""
        server = attempt.server
        metadata = self._answered(attempt)
        return Reply(
            "simulated",
            server.name,
            server.model,
            attempt.request.prompt_tokens,
            attempt.tokens,
            attempt.queued_s + attempt.first_s,
            self._env._now - attempt.start_s,
            attempt.finish_reason,
            metadata,
        )

    def _begin(self, request: Request, deployment: Deployment, max_tokens: int | None) -> Attempt:
        """It is made: whose it is, its luck, its length; and it comes to its deployment."""
        try:
            server = self._servers[deployment.name]
        except KeyError:
            hint = nearest(deployment.name, self._servers)
            raise NotFound(
                "the scenario has no such deployment" + (f"; did you mean {hint!r}?" if hint else ""),
                deployment=deployment.name,
            ) from None
        try:
            # Only the harness's own requests have it; asking for the type costs more than trying.
            whose = request._world  # type: ignore[attr-defined]
        except AttributeError:
            whose = self._owner(request)
        purpose, place = request.purpose, whose.place
        key = server.index if purpose == "answer" else (server.index, purpose)
        ordinal = whose.calls.get(key, 0)
        whose.calls[key] = ordinal + 1
        block = whose.block
        if ordinal == 0 and purpose == "answer" and block.luck[server.index]:
            luck = block.luck[server.index][0]  # nearly always, without a call
        else:
            luck = server.luck(block, purpose, ordinal, place)
        tokens = block.output_tokens[place]
        finish_reason = "stop"
        if request.prefix_tokens and tokens != POISON:
            tokens = max(1, tokens - request.prefix_tokens)
        most = request.max_tokens if max_tokens is None else max_tokens
        if most is not None and most < tokens:
            tokens, finish_reason = most, "length"
        window = server.context_window
        if window is not None and window - request.prompt_tokens < tokens:
            tokens, finish_reason = window - request.prompt_tokens, "length"
        now = self._env._now
        attempt = Attempt(
            request,
            whose,
            server,
            luck,
            _PURPOSE_CODES.get(purpose, 0),
            ordinal,
            now,
            tokens,
            most,
            finish_reason,
        )
        server.in_flight += 1
        if server.at_once and tokens >= 1 and not request.needs:
            # Nearly always: what `_admit` comes to, without its questions.
            conditions = server.conditions
            condition = conditions.current if now < conditions.until_s else conditions.at(now)
            if luck[0][place] >= condition.failing:
                slowdown = condition.slowdown
                attempt.outcome = OK
                attempt.served = True
                attempt.first_s = first_s = luck[1][place] * slowdown
                attempt.per_token_s = per_token_s = luck[2][place] * slowdown
                attempt.total_s = first_s + tokens * per_token_s
                return attempt
        self._admit(attempt, deployment)
        return attempt

    def _admit(self, attempt: Attempt, deployment: Deployment) -> None:
        """It is at its deployment: it is turned away, or queued, or served at once."""
        server, request, now = attempt.server, attempt.request, self._env._now
        conditions = server.conditions if server.grey is None else server.grey.of(attempt.whose, request)
        condition = conditions.current if now < conditions.until_s else conditions.at(now)
        if attempt.luck[0][attempt.whose.place] < condition.refused:
            attempt.fail(condition)
        elif request.needs and not offers(deployment, request.needs):
            attempt.turn_away(BAD_REQUEST)
        elif attempt.tokens < 1:
            block = attempt.whose.block
            poisoned = block.output_tokens[attempt.whose.place] == POISON
            attempt.turn_away(block.poison_outcome if poisoned else CONTEXT_LENGTH)
            # It looks like a fault of the deployment, and is billed as one.
            attempt.turned_away = not poisoned
        elif server.limit is None:
            attempt.serve(condition)
        elif server.gate is not None and (wait_s := self._refused(attempt)):
            attempt.turn_away(RATE_LIMITED)
            if wait_s < math.inf:
                attempt.retry_after_s = wait_s
        elif server.busy < server.limit:
            server.busy += 1
            attempt.holds_slot = True
            attempt.serve(condition)
            if server.sharing is not None and attempt.served:
                shares.enter(attempt, self._loop)
        elif server.queue_limit is not None and len(server.waiting) >= server.queue_limit:
            attempt.turn_away(RATE_LIMITED)
        else:
            attempt.outcome = QUEUED

    async def _wait(self, attempt: Attempt, limit_s: float | None) -> None:
        """Wait for a slot, first come, first served, for at most `limit_s`."""
        server = attempt.server
        turn: asyncio.Future[bool] = asyncio.Future(loop=self._loop)
        server.waiting.append(turn)
        timer = None
        if limit_s is not None:
            timer = self._loop.call_later(limit_s, _resolve, turn, False, context=self._context)
        try:
            attempt.holds_slot = await turn
        except asyncio.CancelledError:
            # The slot may have come in the very instant of the cancellation.
            attempt.holds_slot = not turn.cancelled() and turn.result()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            attempt.queued_s = self._env._now - attempt.start_s
            if not attempt.holds_slot:
                with contextlib.suppress(ValueError):
                    server.waiting.remove(turn)
        if attempt.holds_slot:
            conditions = server.conditions
            if server.grey is not None:
                conditions = server.grey.of(attempt.whose, attempt.request)
            attempt.serve(conditions.at(self._env._now))
            if server.sharing is not None and attempt.served:
                shares.enter(attempt, self._loop)
        else:
            attempt.outcome, attempt.total_s = HANG, math.inf

    def _refused(self, attempt: Attempt) -> float:
        """Above 0 where a limit on rate or the account's concurrency refuses it; see `Gate.admit`."""
        gate, request = attempt.server.gate, attempt.request
        assert gate is not None
        most = attempt.tokens if attempt.most is None else attempt.most
        return gate.admit(attempt, request.prompt_tokens + most, self._env._now)

    def _at(self, when: float) -> tuple[asyncio.Future[None], SimTimerHandle]:
        """A moment on the deployment's clock, which a slow reader may have let pass: what is done then, and
        the timer that does it.
        """
        end: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        return end, self._loop.call_at(when, _resolve, end, None, context=self._context)

    async def _until(self, when: float) -> None:
        """Wait for that moment."""
        end, timer = self._at(when)
        try:
            await end
        finally:
            timer.cancel()

    def _owner(self, request: Request) -> OpenRequest:
        """The open request to which a call belongs that the policy made by itself; else nobody's."""
        whose = self.open.get(request.id if request.parent_id is None else request.parent_id)
        if whose is None:
            # Nobody's calls are numbered in the order in which they come.
            index, place = divmod(self.unowned, BLOCK)
            self.unowned += 1
            block = Block("nobody", index, len(self._servers))
            block.output_tokens = [_NOBODYS_TOKENS] * BLOCK
            whose = OpenRequest(NOBODY, block, place)
        return whose


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    # A cancellation in the same instant may have come first.
    if not future.done():
        future.set_result(result)


def _limit(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
