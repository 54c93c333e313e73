"""A call over HTTP and its answer, as every client library has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, Literal, Protocol

Breakdown = Literal["connect", "connect timeout", "pool timeout", "read timeout", "cut"]
"""How a call ends without an answer, or within it: no connection, none in time, none free in time, nothing to
read in time, broken off."""


class ExchangeError(Exception):
    """A call that broke down; `kind` is one of `Breakdown`, which each library has an exception for."""

    def __init__(self, kind: Breakdown, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Call:
    """A call, with its body read.

    `headers` has lower-case names. `connect_s` and `read_s` are the client's limits in seconds, None for no
    limit: `connect_s` to the connection, `read_s` for each wait for something to read, of which the first
    begins with the connection.
    """

    __slots__ = ("body", "connect_s", "headers", "method", "read_s", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        connect_s: float | None = None,
        read_s: float | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.connect_s = connect_s
        self.read_s = read_s

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.url}, {len(self.body)} bytes>"  # never the headers: keys


class Pieces(Protocol):
    """A body that comes in pieces, each at its moment.

    Iterating raises ExchangeError where it breaks off or nothing comes in time. `aclose` ends the exchange;
    it never waits, and may be called at any time and more than once.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def aclose(self) -> Coroutine[Any, Any, None]: ...


def close_at_once(pieces: Pieces) -> None:
    """`Pieces.aclose` from code that is no coroutine."""
    closing = pieces.aclose().__await__()
    try:
        next(closing)
    except StopIteration:
        return
    raise RuntimeError("closing an answer must not wait")


class Answer:
    """An answer: its status, its headers with lower-case names, and its body.

    The body is whole (`bytes`) or comes in `Pieces`. Where `cut_at` is given, a whole body breaks off after
    so many bytes.
    """

    __slots__ = ("body", "cut_at", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes | Pieces,
        cut_at: int | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.cut_at = cut_at

    def __repr__(self) -> str:
        what = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else "in pieces"
        return f"<Answer {self.status}, {what}>"


class HttpWorld(Protocol):
    """What answers the calls of a thread's clients."""

    async def answer(self, call: Call) -> Answer:
        """The answer, when its head has come. Raises ExchangeError where there is none."""
        ...
