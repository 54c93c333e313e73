"""Blocking code on the simulated loop: each call is a greenlet that one asyncio task drives.

A blocking function runs until it has to wait. There it hands the driver what it waits for, the driver awaits
that in the task, and goes on with the function with what came of it. So the task is what is cancelled, named
and found by `asyncio.current_task()`, and its context is the one that the function runs in.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import operator
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from greenlet import GreenletExit, getcurrent, greenlet

from simsla.virtualtime.errors import VirtualTimeError

_T = TypeVar("_T")

# What a signed count of nanoseconds in 64 bits can hold.
_LONGEST_SLEEP_S = (1 << 63) / 1e9

# Code that catches what ends it, and waits again, is told so often, and then left where it stands.
_MOST_REFUSALS = 100

# Where it stands: a greenlet that nobody holds would be ended by the garbage collector, at any moment.
_IMMORTAL: list[BlockingCall] = []

# The calls of each loop that have not ended, in the order in which they began.
_UNFINISHED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[BlockingCall, None]] = WeakKeyDictionary()


class OutsideBlockingCodeError(VirtualTimeError):
    """`wait` or `sleep` where no blocking code of the simulation runs."""


class BlockingCall(greenlet):  # type: ignore[misc]  # greenlet has no type stubs of its own
    """One call of a blocking function in virtual time."""

    function: Callable[..., Any]
    """What was called; for messages."""

    unfinished: dict[BlockingCall, None]
    """All calls of its loop that have not ended, itself among them."""

    killed: int = 0
    """Above zero while it is being ended: how often it tried to wait all the same."""

    waits_for: Any = None
    """The lock for which it waits with no limit of time; see `locks`."""

    contended: dict[Any, None] | None = None
    """Locks that others waited for while this call held them."""

    def kill(self) -> None:
        """Raise GreenletExit where the call waits, to end it; its `finally` clauses cannot wait any more."""
        if self.dead:
            return
        self.killed = 1
        self.parent = getcurrent()
        # Its run is over: nobody asks any more how it ends.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            self.throw(GreenletExit)
        if not self.dead:
            _IMMORTAL.append(self)

    def refuse_to_wait(self) -> None:
        """It is being ended: raise GreenletExit, or, where it always catches that, never go on with it."""
        self.killed += 1
        if self.killed > _MOST_REFUSALS:
            assert self.parent is not None
            self.parent.switch()
        raise GreenletExit


def inside() -> bool:
    """Whether the caller is blocking code that runs in virtual time, so that it can `wait`."""
    return type(getcurrent()) is BlockingCall


def current_call() -> BlockingCall | None:
    """The blocking call that the caller is part of; None outside of any."""
    call = getcurrent()
    return call if type(call) is BlockingCall else None


def wait(awaitable: Awaitable[_T]) -> _T:
    """From blocking code: stand still until `awaitable` has finished; its result, or its exception.

    It is awaited in the task of the blocking call, and is cancelled with it: `asyncio.CancelledError` is then
    raised here. Raises OutsideBlockingCodeError where no blocking code of the simulation runs, as in a
    coroutine, which would have to `await` instead.
    """
    call = getcurrent()
    if type(call) is not BlockingCall:
        _drop(awaitable)
        raise OutsideBlockingCodeError(
            "blocking code can wait in virtual time only inside a blocking call that the simulation runs; "
            "a coroutine must await instead"
        )
    if call.killed:
        _drop(awaitable)
        call.refuse_to_wait()
    driver = call.parent
    assert driver is not None
    outcome: _T = driver.switch(awaitable)
    return outcome


def sleep(seconds: float) -> None:
    """`time.sleep` in virtual time, and what it refuses: TypeError, ValueError and OverflowError alike.

    Raises OutsideBlockingCodeError where no blocking code of the simulation runs.
    """
    delay = seconds if isinstance(seconds, float) else operator.index(seconds)
    if delay != delay:
        raise ValueError("Invalid value NaN (not a number)")
    if delay < 0:
        raise ValueError("sleep length must be non-negative")
    if delay >= _LONGEST_SLEEP_S:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    wait(asyncio.sleep(delay))


async def run(function: Callable[..., _T], *args: Any) -> _T:
    """Call a blocking function in virtual time, in the context of the current task; its result.

    Whatever it waits for, the loop goes on meanwhile. Cancelling the task raises `asyncio.CancelledError` in
    the function, where it waits.
    """
    call = begin(function, getcurrent().gr_context)
    try:
        outcome = call.switch(*args)
        result: _T = await drive(call, outcome) if call else outcome
    finally:
        end(call)
    return result


def begin(function: Callable[..., Any], context: Context) -> BlockingCall:
    """A call of `function`, which its first `switch`, with the arguments, starts in `context`."""
    call = BlockingCall(function, getcurrent())
    call.function = function
    call.gr_context = context
    call.unfinished = _UNFINISHED.setdefault(asyncio.get_running_loop(), {})
    call.unfinished[call] = None
    return call


async def drive(call: BlockingCall, outcome: Any) -> Any:
    """Go on with a call that waits for `outcome`, until it has ended; its result."""
    call.parent = getcurrent()
    while not call.dead:
        try:
            value = await outcome
        except GeneratorExit:
            # The task itself is thrown away.
            call.kill()
            raise
        except BaseException as error:
            if call.killed:
                raise
            traceback = error.__traceback__
            # The first frame is this one, which would only stand in the reader's way.
            outcome = call.throw(type(error), error, traceback and traceback.tb_next)
        else:
            outcome = call.switch(value)
    return outcome


def end(call: BlockingCall) -> None:
    """A call has ended: it is forgotten, and who waits for a lock that it still holds is told."""
    del call.unfinished[call]
    for lock in call.contended or ():
        lock.holder_ended(call)


def handle_of(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A plain blocking `handle(request)` as the `async def handle(request)` that a policy returns.

    A function that only looks like blocking code, because what it returns is awaitable, is awaited.
    """

    @functools.wraps(function)
    async def handle(*args: Any) -> Any:
        answer = await run(function, *args)
        return await answer if inspect.isawaitable(answer) else answer

    return handle


def unfinished_calls(loop: asyncio.AbstractEventLoop) -> tuple[BlockingCall, ...]:
    """The blocking calls of `loop` that have not ended, in the order in which they began."""
    return tuple(_UNFINISHED.get(loop, ()))


def _drop(awaitable: object) -> None:
    """Nobody will await it: a coroutine need not complain of that as well."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
