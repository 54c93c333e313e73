"""One guard for everything that a request can do without: its failures are counted and swallowed."""

from __future__ import annotations

import asyncio
import logging
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

T = TypeVar("T")
D = TypeVar("D")

# So long, in seconds, closing waits for work that goes on in spite of its cancellation.
_GRACE_S: Final = 5.0

_logger = logging.getLogger("simsla.routing")


class Guard:
    """Runs the optional parts of a Router, such as its cache, so that none of them can fail a request.

    Every `Exception` is swallowed. A cancellation of the task is the caller's and passes; one that a part
    came upon by itself, such as that of a connection which it waited for, is a failure like any other.
    """

    __slots__ = ("swallowed",)

    def __init__(self) -> None:
        self.swallowed: Counter[str] = Counter()
        """How many failures were swallowed so far, by part."""

    async def run(
        self, part: str, work: Coroutine[Any, Any, T], default: D, limit_s: float | None = None
    ) -> T | D:
        """What ``work`` gives, or ``default`` where it fails or takes longer than ``limit_s``."""
        try:
            if limit_s is None:
                return await work
            # Most work, such as a look-up in memory, waits for nothing: it needs no timer.
            try:
                wanted = work.send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            async with asyncio.timeout(limit_s):
                return await _rest(work, wanted)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self.swallow(part, error)
            return default
        except Exception as error:
            self.swallow(part, error)
            return default

    # The types cannot say that D is None where no default is given.
    def call(self, part: str, function: Callable[..., T], *args: Any, default: D = None) -> T | D:  # type: ignore[assignment]
        """What ``function(*args)`` gives, or ``default`` where it fails."""
        try:
            return function(*args)
        except Exception as error:
            self.swallow(part, error)
            return default

    def swallow(self, part: str, error: BaseException) -> None:
        """Count a failure of ``part``; the first one is a warning.

        The log names the type of the error only: its text may hold a key or a prompt.
        """
        self.swallowed[part] += 1
        level = logging.WARNING if self.swallowed[part] == 1 else logging.DEBUG
        _logger.log(level, "%s failed and was done without: %s", part, type(error).__name__)


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], wanted: Any) -> Generator[Any, Any, T]:
    """``work`` from its first suspension on, in which it ``wanted`` something of the event loop."""
    try:
        while True:
            try:
                got = yield wanted
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                wanted = work.throw(error)
            else:
                wanted = work.send(got)
    except StopIteration as end:
        result: T = end.value
        return result


class Background:
    """Work that goes on after the reply, at most ``most`` tasks of it at a time, under a guard."""

    __slots__ = ("_guard", "_most", "_tasks")

    def __init__(self, guard: Guard, most: int) -> None:
        self._guard = guard
        self._most = most
        self._tasks: dict[asyncio.Future[Any], None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, part: str, work: Callable[[], Awaitable[Any] | None]) -> bool:
        """Begin ``work`` unless there is too much already; whether it was begun.

        ``work`` may be a plain function: then it is done at once and takes no task.
        """
        if len(self._tasks) >= self._most:
            return False
        awaitable = self._guard.call(part, work)
        if awaitable is not None:
            task = asyncio.ensure_future(awaitable)
            self._tasks[task] = None
            task.add_done_callback(lambda done: self._ended(part, done))
        return True

    def _ended(self, part: str, task: asyncio.Future[Any]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._guard.swallow(part, error)

    async def close(self) -> None:
        """Cancel what is going on and wait for its end, but not for ever."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE_S)
