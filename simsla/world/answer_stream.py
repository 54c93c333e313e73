"""A streamed answer: its tokens, at the moments when they come."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, Final

from simsla.routing import Chunk, Deployment, Request, Timeouts
from simsla.world import shares
from simsla.world.attempt import CANCELLED, CLOSED, OK, QUEUED, TIMEOUT, Attempt
from simsla.world.conditions import CONNECT
from simsla.world.shares import SHARED

if TYPE_CHECKING:
    from simsla.virtualtime.handles import SimTimerHandle
    from simsla.world.transport import SimTransport

# A reader who watches sees tokens in pieces of at most this many: a piece costs an event.
_TOKENS_PER_CHUNK: Final = 16

# A token that is due in the very moment has come, in spite of the last bits of its time.
_ROUNDING: Final = 1e-9


class AnswerStream:
    """What `SimTransport.stream` returns: the context of one attempt, and the iterator over its pieces.

    The attempt begins on entering; leaving early cancels it. Its limits of time cost no timer of their own:
    the world knows when each token would come, and waits for the earlier of that and the limit.
    """

    __slots__ = (
        "_asked",
        "_attempt",
        "_begun",
        "_broken",
        "_now_s",
        "_pieces",
        "_sent",
        "_timeouts",
        "_timer",
        "_transport",
    )

    _attempt: Attempt

    def __init__(
        self,
        transport: SimTransport,
        request: Request,
        deployment: Deployment,
        timeouts: Timeouts,
        max_tokens: int | None,
    ) -> None:
        self._transport = transport
        self._asked = request, deployment, max_tokens
        self._timeouts = timeouts
        self._begun = False
        self._broken = ""  # the phase that it failed in after tokens that were still to be shown
        self._sent = 0
        self._now_s = 0.0  # when the last piece came, since the attempt began, like every other moment here
        self._timer: SimTimerHandle | None = None  # of the piece that is waited for
        self._pieces: AsyncGenerator[tuple[int, bool, str]] | None = None

    async def __aenter__(self) -> AnswerStream:
        self._attempt = self._transport._begin(*self._asked)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._pieces is not None:
            await self._pieces.aclose()
        if self._attempt.outcome != CLOSED:
            if self._timer is not None:
                self._timer.cancel()
            self._transport._close(self._attempt, CANCELLED)

    def __aiter__(self) -> AnswerStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Chunk]:
        return self._next(_TOKENS_PER_CHUNK)

    def rest(self) -> Coroutine[Any, Any, Chunk]:
        """All that still comes, as one piece when the last of it is there; see `simsla.routing.Transport`."""
        return self._next(math.inf)

    async def _next(self, most: float) -> Chunk:
        transport, attempt, timeouts = self._transport, self._attempt, self._timeouts
        if attempt.outcome == CLOSED:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            if attempt.outcome == QUEUED:
                limits = _limit(timeouts.total_s), _limit(timeouts.first_token_s)
                await transport._wait(attempt, min(limits))
            if attempt.outcome == SHARED:
                self._pieces = shares.pieces(attempt, timeouts, _TOKENS_PER_CHUNK)
            elif not attempt.served:
                await self._unanswered()
            self._now_s = attempt.queued_s
        if self._broken:
            raise transport._failed(attempt, self._broken)
        if self._pieces is not None:
            return await self._shared(self._pieces, most)
        sent, tokens, per_token_s = self._sent, attempt.tokens, attempt.per_token_s
        whole = attempt.outcome == OK
        readable = tokens if whole else attempt.readable
        limit_s, phase = timeouts.total_s, "total"
        # The clock of the answer: `first_s` to the first token, and all of it after `total_s`.
        first_s = attempt.queued_s + attempt.first_s
        if sent == 0:
            piece, due_s = 1, first_s
            if timeouts.first_token_s is not None and (limit_s is None or timeouts.first_token_s <= limit_s):
                limit_s, phase = timeouts.first_token_s, "first_token"
        else:
            # Tokens come one by one, however many of them a piece shows.
            if timeouts.idle_s is not None and per_token_s > timeouts.idle_s:
                idle_s = self._now_s + timeouts.idle_s
                if limit_s is None or idle_s <= limit_s:
                    limit_s, phase = idle_s, "idle"
            piece = readable - sent
            if piece > most:
                piece = int(most)
            due_s = first_s + (sent + piece) * per_token_s
        spoiled = sent == readable
        if spoiled:
            piece, due_s = 0, attempt.queued_s + attempt.total_s
        if limit_s is not None and due_s > limit_s:
            await transport._until(attempt.start_s + limit_s)
            attempt.outcome = TIMEOUT
            come = int((limit_s - first_s) / per_token_s + _ROUNDING) - sent if sent and piece else 0
            if come <= 0:
                raise transport._failed(attempt, phase)
            self._broken = phase
            return Chunk("word " * come, come)
        end, self._timer = transport._at(attempt.start_s + due_s)
        await end
        if spoiled:
            raise transport._failed(attempt, phase)
        self._now_s = due_s
        self._sent = sent = sent + piece
        finish_reason = None
        if whole and sent == tokens:
            if sent == 1:
                await transport._until(attempt.start_s + attempt.queued_s + attempt.total_s)
            finish_reason = attempt.finish_reason
            transport._answered(attempt)
        return Chunk("word " * piece, piece, finish_reason)

    async def _unanswered(self) -> None:
        """No token ever comes: wait for the error, or for a limit."""
        transport, attempt, timeouts = self._transport, self._attempt, self._timeouts
        limit_s, phase = min(
            (_limit(timeouts.total_s), "total"), (_limit(timeouts.first_token_s), "first_token")
        )
        now_s = attempt.queued_s
        if attempt.outcome == CONNECT:
            limit_s, phase = min((limit_s, phase), (now_s + _limit(timeouts.connect_s), "connect"))
        end_s = now_s + attempt.total_s
        if end_s > limit_s:
            end_s, attempt.outcome = limit_s, TIMEOUT
        await transport._until(attempt.start_s + end_s)
        raise transport._failed(attempt, phase)

    async def _shared(self, pieces: AsyncGenerator[tuple[int, bool, str]], most: float) -> Chunk:
        """The same, where those in service slow one another down."""
        transport, attempt = self._transport, self._attempt
        tokens, finish_reason = 0, None
        async for piece, last, phase in pieces:
            if phase:
                if not tokens:
                    raise transport._failed(attempt, phase)
                self._broken = phase
                break
            tokens += piece
            if last:
                finish_reason = attempt.finish_reason
                transport._answered(attempt)
            # The first token comes by itself.
            if last or self._sent == 0 or most < math.inf:
                break
        self._sent += tokens
        return Chunk("word " * tokens, tokens, finish_reason)


def _limit(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
