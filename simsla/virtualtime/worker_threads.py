"""anyio's worker threads: what would run in one runs at once, as it does in an executor of the loop.

`anyio.to_thread.run_sync` starts threads past the loop's executors; what stands on anyio uses it for small
work.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Final

from simsla.virtualtime.http.patching import Patch, Patcher
from simsla.virtualtime.loop import SimEventLoop

__all__ = ["worker_threads_inline"]


def worker_threads_inline() -> AbstractContextManager[None]:
    """Meanwhile, on virtual loops, anyio starts no worker threads; loops of other threads keep theirs."""
    return _PATCHER


def _patches(_: ModuleType) -> Iterable[Patch]:
    backend = importlib.import_module("anyio._backends._asyncio")
    yield Patch(backend.AsyncIOBackend, "run_sync_in_worker_thread", _inline)


def _inline(original: Callable[..., Any]) -> staticmethod[..., Any]:
    async def run_sync_in_worker_thread(
        func: Callable[..., Any], args: tuple[Any, ...], *others: Any, **options: Any
    ) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimEventLoop):
            return await original(func, args, *others, **options)
        context = contextvars.copy_context()
        return await loop.run_in_executor(None, functools.partial(context.run, func, *args))

    return staticmethod(run_sync_in_worker_thread)


_PATCHER: Final = Patcher({"anyio": _patches})
