"""Waiting for the world in a blocking client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from simsla.virtualtime.places import here

_T = TypeVar("_T")


def wait(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """As `simsla.virtualtime.blocking.wait`, which is imported only here, where somebody blocks.

    Raises OutsideBlockingCodeError where a coroutine uses a blocking client, and tells the run, which ends:
    in production the client would stop the event loop for the time of the call.
    """
    from simsla.virtualtime import blocking

    if blocking.inside():
        return blocking.wait(coroutine)
    coroutine.close()
    error = blocking.OutsideBlockingCodeError(
        f"a blocking HTTP client is used in a coroutine{here()}, so that nothing else would run until it is "
        "answered; use the asynchronous client, or write `handle` as a plain function"
    )
    refuse = getattr(asyncio._get_running_loop(), "refuse", None)
    if refuse is not None:
        refuse(error)
    raise error
