"""The worker threads of executors, as blocking calls: what asyncio code hands to `asyncio.to_thread`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
from typing import Any
from weakref import WeakKeyDictionary

from simsla.virtualtime.blocking.calls import BlockingCall, begin, drive, end
from simsla.virtualtime.loop import SimEventLoop, for_a_future

# `concurrent.futures` makes at most so many for an executor that is not told how many.
_DEFAULT_WORKERS = 32


class Workers:
    """Runs the functions that are handed to the executors of a loop as blocking calls, each at once.

    An executor that was given a number of workers runs so many at a time, and the others wait in line; the
    loop's default executor has 32. As with threads, cancelling the future does not end the function.
    """

    def __init__(self, loop: SimEventLoop) -> None:
        """`loop` is the one whose `run_in_executor` this takes over."""
        self._loop = loop
        self._default = _Pool(_DEFAULT_WORKERS)
        self._pools: WeakKeyDictionary[Executor, _Pool] = WeakKeyDictionary()

    def __call__(
        self, executor: Executor | None, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Begin with `function`, or put it in line; the future of its result."""
        pool = self._default
        if executor is not None:
            pool = self._pools.get(executor) or self._pools.setdefault(
                executor, _Pool(getattr(executor, "_max_workers", _DEFAULT_WORKERS))
            )
        job = _Job(self._loop.create_future(), copy_context(), function, args)
        if pool.free:
            pool.free -= 1
            self._begin(job, pool)
        else:
            pool.waiting.append(job)
        return job.future

    def _begin(self, job: _Job, pool: _Pool) -> None:
        call = begin(job.function, job.context)
        try:
            outcome = call.switch(*job.args)
        except (SystemExit, KeyboardInterrupt):
            end(call)
            raise
        except BaseException as error:
            # The result of an executor comes in a later round, so that whoever awaits it lets others run.
            self._loop.call_soon(job.fail, error)
        else:
            if not call.dead:
                self._loop.create_task(self._go_on(job, pool, call, outcome), context=job.context)
                return
            self._loop.call_soon(job.succeed, outcome)
        end(call)
        self._next(pool)

    async def _go_on(self, job: _Job, pool: _Pool, call: BlockingCall, outcome: Any) -> None:
        try:
            job.succeed(await drive(call, outcome))
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError:
            # The run is over.
            job.future.cancel()
            raise
        except BaseException as error:
            job.fail(error)
        finally:
            end(call)
        self._next(pool)

    def _next(self, pool: _Pool) -> None:
        """A worker is free: for the first in line that still wants it."""
        while pool.waiting:
            job = pool.waiting.popleft()
            if not job.future.done():
                self._loop.call_soon(self._begin, job, pool, context=job.context)
                return
        pool.free += 1


class _Pool:
    def __init__(self, workers: int) -> None:
        self.free = workers
        self.waiting: deque[_Job] = deque()


class _Job:
    __slots__ = ("args", "context", "function", "future")

    def __init__(
        self,
        future: asyncio.Future[Any],
        context: Context,
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.future = future
        self.context = context
        self.function = function
        self.args = args

    def succeed(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(for_a_future(error))
