"""litellm's blocking calls, which run its asyncio code in a loop of their own in a thread of their own.

In virtual time they run it in the blocking call itself, which waits wherever the asyncio code waits.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from simsla.virtualtime import blocking
from simsla.virtualtime.http.patching import Patch

__all__ = ["driven", "run_async_patches"]

_NAME: Final = "run_async_function"


def run_async_patches(original: object) -> Iterator[Patch]:
    """The patches of litellm's `run_async_function`, in every module of litellm that has `original` by it."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("litellm.") and vars(module).get(_NAME) is original:
            yield Patch(module, _NAME, _inside)


def _inside(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_async_function(async_function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not blocking.inside():
            return original(async_function, *args, **kwargs)
        return driven(async_function(*args, **kwargs))

    return run_async_function


def driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine from within a blocking call, step by step; its result.

    Blocking code that it calls is still inside the blocking call, so that it can wait, too.
    """
    error: BaseException | None = None
    while True:
        try:
            future = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        try:
            if future is None:
                blocking.wait(asyncio.sleep(0))
            else:
                # As a task does with what its coroutine yields.
                future._asyncio_future_blocking = False
                blocking.wait(asyncio.wait([future]))
        except BaseException as raised:
            if future is not None:
                future.cancel()
            error = raised
