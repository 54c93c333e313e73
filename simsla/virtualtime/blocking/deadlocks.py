"""Who waits for ever: the circle of calls and locks that no call can leave."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

from simsla.virtualtime.blocking.calls import BlockingCall
from simsla.virtualtime.errors import DeadlockError
from simsla.virtualtime.waiting import own_frame

if TYPE_CHECKING:
    from simsla.virtualtime.blocking.locks import VirtualLock


# Longer circles are left to the deadline of the request.
_LONGEST = 100


def refuse_deadlock(call: BlockingCall, lock: VirtualLock) -> None:
    """Raise DeadlockError if `call`, which waits for `lock` with no limit of time, can never get it."""
    waiter, wanted = call, lock
    circle = []
    while True:
        holder = wanted.holder
        if type(holder) is not BlockingCall:
            return
        if holder.dead:
            reason = f"{_named(holder)} has ended without releasing it"
        elif holder is waiter:
            reason = "it holds it itself"
        else:
            reason = f"{where(holder)} holds it"
        circle.append(f"{where(waiter)} waits for a threading.{wanted.kind}: {reason}")
        if holder.dead or holder is call:
            break
        if holder.waits_for is None or len(circle) > _LONGEST:
            return
        waiter, wanted = holder, holder.waits_for
    raise DeadlockError(
        f"deadlock: {where(call)} waits for ever for a threading.{lock.kind} that nobody can release",
        tuple(circle),
    )


def where(call: BlockingCall) -> str:
    """A blocking call in words: what was called, and where it stands in its own code."""
    frame: FrameType | None = call.gr_frame
    if frame is None and not call.dead:
        # It is the one that asks.
        frame = sys._getframe()
    place = own_frame(frame)
    if place is None:
        return _named(call)
    return f"{_named(call)} at {place.f_code.co_filename}:{place.f_lineno}"


def _named(call: BlockingCall) -> str:
    return f"blocking call {getattr(call.function, '__qualname__', call.function)!r}"
