"""aiohttp.

The seam is where a connector opens a connection: it gets one to the world, and everything above is the
library's own: sessions, limits of connections, its parser and its total time-out. The read time-out of a
connection is kept by the world, so that the attempt is known to have ended by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from types import ModuleType
from typing import Any, cast

from simsla.virtualtime.http.exchange import Answer, Call, ExchangeError, HttpWorld, close_at_once
from simsla.virtualtime.http.here import HERE
from simsla.virtualtime.http.patching import Patch
from simsla.virtualtime.http.wire import Framed


def aiohttp_patches(library: ModuleType) -> Iterable[Patch]:
    """The patches of aiohttp."""
    protocol = _protocol_class(library)

    def connecting(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def create_connection(connector: Any, req: Any, traces: Any, timeout: Any) -> Any:
            world = HERE.world
            if world is None:
                return await original(connector, req, traces, timeout)
            limits = [limit for limit in (timeout.connect, timeout.sock_connect) if limit]
            made = protocol(asyncio.get_running_loop())
            made.connection_made(
                _Wire(library, world, made, req.url.origin(), req.connection_key, min(limits, default=None))
            )
            return made

        return create_connection

    yield Patch(library.TCPConnector, "_create_connection", connecting)


def _protocol_class(library: Any) -> type:
    from importlib import import_module

    base: Any = import_module(f"{library.__name__}.client_proto").ResponseHandler

    class Protocol(base):  # type: ignore[misc]
        """The client's end of a connection, which leaves the read time-out to the world."""

        def _reschedule_timeout(self) -> None:
            pass

    return Protocol


class _Wire(asyncio.Transport):
    """A connection: it reads the client's requests, one after another, and writes the world's answers."""

    def __init__(
        self, library: Any, world: HttpWorld, protocol: Any, origin: Any, key: Any, connect_s: float | None
    ) -> None:
        super().__init__()
        self._library = library
        self._loop = asyncio.get_running_loop()
        self._world = world
        self._protocol = protocol
        self._origin = str(origin).rstrip("/")
        self._key = key
        self._connect_s = connect_s
        self._asked = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take a part of a request; when it is whole, it is answered."""
        self._asked += data
        call = self._call()
        if call is not None:
            self._asked.clear()
            self._answering = self._loop.create_task(self._answer(call))

    def _call(self) -> Call | None:
        head, end, rest = bytes(self._asked).partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = _dechunked(rest)
        else:
            body = rest if len(rest) >= int(headers.get("content-length", "0")) else None
        if body is None:
            return None
        method, target, _ = first.split(" ")
        url = target if target.startswith("http") else f"{self._origin}{target}"
        return Call(method, url, headers, body, self._connect_s, self._protocol.read_timeout)

    async def _answer(self, call: Call) -> None:
        protocol = self._protocol
        try:
            answer = await self._world.answer(call)
            framed = Framed(answer)
            try:
                async with aclosing(cast("AsyncGenerator[bytes]", aiter(framed))) as pieces:
                    async for piece in pieces:
                        protocol.data_received(piece)
            finally:
                _end(answer)
            if not framed.whole:
                self.close()
        except Exception as error:
            failed = self._error(error) if isinstance(error, ExchangeError) else error
            protocol.set_exception(failed)
            if (payload := protocol._payload) is not None:
                payload.set_exception(failed)

    def _error(self, error: ExchangeError) -> Exception:
        """The library's own exception."""
        library = self._library
        failed: Exception
        if error.kind == "connect":
            failed = library.ClientConnectorError(self._key, ConnectionRefusedError(111, str(error)))
        elif error.kind == "connect timeout":
            failed = library.ConnectionTimeoutError(f"Connection timeout to host {self._origin}")
        elif error.kind == "read timeout":
            failed = library.SocketTimeoutError("Timeout on reading data from socket")
        else:
            failed = library.ServerDisconnectedError()
        return failed

    def close(self) -> None:
        """The client is done with it, or the world: what is still being answered is broken off."""
        if self._closing:
            return
        self._closing = True
        answering, self._answering = self._answering, None
        if answering is not None and not answering.done():
            answering.cancel()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As `close`."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing

    def pause_reading(self) -> None:
        """A reader who lags gets what there is all the same: it is small."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def can_write_eof(self) -> bool:
        """No: a connection of HTTP/1.1 stays open both ways."""
        return False


def _end(answer: Answer) -> None:
    if not isinstance(answer.body, bytes):
        close_at_once(answer.body)


def _dechunked(data: bytes) -> bytes | None:
    """The body of a request that comes in chunks; None while its last one is missing."""
    body = b""
    while True:
        size, end, rest = data.partition(b"\r\n")
        if not end:
            return None
        length = int(size.partition(b";")[0], 16)
        if len(rest) < length + 2:
            return None
        if not length:
            return body
        body += rest[:length]
        data = rest[length + 2 :]
