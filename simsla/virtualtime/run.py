"""Run a coroutine in virtual time from anywhere, a notebook cell included."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import simpy

from simsla.virtualtime.loop import SimEventLoop

_T = TypeVar("_T")


def run_in_virtual_time(
    main: Coroutine[Any, Any, _T], *, env: simpy.Environment | None = None, debug: bool | None = None
) -> _T:
    """`asyncio.run(main)` on a new `SimEventLoop`; its result.

    Unlike `asyncio.run` it also works where an event loop is running in this thread already, as in a notebook
    cell: that loop is set aside, and stands still, until `main` has ended. Tasks that are left over are
    cancelled in the order of their creation, so that a run ends in the same way in every process.

    `env` and `debug` are those of `SimEventLoop` and `asyncio.Runner`. Raises what `main` raises;
    KeyboardInterrupt after `main` was cancelled by Ctrl-C.
    """
    with (
        running_loop_set_aside(),
        asyncio.Runner(debug=debug, loop_factory=partial(SimEventLoop, env)) as runner,
    ):
        try:
            return runner.run(main)
        finally:
            loop = runner.get_loop()
            loop.run_until_complete(_cancel_leftovers())


@contextmanager
def running_loop_set_aside() -> Iterator[None]:
    """As if no event loop ran in this thread: until the block ends, another one can.

    The loop that runs stands still meanwhile, and so does its current task; both are back after the block.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        yield
        return
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)


async def _cancel_leftovers() -> None:
    """What `asyncio.Runner.close` does with unfinished tasks, but not in the order of a set."""
    loop = asyncio.get_running_loop()
    leftovers = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=hash)
    for task in leftovers:
        task.cancel()
    await asyncio.gather(*leftovers, return_exceptions=True)
    for task in leftovers:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception during shutdown", "exception": error, "task": task}
            )
