"""urllib3 and what stands on it, such as requests: blocking clients.

The seam is where a pool makes one request on one of its connections. Above it everything is the library's
own: pools, retries and their delays, redirects, and what each library calls an error. Below it `http.client`
reads the bytes of the answer, so that bodies that break off or come late are seen as they are on a network.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import AsyncIterator, Callable, Iterable
from types import ModuleType
from typing import Any

from simsla.virtualtime.http.blocking_calls import wait
from simsla.virtualtime.http.exchange import Answer, Call, ExchangeError, close_at_once
from simsla.virtualtime.http.here import HERE
from simsla.virtualtime.http.patching import Patch
from simsla.virtualtime.http.wire import Framed


def urllib3_patches(library: ModuleType) -> Iterable[Patch]:
    """The patches of urllib3, from version 2 on."""
    if int(library.__version__.partition(".")[0]) < 2:
        return
    yield Patch(library.HTTPConnectionPool, "_make_request", lambda original: _answering(library, original))
    for pool in (library.HTTPConnectionPool, library.HTTPSConnectionPool):
        yield Patch(pool, "_prepare_proxy", _without_proxy)


def _without_proxy(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def prepare_proxy(pool: Any, connection: Any) -> None:
        """There is no network, and so no tunnel through a proxy to it."""
        if HERE.world is None:
            original(pool, connection)

    return prepare_proxy


def _answering(library: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    exceptions = library.exceptions

    def make_request(
        pool: Any,
        conn: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        timeout: Any = library.util.timeout._DEFAULT_TIMEOUT,
        chunked: bool = False,
        response_conn: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> Any:
        world = HERE.world
        if world is None:
            return original(
                pool,
                conn,
                method,
                url,
                body=body,
                headers=headers,
                retries=retries,
                timeout=timeout,
                chunked=chunked,
                response_conn=response_conn,
                preload_content=preload_content,
                decode_content=decode_content,
                enforce_content_length=enforce_content_length,
            )
        pool.num_requests += 1
        limits = pool._get_timeout(timeout)
        limits.start_connect()
        resolved = library.util.Timeout.resolve_default_timeout
        connect_s, read_s = resolved(limits.connect_timeout), resolved(limits.read_timeout)
        absolute = url if url.startswith(("http://", "https://")) else _origin(library, pool) + url
        told = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
        call = Call(method, absolute, told, _bytes(body), connect_s, read_s)
        try:
            answer = wait(world.answer(call))
        except ExchangeError as error:
            failed = _error(exceptions, error, pool, conn, url)
        else:
            reader = _Reader(answer)
            parsed = http.client.HTTPResponse(reader, method=method)  # type: ignore[arg-type]
            parsed.begin()
            return library.HTTPResponse(
                body=parsed,
                headers=library.HTTPHeaderDict(parsed.msg.items()),
                status=parsed.status,
                version=parsed.version,
                version_string="HTTP/1.1",
                reason=parsed.reason,
                preload_content=preload_content,
                decode_content=decode_content,
                original_response=parsed,
                pool=pool,
                connection=response_conn,
                retries=retries,
                enforce_content_length=enforce_content_length,
                request_method=method,
                request_url=url,
            )
        try:
            raise failed
        finally:
            del failed

    return make_request


def _origin(library: Any, pool: Any) -> str:
    """Where the pool's connections lead, as others write it."""
    usual = pool.port in (None, library.connection.port_by_scheme.get(pool.scheme))
    return f"{pool.scheme}://{pool.host}" + ("" if usual else f":{pool.port}")


def _error(exceptions: Any, error: ExchangeError, pool: Any, conn: Any, url: str) -> Exception:
    """The library's own exception; it is the one that the pool would see."""
    failed: Exception
    if error.kind == "connect":
        failed = exceptions.NewConnectionError(conn, f"Failed to establish a new connection: {error}")
    elif error.kind == "connect timeout":
        failed = exceptions.ConnectTimeoutError(conn, f"Connection to {pool.host} timed out")
    elif error.kind == "read timeout":
        failed = exceptions.ReadTimeoutError(pool, url, "Read timed out.")
    else:
        failed = http.client.RemoteDisconnected("Remote end closed connection without response")
    return failed


def _bytes(body: Any) -> bytes:
    """The body of a request: nothing, a text, bytes, a file or pieces of one of them."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if hasattr(body, "read"):
        return _bytes(body.read())
    return b"".join(map(_bytes, body))


class _Reader(io.RawIOBase):
    """What `http.client` takes for a socket, and for the file that it makes of it: the bytes of an answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._bytes: AsyncIterator[bytes] = aiter(Framed(answer))
        self._left = b""

    def makefile(self, mode: str) -> io.BufferedReader:
        """All of it, for reading."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for the next bytes; 0 at the end. Raises TimeoutError where they do not come in time."""
        if not self._left:
            try:
                self._left = wait(_next(self._bytes))
            except ExchangeError:
                raise TimeoutError("timed out") from None
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        """Nothing more will be read."""
        if not self.closed and not isinstance(self._answer.body, bytes):
            close_at_once(self._answer.body)
        super().close()


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces, b"")
