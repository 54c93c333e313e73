"""Tasks of a `SimEventLoop`: SimPy can wait for them, and they stand in one order in every process.

asyncio keeps tasks in sets (`asyncio.wait`, `TaskGroup`), and a set's order follows the hashes of its
members. asyncio hashes a task by its memory address, so two runs of one seed could cancel leftovers in
different orders. Here the hash is the number of the task in its loop.

What stays ordered by address is beyond a loop's reach: coroutines and bare futures in a set. Give
`asyncio.as_completed` tasks, not coroutines, which it starts in the order of a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import simpy

from simsla.virtualtime.bridge import as_event

if TYPE_CHECKING:
    from simsla.virtualtime.loop import SimEventLoop

_T = TypeVar("_T")


class SimTask(asyncio.Task[_T]):
    """A task that a SimPy process can yield, with a hash that does not depend on its address."""

    _loop: SimEventLoop
    _number: int | None = None
    _event: simpy.Event | None = None

    def __hash__(self) -> int:
        # asyncio 3.11 to 3.13 hashes a task while creating it, so numbers follow the order of creation.
        number = self._number
        if number is None:
            number = self._number = next(self._loop._task_numbers)
        return number

    # What SimPy reads of an event that a process yields, or that is part of a condition.
    @property
    def env(self) -> simpy.Environment:
        """The environment of the task's loop."""
        return self._loop.env

    @property
    def callbacks(self) -> list[Callable[[simpy.Event], None]] | None:
        """The callbacks of a SimPy event that this task triggers when it ends; None once it has."""
        return self._as_event().callbacks

    @property
    def _ok(self) -> bool:
        return self._as_event()._ok

    @property
    def _value(self) -> Any:
        return self._as_event()._value

    def _as_event(self) -> simpy.Event:
        event = self._event
        if event is None:
            event = self._event = as_event(self._loop.env, self)
        return event
