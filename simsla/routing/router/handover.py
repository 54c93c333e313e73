"""Values handed out by a coroutine while it runs: a generator whose ``yield`` may stand deep inside."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Given:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@types.coroutine
def give(value: object) -> Generator[Any, None, None]:
    """Hand ``value`` to whoever takes from the `Handover` that runs this, and wait until it takes again."""
    yield _Given(value)


class Handover(Generic[T, R]):
    """Runs a coroutine from one `give` to the next, within the task of whoever takes.

    So the loop of attempts can stand still in the middle of an attempt while the caller uses what came of it,
    without a task and a queue: cancellation and context variables are those of the caller.
    """

    __slots__ = ("_work", "result")

    def __init__(self, work: Coroutine[Any, Any, R]) -> None:
        self._work = work
        self.result: R | None = None
        """What the coroutine returned, once it has."""

    async def take(self) -> T | None:
        """The next value, or None at the end. Raises what the coroutine raises."""
        return await self._run(self._work.send, None)

    async def aclose(self) -> None:
        """Cancel the coroutine where it stands and wait for its end; nothing where it has ended."""
        # A Coroutine of the types has no frame; that of an `async def` does.
        if self._work.cr_frame is None:  # type: ignore[attr-defined]
            return
        leaving = asyncio.CancelledError()
        try:
            await self._run(self._work.throw, leaving)
        except asyncio.CancelledError as cancelled:
            if cancelled is not leaving:
                raise
            # It leads to frames that refer to it: undo the cycle.
            cancelled.__traceback__ = None

    @types.coroutine
    def _run(self, begin: Callable[[Any], Any], value: Any) -> Generator[Any, Any, T | None]:
        try:
            wanted = begin(value)
            while type(wanted) is not _Given:
                # Whatever the coroutine waits for goes to the event loop, and the answer back.
                try:
                    answer = yield wanted
                except BaseException as error:
                    wanted = self._work.throw(error)
                else:
                    wanted = self._work.send(answer)
        except StopIteration as end:
            self.result = end.value
            return None
        given: T = wanted.value
        return given
