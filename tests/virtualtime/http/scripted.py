"""A world of HTTP that does what a test says, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.http import Answer, Call, ExchangeError, answered_by

URL = "https://gateway.example/v1/chat/completions"


class ScriptedHttp:
    """Each call gets what `script` says, after `delay_s`: an answer, or an error. It keeps the calls."""

    def __init__(self, script: Callable[[Call], Answer | ExchangeError], delay_s: float = 0.5) -> None:
        self._script = script
        self._delay_s = delay_s
        self.calls: list[Call] = []
        self.open = 0
        self.most_open = 0
        self.cancelled = 0

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self._delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1
        answer = self._script(call)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer


class Ticks:
    """A body of pieces, a second apart, which may end in an error."""

    def __init__(self, pieces: list[bytes], error: ExchangeError | None = None) -> None:
        self._pieces = pieces
        self._error = error
        self.shown = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(1.0)
            self.shown += 1
            yield piece
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        self.closed += 1


def whole(body: bytes = b'{"ok": true}', status: int = 200, **headers: str) -> Answer:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(
        status, [("content-type", "application/json"), ("content-length", str(len(body))), *named], body
    )


def play(world: ScriptedHttp, main: Callable[[], Any]) -> Any:
    """Run `main` in virtual time, its clients answered by `world`."""
    with answered_by(world):
        return run_in_virtual_time(main())
