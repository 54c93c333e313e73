"""An answer in pieces, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from simsla.routing.errors import AttemptError, AttemptTimeout, MalformedReply, StreamInterrupted
from simsla.virtualtime.http import ExchangeError
from simsla.world.endpoint.bodies import DONE, JSON_OBJECT

if TYPE_CHECKING:
    from simsla.routing import Chunk
    from simsla.world.endpoint.bodies import Asked, Voice

Opened = AbstractAsyncContextManager[AsyncIterator["Chunk"]]

_UNREADABLE: Final = b'data: {"choices": [{"delta": \n\n'

_CUT: Final = "peer closed connection without sending complete message body (incomplete chunked read)"


class EventStream:
    """The events of one answer whose first piece is there; see `simsla.virtualtime.http.Pieces`."""

    def __init__(
        self,
        opened: Opened,
        chunks: AsyncIterator[Chunk],
        first: Chunk,
        voice: Voice,
        number: str,
        created: int,
        asked: Asked,
    ) -> None:
        """`opened` is the context of `chunks`, which has been entered."""
        self._opened: Opened | None = opened
        self._chunks = chunks
        self._first = first
        self._voice = voice
        self._number = number
        self._created = created
        self._asked = asked
        self.idle = True
        """Whether nobody waits for its next piece."""

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        voice, number, created = self._voice, self._number, self._created
        chunk: Chunk | None = self._first
        tokens = 0
        beginning = voice.opening(number, created)
        before, after = JSON_OBJECT if self._asked.json_object else ("", "")
        try:
            while chunk is not None:
                tokens += chunk.tokens
                reason = chunk.finish_reason
                text = f"{before}{chunk.text}{after if reason is not None else ''}"
                event = beginning + voice.piece(number, created, text)
                beginning, before = b"", ""
                if reason is not None:
                    usage = (self._asked.prompt_tokens, tokens) if self._asked.counts else None
                    yield event + voice.ending(number, created, reason, usage)
                    return
                yield event
                self.idle = False
                try:
                    chunk = await anext(self._chunks, None)
                finally:
                    self.idle = True
            broken = ExchangeError("cut", _CUT)  # it was closed before its end
        except MalformedReply:
            broken = None
        except AttemptError as error:
            broken = broken_down(error)
        await self.aclose()
        if broken is None:
            yield _UNREADABLE + DONE
            return
        try:
            raise broken
        finally:
            del broken

    async def aclose(self) -> None:
        """End it; an answer that has not ended is broken off, and costs what the deployment says."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.__aexit__(None, None, None)


def broken_down(error: AttemptError) -> ExchangeError:
    """How a client sees what is no answer at all."""
    if isinstance(error, AttemptTimeout):
        if error.phase == "connect":
            return ExchangeError("connect timeout", "timed out while connecting")
        return ExchangeError("read timeout", "timed out while reading")
    if isinstance(error, StreamInterrupted):
        return ExchangeError("cut", _CUT)
    return ExchangeError("connect", "connection refused")
