"""Tasks of a `SimEventLoop`: in one calendar with SimPy, and in one order in every process.

asyncio keeps tasks in sets (`asyncio.wait`, `TaskGroup`), and a set's order follows the hashes of its
members. asyncio hashes a task by its memory address, so two runs of one seed could cancel leftovers in
different orders. Here the hash is the number of the task in its loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

import simpy

if TYPE_CHECKING:
    from simsla.virtualtime.loop import SimEventLoop

_T = TypeVar("_T")


class SimTask(asyncio.Task[_T]):
    """A task that a SimPy process can yield, with a hash that does not depend on its address."""

    _number: int | None = None
    _event: simpy.Event | None = None

    def __hash__(self) -> int:
        # asyncio hashes a task while it creates it, so numbers follow the order of creation.
        number = self._number
        if number is None:
            loop: SimEventLoop = self._loop  # type: ignore[attr-defined]
            number = self._number = next(loop._numbers)
        return number

    # SimPy reads `callbacks`, `_ok` and `_value` of whatever a process yields, and sets `_defused`.
    @property
    def callbacks(self) -> list[Callable[[simpy.Event], None]] | None:
        """The callbacks of a SimPy event that this task triggers when it ends; None once it has."""
        if self._event is None:
            loop: SimEventLoop = self._loop  # type: ignore[attr-defined]
            self._event = as_event(loop.env, self)
        return self._event.callbacks

    @property
    def _ok(self) -> bool:
        assert self._event is not None
        return self._event._ok

    @property
    def _value(self) -> Any:
        assert self._event is not None
        return self._event._value


def as_event(env: simpy.Environment, future: asyncio.Future[Any]) -> simpy.Event:
    """A SimPy event that takes the result of `future`, or fails with its exception.

    A cancelled future fails the event with `TaskCancelled`.
    """
    event = simpy.Event(env)

    def trigger(done: asyncio.Future[Any]) -> None:
        if event.triggered:
            return
        if done.cancelled():
            event.fail(TaskCancelled())
        elif (error := done.exception()) is not None:
            event.fail(error if isinstance(error, Exception) else TaskCancelled(repr(error)))
        else:
            event.succeed(done.result())
        # Whether the failure is handled is asyncio's business: SimPy must not crash for it.
        event._defused = True

    if future.done():
        trigger(future)
    else:
        future.add_done_callback(trigger)
    return event


class TaskCancelled(Exception):
    """What a SimPy process gets when the task it waits for is cancelled.

    SimPy fails an event only with an `Exception`, which `asyncio.CancelledError` is not.
    """


def await_event(event: simpy.Event) -> Generator[Any, None, Any]:
    """`await event` inside a task: suspend until the SimPy event is processed; its value, or its exception.

    Cancelling the task takes its callback off the event, so that the event may still fire for others.
    """
    if event.callbacks is None:
        return _outcome(event)
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: simpy.Event) -> None:
        if not event._ok:
            event._defused = True
        if not future.done():
            future.set_result(None)

    event.callbacks.append(wake)
    try:
        yield from future
    except BaseException:
        if event.callbacks is not None and wake in event.callbacks:
            event.callbacks.remove(wake)
        raise
    return _outcome(event)


def _outcome(event: simpy.Event) -> Any:
    if event._ok:
        return event._value
    event._defused = True
    raise event._value


def describe(task: asyncio.Task[Any]) -> str:
    """One line about an unfinished task: its name, where it stands and what it awaits."""
    frames = task.get_stack(limit=None)
    place = ""
    if frames:
        code = frames[-1].f_code
        place = f" at {code.co_filename}:{frames[-1].f_lineno} in {code.co_qualname}"
    waits = getattr(task, "_fut_waiter", None)
    name = getattr(task.get_coro(), "__qualname__", repr(task.get_coro()))
    return f"task {task.get_name()!r} ({name}){place}" + (f", awaiting {waits!r}" if waits is not None else "")


