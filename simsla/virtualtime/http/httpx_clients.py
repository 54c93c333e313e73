"""httpx and httpx2, which have the same classes, and what stands on them, such as the openai SDK.

The seam is the transport that does HTTP. A client made by anyone ends there, unless it was given another kind
of transport, such as a test's own, which is left alone. The pool's size and the transport's retries of a
connection are kept here, because they are kept below it otherwise.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Final

from simsla.virtualtime.http.blocking_calls import wait
from simsla.virtualtime.http.exchange import Answer, Call, ExchangeError, HttpWorld, Pieces, close_at_once
from simsla.virtualtime.http.here import HERE
from simsla.virtualtime.http.patching import Patch
from simsla.virtualtime.http.pool import Connections

_EXCEPTIONS: Final = {
    "connect": "ConnectError",
    "connect timeout": "ConnectTimeout",
    "pool timeout": "PoolTimeout",
    "read timeout": "ReadTimeout",
    "cut": "RemoteProtocolError",
}
"""How the library names what a call ends with."""

_TLS: Final[dict[tuple[object, ...], Any]] = {}

_NO_LIMITS: Final[dict[str, float | None]] = {}


def httpx_patches(library: ModuleType) -> Iterable[Patch]:
    """The patches of httpx or httpx2."""
    kind = _Kind(library)
    yield Patch(library.AsyncHTTPTransport, "handle_async_request", kind.asynchronous)
    yield Patch(library.HTTPTransport, "handle_request", kind.blocking)
    module = sys.modules.get(f"{library.__name__}._transports.default")
    if hasattr(module, "create_ssl_context"):
        yield Patch(module, "create_ssl_context", _made_once)


def _made_once(create: Callable[..., Any]) -> Callable[..., Any]:
    """Clients share their usual TLS context: making one takes 20 ms, and some code makes many clients."""

    def create_ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True, **more: Any) -> Any:
        if HERE.world is None or verify is not True or cert is not None or more:
            return create(verify=verify, cert=cert, trust_env=trust_env, **more)
        key = (create, trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in _TLS:
            _TLS[key] = create(verify=verify, cert=cert, trust_env=trust_env)
        return _TLS[key]

    return create_ssl_context


class _Kind:
    """One of the two libraries."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.streams = _stream_classes(library, self)

    def error(self, error: ExchangeError, request: Any) -> Exception:
        """The library's own exception."""
        raised: Exception = getattr(self.library, _EXCEPTIONS[error.kind])(str(error), request=request)
        return raised

    def asynchronous(self, original: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Any]:
        """In the place of `AsyncHTTPTransport.handle_async_request`."""

        async def handle_async_request(transport: Any, request: Any) -> Any:
            world = HERE.world
            if world is None:
                return await original(transport, request)
            return await self.exchange(world, transport, request, await request.aread(), self.streams[0])

        return handle_async_request

    def blocking(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """In the place of `HTTPTransport.handle_request`."""

        def handle_request(transport: Any, request: Any) -> Any:
            world = HERE.world
            if world is None:
                return original(transport, request)
            return wait(self.exchange(world, transport, request, request.read(), self.streams[1]))

        return handle_request

    async def exchange(
        self, world: HttpWorld, transport: Any, request: Any, body: bytes, stream: Callable[..., Any]
    ) -> Any:
        """The library's response, on a connection of the transport's pool."""
        limits = request.extensions.get("timeout") or _NO_LIMITS
        connections = _connections(transport)
        if connections is not None:
            if connections.free > 0:
                connections.free -= 1
            elif not await connections.wait(limits.get("pool")):
                raise self.error(ExchangeError("pool timeout", "no connection free in time"), request)
        try:
            call = Call(
                request.method,
                str(request.url),
                {
                    name.lower().decode("latin-1"): value.decode("latin-1")
                    for name, value in request.headers.raw
                },
                body,
                limits.get("connect"),
                limits.get("read"),
            )
            answer = await _connected(world, call, getattr(transport._pool, "_retries", 0))
        except ExchangeError as error:
            if connections is not None:
                connections.release()
            failed = self.error(error, request)
        except BaseException:
            if connections is not None:
                connections.release()
            raise
        else:
            return self.response(answer, connections, stream)
        try:
            raise failed
        finally:
            del failed

    def response(self, answer: Answer, connections: Connections | None, stream: Callable[..., Any]) -> Any:
        body = answer.body
        if isinstance(body, bytes) and answer.cut_at is None:
            # It is all there: the connection is free at once.
            if connections is not None:
                connections.release()
            content = self.library.ByteStream(body)
        elif isinstance(body, bytes):
            content = stream(_Cut(body[: answer.cut_at], len(body)), connections)
        else:
            content = stream(body, connections)
        return self.library.Response(
            answer.status,
            headers=answer.headers,
            stream=content,
            extensions={"http_version": b"HTTP/1.1"},
        )


async def _connected(world: HttpWorld, call: Call, retries: int) -> Answer:
    """The answer, the connection tried again as often as the transport is told, with the library's delays."""
    delay_s = 0.0
    while True:
        try:
            return await world.answer(call)
        except ExchangeError as error:
            if retries <= 0 or error.kind not in ("connect", "connect timeout"):
                raise
        retries -= 1
        await asyncio.sleep(delay_s)
        delay_s = delay_s * 2 or 0.5


def _connections(transport: Any) -> Connections | None:
    """The connections of a transport; None where their number has no limit, as over HTTP/2."""
    try:
        return HERE.pools[transport]
    except KeyError:
        pass
    pool = transport._pool
    most = pool._max_connections
    if getattr(pool, "_http2", False) or most >= 1 << 31:
        return None
    HERE.pools[transport] = connections = Connections(most)
    return connections


class _Cut:
    """A body that breaks off."""

    def __init__(self, body: bytes, whole: int) -> None:
        self._body = body
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        raise ExchangeError(
            "cut",
            "peer closed connection without sending complete message body "
            f"(received {len(self._body)} bytes, expected {self._whole})",
        )

    async def aclose(self) -> None:
        pass


def _stream_classes(library: Any, kind: _Kind) -> tuple[type, type]:
    """The bodies of responses that come in pieces: for clients of asyncio, and for blocking ones."""

    class Body:
        def __init__(self, pieces: Pieces, connections: Connections | None) -> None:
            self._pieces = pieces
            self._connections = connections

        def _close(self) -> None:
            connections, self._connections = self._connections, None
            close_at_once(self._pieces)
            if connections is not None:
                connections.release()

        def _error(self, error: ExchangeError) -> Exception:
            return kind.error(error, None)

    class AsyncBody(Body, library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._pieces:
                    yield piece
            except ExchangeError as error:
                failed = self._error(error)
            else:
                return
            try:
                raise failed
            finally:
                del failed

        async def aclose(self) -> None:
            self._close()

    class BlockingBody(Body, library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            pieces = self._pieces.__aiter__()
            try:
                while (piece := wait(_next(pieces))) is not None:
                    yield piece
            except ExchangeError as error:
                failed = self._error(error)
            else:
                return
            try:
                raise failed
            finally:
                del failed

        def close(self) -> None:
            self._close()

    return AsyncBody, BlockingBody


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)
