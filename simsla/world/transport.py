"""The simulated transport: the world's side of the seam."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from simsla.records import ATTEMPT_OUTCOMES, NOBODY, PURPOSES
from simsla.routing import Chunk, Deployment, NotFound, Reply, Request, Timeouts
from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    BadRequest,
    ConnectError,
    ContextLengthExceeded,
    MalformedReply,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
    nearest,
)
from simsla.routing.selection.capabilities import offers
from simsla.world import shares
from simsla.world.conditions import CONNECT, CUT, HANG, MALFORMED, UNREACHED, Condition
from simsla.world.poison import POISON
from simsla.world.requests import OpenRequest
from simsla.world.server import Luck, Server
from simsla.world.shares import SHARED
from simsla.world.streams import BLOCK
from simsla.world.traffic import Block

if TYPE_CHECKING:
    from simsla.records import Recorder
    from simsla.virtualtime import SimEventLoop
    from simsla.world.gateway.transport import Visit
    from simsla.world.sharing import Share

OK = ATTEMPT_OUTCOMES.index("ok")
TIMEOUT = ATTEMPT_OUTCOMES.index("timeout")
CANCELLED = ATTEMPT_OUTCOMES.index("cancelled")
CONTEXT_LENGTH = ATTEMPT_OUTCOMES.index("context_length")
RATE_LIMITED = ATTEMPT_OUTCOMES.index("rate_limited")
SERVER_ERROR = ATTEMPT_OUTCOMES.index("server_error")
UNAVAILABLE = ATTEMPT_OUTCOMES.index("unavailable")
BAD_REQUEST = ATTEMPT_OUTCOMES.index("bad_request")

_ERROR_CLASSES: dict[int, type[AttemptError]] = {
    CONNECT: ConnectError,
    CONTEXT_LENGTH: ContextLengthExceeded,
    RATE_LIMITED: RateLimited,
    SERVER_ERROR: ServerError,
    UNAVAILABLE: ServiceUnavailable,
    BAD_REQUEST: BadRequest,
    CUT: StreamInterrupted,
    MALFORMED: MalformedReply,
}

_PURPOSE_CODES = {name: code for code, name in enumerate(PURPOSES)}

# A stream shows its tokens in pieces of at most this many: a piece costs an event.
_TOKENS_PER_CHUNK = 16

_RETRIABLE_LATER = (RATE_LIMITED, UNAVAILABLE)
_SERVER_ERRORS = (SERVER_ERROR, UNAVAILABLE)

# Times are sums of floats: a token that is due counts as generated in spite of their last bits.
_ROUNDING_S = 1e-9

# In the place of an outcome once the attempt is in the log.
_CLOSED = -3

# While an attempt waits for a slot it has no outcome yet.
QUEUED = -2

# The length of an answer to a call that belongs to no request.
_NOBODYS_TOKENS = 64

_NAN = math.nan
_NO_TIMEOUTS = Timeouts()


class _Attempt:
    """One call, from its arrival to its row in the log.

    `total_s` and `first_s` count from the moment of service. `served` is False for an attempt that is turned
    away, fails or hangs, and so generates nothing. `readable` are the tokens that a stream shows of an answer
    that breaks off or ends in what cannot be read.
    """

    __slots__ = (
        "ends_as",
        "finish_reason",
        "first_s",
        "holds_slot",
        "luck",
        "most",
        "ordinal",
        "outcome",
        "per_token_s",
        "purpose",
        "queued_s",
        "readable",
        "request",
        "retry_after_s",
        "served",
        "server",
        "share",
        "start_s",
        "tokens",
        "total_s",
        "turned_away",
        "visit",
        "whose",
    )

    outcome: int
    most: int | None  # the output tokens asked for
    total_s: float
    first_s: float
    per_token_s: float
    readable: int
    retry_after_s: float | None  # only where the answer is an error, as whether it got no slot
    turned_away: bool
    share: Share  # only where those in service slow one another down, as what it will end as
    ends_as: int
    visit: Visit | None  # only where there are gateway pods

    def __init__(
        self,
        request: Request,
        whose: OpenRequest,
        server: Server,
        luck: Luck,
        purpose: int,
        ordinal: int,
        start_s: float,
        tokens: int,
    ) -> None:
        self.request = request
        self.whose = whose
        self.server = server
        self.luck = luck
        self.purpose = purpose
        self.ordinal = ordinal
        self.start_s = start_s
        self.tokens = tokens
        self.queued_s = 0.0
        self.holds_slot = False
        self.served = False
        self.finish_reason = "stop"

    def turn_away(self, outcome: int) -> None:
        """It gets no slot; its answer is an error, or a refused connection."""
        self.outcome = outcome
        self.total_s = self.luck[3][self.whose.place]
        self.retry_after_s = self.server.retry_after_s
        self.turned_away = True

    def serve(self, condition: Condition) -> None:
        """It has its slot: what becomes of it, and when."""
        place = self.whose.place
        fails, firsts, per_tokens, _ = self.luck
        if fails[place] < condition.failing:
            self.fail(condition)
            return
        self.outcome = OK
        self.served = True
        slowdown = condition.slowdown
        self.first_s = first_s = firsts[place] * slowdown
        self.per_token_s = per_token_s = per_tokens[place] * slowdown
        self.total_s = first_s + self.tokens * per_token_s

    def fail(self, condition: Condition) -> None:
        """A fault hits it: an error, no answer ever, or an answer that is spoiled on its way."""
        place = self.whose.place
        fails, firsts, per_tokens, errors = self.luck
        self.outcome, where = condition.failure(fails[place])
        if self.outcome not in (CUT, MALFORMED):
            self.total_s = errors[place]
            self.retry_after_s = self.server.retry_after_s
            self.turned_away = False
            if self.outcome == HANG:
                self.total_s = math.inf
            elif self.outcome == UNREACHED:
                self.outcome, self.total_s = CONNECT, math.inf
            elif condition.told and (told_s := condition.retry_after_s(fails[place])) is not None:
                self.retry_after_s = told_s
            return
        # A cut comes after the first token, at any moment alike; what cannot be read is seen at the end.
        self.served = True
        self.first_s = firsts[place] * condition.slowdown
        self.per_token_s = per_tokens[place] * condition.slowdown
        generated = where * self.tokens if self.outcome == CUT else self.tokens
        self.total_s = self.first_s + generated * self.per_token_s
        self.readable = max(1, int(generated)) if self.outcome == CUT else self.tokens - 1


class SimTransport:
    """`Transport` over the world: `deployments`, `random`, `send` and `stream`.

    Limits of time are kept without a task or a timer of their own: the world knows when an attempt would end
    and schedules the earlier of that and its limit. Only an attempt that waits for a slot needs a timer.
    """

    def __init__(
        self,
        loop: SimEventLoop,
        deployments: Sequence[Deployment],
        servers: Sequence[Server],
        recorder: Recorder,
        generator: random.Random,
    ) -> None:
        """`generator` is what a policy may draw from; `servers` belong to `deployments`, in order."""
        self.deployments = tuple(deployments)
        self.random = generator
        self.open: dict[int | str, OpenRequest] = {}
        """The requests in progress, by number: to them belong the calls that a policy makes for them."""
        self.unowned = 0
        """Attempts so far that belonged to no request."""
        self._servers = {server.name: server for server in servers}
        self._log = recorder.attempt
        self._loop = loop
        self._env = loop.env
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
                        return self._answered(attempt)
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
            return self._answered(attempt)
        raise self._failed(attempt, phase)

    @asynccontextmanager
    async def stream(
        self,
        request: Request,
        deployment: Deployment,
        *,
        timeouts: Timeouts = _NO_TIMEOUTS,
        max_tokens: int | None = None,
    ) -> AsyncGenerator[AsyncIterator[Chunk]]:
        """The reply in pieces; see `simsla.routing.Transport`. Leaving it early cancels the attempt."""
        attempt = self._begin(request, deployment, max_tokens)
        chunks = self._chunks(attempt, timeouts)
        try:
            yield chunks
        finally:
            await chunks.aclose()
            if attempt.outcome != _CLOSED:
                self._close(attempt, CANCELLED)

    async def _chunks(self, attempt: _Attempt, timeouts: Timeouts) -> AsyncGenerator[Chunk]:
        """The pieces of an answer at the moments when they come."""
        total_s, first_token_s = _limit(timeouts.total_s), _limit(timeouts.first_token_s)
        if attempt.outcome == QUEUED:
            await self._wait(attempt, min(total_s, first_token_s))
        if attempt.outcome == SHARED:
            async with contextlib.aclosing(self._shared_chunks(attempt, timeouts)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        now_s = attempt.queued_s  # since the attempt began, like every other moment here
        if not attempt.served:
            limit_s, phase = min((total_s, "total"), (first_token_s, "first_token"))
            if attempt.outcome == CONNECT:
                limit_s, phase = min((limit_s, phase), (now_s + _limit(timeouts.connect_s), "connect"))
            end_s = now_s + attempt.total_s
            if end_s > limit_s:
                end_s, attempt.outcome = limit_s, TIMEOUT
            await self._until(attempt.start_s + end_s)
            raise self._failed(attempt, phase)
        sent = 0
        whole = attempt.outcome == OK
        readable = attempt.tokens if whole else attempt.readable
        while sent < readable or not whole:
            spoiled = sent == readable
            piece = 1 if sent == 0 else min(_TOKENS_PER_CHUNK, readable - sent)
            # The clock of the answer: `first_s` to the first token, and all of it after `total_s`.
            if spoiled:
                due_s = attempt.queued_s + attempt.total_s
            elif sent == 0:
                due_s = attempt.queued_s + attempt.first_s
            else:
                due_s = attempt.queued_s + attempt.first_s + (sent + piece) * attempt.per_token_s
            if sent == 0:
                limit_s, phase = min((total_s, "total"), (first_token_s, "first_token"))
            else:
                limit_s, phase = total_s, "total"
                # Tokens come one by one, however many of them a piece shows.
                if timeouts.idle_s is not None and attempt.per_token_s > timeouts.idle_s:
                    limit_s, phase = min((limit_s, phase), (now_s + timeouts.idle_s, "idle"))
            if due_s > limit_s:
                await self._until(attempt.start_s + limit_s)
                attempt.outcome = TIMEOUT
                raise self._failed(attempt, phase)
            await self._until(attempt.start_s + due_s)
            if spoiled:
                raise self._failed(attempt, phase)
            now_s = due_s
            sent += piece
            last = whole and sent == attempt.tokens
            if last:
                if sent == 1:
                    await self._until(attempt.start_s + attempt.queued_s + attempt.total_s)
                self._answered(attempt)
            yield Chunk("word " * piece, piece, attempt.finish_reason if last else None)

    async def _shared_chunks(self, attempt: _Attempt, timeouts: Timeouts) -> AsyncGenerator[Chunk]:
        """As `_chunks`, where those in service slow one another down."""
        async with contextlib.aclosing(shares.pieces(attempt, timeouts, _TOKENS_PER_CHUNK)) as pieces:
            async for piece, last, phase in pieces:
                if phase:
                    raise self._failed(attempt, phase)
                if last:
                    self._answered(attempt)
                yield Chunk("word " * piece, piece, attempt.finish_reason if last else None)

    # The life of an attempt

    def _begin(self, request: Request, deployment: Deployment, max_tokens: int | None) -> _Attempt:
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
        whole = tokens = block.output_tokens[place]
        if request.prefix_tokens and tokens != POISON:
            whole = tokens = max(1, tokens - request.prefix_tokens)
        most = request.max_tokens if max_tokens is None else max_tokens
        if most is not None and most < tokens:
            tokens = most
        window = server.context_window
        if window is not None and window - request.prompt_tokens < tokens:
            tokens = window - request.prompt_tokens
        now = self._env._now
        attempt = _Attempt(request, whose, server, luck, _PURPOSE_CODES.get(purpose, 0), ordinal, now, tokens)
        attempt.most = most
        if tokens < whole:
            attempt.finish_reason = "length"
        server.in_flight += 1
        self._admit(attempt, deployment)
        return attempt

    def _admit(self, attempt: _Attempt, deployment: Deployment) -> None:
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

    async def _wait(self, attempt: _Attempt, limit_s: float | None) -> None:
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

    def _refused(self, attempt: _Attempt) -> float:
        """Above 0 where a limit on rate or the account's concurrency refuses it; see `Gate.admit`."""
        gate, request = attempt.server.gate, attempt.request
        assert gate is not None
        most = attempt.tokens if attempt.most is None else attempt.most
        return gate.admit(attempt, request.prompt_tokens + most, self._env._now)

    async def _until(self, when: float) -> None:
        """Wait for a moment on the deployment's clock, which a slow reader may have let pass."""
        end: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        timer = self._loop.call_at(when, _resolve, end, None, context=self._context)
        try:
            await end
        finally:
            timer.cancel()

    def _answered(self, attempt: _Attempt) -> Reply:
        server, whose = attempt.server, attempt.whose
        tokens_in, tokens_out = attempt.request.prompt_tokens, attempt.tokens
        first_s = attempt.queued_s + attempt.first_s
        first_token_s = attempt.start_s + first_s
        if attempt.purpose == 0:
            whose.answered_by = server.index
            prefix = attempt.request.prefix_tokens
            if not prefix or math.isnan(whose.first_token_s):
                whose.first_token_s = first_token_s
            whose.output_tokens = prefix + tokens_out
        server.in_flight -= 1
        now = self._env._now
        metadata: dict[str, Any] | None = None
        if attempt.holds_slot:
            server.release()
            if server.gate is not None:
                server.gate.leave(attempt)
                metadata = {"headers": server.gate.headers(now)}
        self._log(
            whose.number,
            server.index,
            attempt.ordinal,
            attempt.purpose,
            attempt.start_s,
            attempt.queued_s,
            first_token_s,
            now,
            OK,
            tokens_in,
            tokens_out,
            tokens_in * server.usd_per_token_in + tokens_out * server.usd_per_token_out
            if server.tariff is None
            else server.tariff.cost_usd(attempt.request, attempt.start_s, now, tokens_in, tokens_out),
            False,
        )
        attempt.outcome = _CLOSED
        return Reply(
            "simulated",
            server.name,
            server.model,
            tokens_in,
            tokens_out,
            first_s,
            now - attempt.start_s,
            attempt.finish_reason,
            metadata,
        )

    def _failed(self, attempt: _Attempt, phase: str) -> AttemptError:
        """The error of an attempt that failed or ran into a limit."""
        outcome, server = attempt.outcome, attempt.server
        self._close(attempt, outcome)
        if outcome == TIMEOUT:
            return AttemptTimeout(f"no answer within its {phase} limit", phase=phase, deployment=server.name)
        error = _ERROR_CLASSES[outcome]
        retry_after_s = attempt.retry_after_s if outcome in _RETRIABLE_LATER else None
        failed = error(deployment=server.name, retry_after_s=retry_after_s)
        if server.gate is not None and failed.status is not None:
            failed.headers = server.gate.headers(self._env._now)
        return failed

    def _close(self, attempt: _Attempt, outcome: int) -> None:
        """The end of an attempt that was not answered: its slot, its bill and its row."""
        server, now = attempt.server, self._env._now
        first_token_s, tokens_in, tokens_out = _NAN, 0, 0
        if attempt.served:
            # A reader who lags learns late that the answer broke off.
            served_s = min(now - attempt.start_s - attempt.queued_s, attempt.total_s)
            generated = 0
            generating_s = served_s - attempt.first_s + _ROUNDING_S
            if server.sharing is not None:
                generating_s = shares.generating_s(attempt) + _ROUNDING_S
            if generating_s >= 0:
                first_token_s = attempt.start_s + attempt.queued_s + attempt.first_s
                if attempt.purpose == 0 and math.isnan(attempt.whose.first_token_s):
                    attempt.whose.first_token_s = first_token_s  # in case the answer is continued
                generated = attempt.tokens
                if generating_s < attempt.tokens * attempt.per_token_s:
                    generated = max(1, int(generating_s / attempt.per_token_s))
            tokens_in, tokens_out = server.billed(
                outcome,
                tokens_in=attempt.request.prompt_tokens,
                generated=generated,
                whole=attempt.tokens,
            )
        elif outcome in _SERVER_ERRORS and not attempt.turned_away:
            tokens_in, tokens_out = server.billed(
                outcome, tokens_in=attempt.request.prompt_tokens, generated=0, whole=attempt.tokens
            )
        server.in_flight -= 1
        if server.gate is not None:
            server.gate.leave(attempt)
        if attempt.holds_slot:
            server.release()
        self._log(
            attempt.whose.number,
            server.index,
            attempt.ordinal,
            attempt.purpose,
            attempt.start_s,
            attempt.queued_s,
            first_token_s,
            now,
            outcome,
            tokens_in,
            tokens_out,
            tokens_in * server.usd_per_token_in + tokens_out * server.usd_per_token_out
            if server.tariff is None
            else server.tariff.cost_usd(attempt.request, attempt.start_s, now, tokens_in, tokens_out),
            outcome == CANCELLED,
        )
        attempt.outcome = _CLOSED

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
