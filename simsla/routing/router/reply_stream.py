"""What `Router.stream` returns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Self

from simsla.routing.router.delivery import Delivery
from simsla.routing.router.handover import Handover
from simsla.routing.types import Chunk, Reply


class ReplyStream:
    """The chunks of one answer, read with ``async for``, and in the end its reply.

    Nothing happens, and no deadline runs, before the first chunk is asked for. Reading raises what
    `Router.handle` raises, and, once a chunk has come, the `AttemptError` of a stream that broke off and
    could not be resumed. A caller who leaves before the end should `aclose` it or use it as an async context
    manager: the attempt then ends at once instead of when the object is forgotten.
    """

    __slots__ = ("_chunks", "_delivery")

    def __init__(
        self,
        answer: Callable[[Delivery], Coroutine[Any, Any, Reply]],
        delivery: Delivery,
    ) -> None:
        """``answer`` begins the work on the request."""
        self._delivery = delivery
        self._chunks = _chunks(answer, delivery)

    @property
    def reply(self) -> Reply | None:
        """The whole reply, with its metadata and explanation, once the last chunk has come."""
        return self._delivery.reply

    async def read(self) -> Reply:
        """Read what is left and return the whole reply."""
        async for _ in self._chunks:
            pass
        if self.reply is None:
            raise RuntimeError("the stream was left before its end: there is no reply")
        return self.reply

    async def aclose(self) -> None:
        """Leave: the attempt in progress ends at once. Nothing where everything has ended."""
        await self._chunks.aclose()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Chunk]:
        return self._chunks.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _chunks(
    answer: Callable[[Delivery], Coroutine[Any, Any, Reply]], delivery: Delivery
) -> AsyncGenerator[Chunk, None]:
    async with aclosing(Handover[Chunk, Reply](answer(delivery))) as work:
        while (chunk := await work.take()) is not None:
            yield chunk
    reply = delivery.reply = work.result
    assert reply is not None
    # A reply without a stream came from a stage, such as a cache.
    yield delivery.last or Chunk(reply.text, reply.tokens_out, reply.finish_reason)
