"""Between SimPy events and asyncio: awaiting an event, and waiting for a future in a SimPy process."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import simpy

from simsla.virtualtime.errors import TaskCancelledError, VirtualTimeError


def as_event(env: simpy.Environment, future: asyncio.Future[Any]) -> simpy.Event:
    """A SimPy event that takes the result of `future`, or fails with its exception.

    A cancelled future fails the event with `TaskCancelledError`. A failure that no process waits for does not
    crash SimPy: it stays with the future, and asyncio reports it if nobody else retrieves it.
    """
    event = simpy.Event(env)

    def trigger(done: asyncio.Future[Any]) -> None:
        if event.triggered:
            return
        if done.cancelled():
            event.fail(TaskCancelledError(f"{done!r} was cancelled"))
            event._defused = True
        elif (error := done._exception) is not None:
            # SimPy asks for an Exception, and a task may end with any BaseException.
            event.fail(error)  # type: ignore[arg-type]
            event._defused = True
            if event.callbacks:
                done.exception()
        else:
            event.succeed(done.result())

    if future.done():
        trigger(future)
    else:
        future.add_done_callback(trigger)
    return event


def await_event(event: simpy.Event) -> Generator[Any, None, Any]:
    """`await event` in a task: suspend until the SimPy event is processed; its value, or its exception.

    Cancelling the task takes its callback off the event, so that the event may still fire for others.
    """
    if event.callbacks is None:
        return _outcome(event)
    loop = asyncio.get_running_loop()
    if getattr(loop, "env", None) is not event.env:
        raise VirtualTimeError(f"{event!r} is awaited on a loop that does not run its environment: {loop!r}")
    future: asyncio.Future[None] = loop.create_future()

    def wake(_: simpy.Event) -> None:
        # A task that was cancelled at this very instant handles no failure.
        if not future.done():
            future.set_result(None)
            event._defused = True

    event.callbacks.append(wake)
    try:
        yield from future
    except BaseException:
        if event.callbacks is not None:
            event.callbacks.remove(wake)
        raise
    return _outcome(event)


def _outcome(event: simpy.Event) -> Any:
    if event._ok:
        return event._value
    raise event._value


# The one change to SimPy's classes: an asyncio task can await an event.
simpy.Event.__await__ = await_event  # type: ignore[attr-defined]
