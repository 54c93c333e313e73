"""Callback handles that are built in C.

A handle is a list `[callback, args, context]`, so that creating one runs no Python code; asyncio needs no
more of it than the methods below. Cancelling empties the first two.
"""

from __future__ import annotations

from asyncio import format_helpers
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsla.virtualtime.loop import SimEventLoop


class SimHandle(list[Any]):
    """What `SimEventLoop.call_soon` returns; the interface of `asyncio.Handle`."""

    __slots__ = ()

    # Compared by identity, as a handle is used, and not as a list, whose hash is None to a type checker.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    def cancel(self) -> None:
        """Keep the callback from running; nothing happens if it has run already."""
        self[0] = self[1] = None

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self[0] is None

    # asyncio's own tests, and debuggers, look at it.
    _cancelled = property(cancelled)

    def get_context(self) -> Context:
        """The context in which the callback runs."""
        context: Context = self[2]
        return context

    def __repr__(self) -> str:
        callback, args, _ = self
        what = "cancelled" if callback is None else format_helpers._format_callback_source(callback, args)
        return f"<{type(self).__name__} {what}>"


class SimTimerHandle(SimHandle):
    """What `call_at` and `call_later` return; the interface of `asyncio.TimerHandle`.

    It stands in the SimPy calendar as the last element of SimPy's own `(time, priority, id, event)` tuple.
    `_loop` is the loop in whose calendar it stands, None when it stands in none.
    """

    __slots__ = ("_loop", "_when")

    _loop: SimEventLoop | None
    _when: float

    def cancel(self) -> None:
        """Keep the timer from firing; the loop is told, so that dead timers do not fill the calendar."""
        self[0] = self[1] = None
        loop = self._loop
        if loop is not None:
            self._loop = None
            loop._timer_cancelled()

    def when(self) -> float:
        """The time on the loop's clock, in seconds, at which the timer is due."""
        return self._when
