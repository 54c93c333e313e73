"""Who waits for what, and when: the words of a deadlock's or livelock's message."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import simpy

from simsla.virtualtime.bridge import await_event

# The reader looks for their own code, not for the library that it is suspended in.
_LIBRARIES = (str(Path(asyncio.__file__).parent), str(Path(__file__).parent))
_BLOCKING_LIBRARIES = (*_LIBRARIES, threading.__file__, queue.__file__)


def waiting_tasks(loop: asyncio.AbstractEventLoop) -> tuple[str, ...]:
    """One line for each unfinished task of `loop`, in the order in which they were created."""
    return tuple(describe(task) for task in sorted(asyncio.all_tasks(loop), key=hash))


def describe(task: asyncio.Task[Any]) -> str:
    """An unfinished task's name and coroutine, where its own code stands, and what that awaits."""
    coroutine = task.get_coro()
    line = f"task {task.get_name()!r} ({_name_of(coroutine)})"
    place, awaited = None, None
    for awaitable, frame in _suspended(coroutine):
        blocking = _blocking_frame(frame)
        if blocking is not None:
            place, awaited = blocking, None
        elif not frame.f_code.co_filename.startswith(_LIBRARIES):
            place, awaited = frame, None
        elif frame.f_code is await_event.__code__:
            awaited = _event_name(frame.f_locals["event"])
        elif awaited is None or not _is_private(_name_of(awaitable)):
            # `Lock.acquire` says more than the `__aenter__` that called it.
            awaited = _name_of(awaitable)
    if awaited is None:
        awaited = _future_name(getattr(task, "_fut_waiter", None))
    if place is not None:
        line += f" at {place.f_code.co_filename}:{place.f_lineno} in {place.f_code.co_qualname}"
    return f"{line}, awaiting {awaited}" if awaited else line


def own_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame, from `frame` outwards, that is not of a library in which blocking code waits."""
    while frame is not None and frame.f_code.co_filename.startswith(_BLOCKING_LIBRARIES):
        frame = frame.f_back
    return frame


def readable_time(seconds: float) -> str:
    """A time of the virtual clock, with days, hours, minutes and seconds once there is a day."""
    text = f"{seconds:,.6f}".rstrip("0").rstrip(".") + " s"
    if seconds >= 86_400:
        minutes, second = divmod(int(seconds), 60)
        hours, minute = divmod(minutes, 60)
        day, hour = divmod(hours, 24)
        text += f" ({day:,} d {hour:02}:{minute:02}:{second:02})"
    return text


def _suspended(awaitable: Any) -> Iterator[tuple[Any, FrameType]]:
    """The coroutines and generators that a task is suspended in, outermost first."""
    while awaitable is not None:
        for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaitable, f"{prefix}_frame", None)
            if frame is not None:
                yield awaitable, frame
                awaitable = getattr(awaitable, inner)
                break
        else:
            return


def _blocking_frame(frame: FrameType) -> FrameType | None:
    """Where the blocking code stands that a coroutine drives, should `frame` be that of such a coroutine."""
    if not frame.f_code.co_filename.startswith(_LIBRARIES):
        return None
    return own_frame(getattr(frame.f_locals.get("call"), "gr_frame", None))


def _name_of(coroutine: Any) -> str:
    return getattr(coroutine, "__qualname__", None) or repr(coroutine)


def _is_private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def _event_name(event: simpy.Event) -> str:
    return f"the SimPy event {event._desc()}"


def _future_name(future: asyncio.Future[Any] | None) -> str | None:
    if isinstance(future, asyncio.Task):
        return f"task {future.get_name()!r}"
    return None if future is None else f"a {type(future).__name__}"
