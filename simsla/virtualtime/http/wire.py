"""An answer as bytes of HTTP/1.1, for the libraries whose own parser is to read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from simsla.virtualtime.http.exchange import Answer, ExchangeError

_CHUNKED: Final = ("transfer-encoding", "chunked")


def head(answer: Answer) -> bytes:
    """The status line and the headers."""
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = ""
    headers = answer.headers if isinstance(answer.body, bytes) else [*answer.headers, _CHUNKED]
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Framed:
    """The bytes of an answer, its head included, each piece at its moment.

    `whole` tells at the end whether nothing is missing: bytes that end without it broke off.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises ExchangeError where nothing comes in time; where the answer breaks off, its bytes end."""
        body = self._answer.body
        if isinstance(body, bytes):
            yield head(self._answer) + body[: self._answer.cut_at]
            self.whole = self._answer.cut_at is None
            return
        yield head(self._answer)
        try:
            async for piece in body:
                yield b"%x\r\n%s\r\n" % (len(piece), piece)
        except ExchangeError as error:
            if error.kind == "cut":
                return
            raise
        yield b"0\r\n\r\n"
        self.whole = True
