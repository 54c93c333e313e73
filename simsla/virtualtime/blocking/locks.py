"""Locks that exclude blocking calls from one another, as real ones exclude threads.

All blocking calls of a run share one thread, where a real lock would block them all at once for ever, and a
real RLock, which knows only threads, would exclude none of them. A virtual lock holds a real one, so that it
remains a lock for other threads, and after the run; a blocking call that finds it taken stands still in
virtual time until it is handed the lock. Who waited first gets it first.
"""

from __future__ import annotations

import _thread
import asyncio
from collections import deque
from threading import get_ident
from typing import Any, NoReturn

from greenlet import getcurrent, greenlet

from simsla.virtualtime.blocking.calls import BlockingCall, wait
from simsla.virtualtime.blocking.deadlocks import refuse_deadlock, where
from simsla.virtualtime.errors import DeadlockError, VirtualTimeError
from simsla.virtualtime.loop import SimEventLoop

# The real ones, whatever `threading` offers at the moment.
_real_lock: Any = _thread.allocate_lock
RealLock = type(_thread.allocate_lock())
RealRLock = _thread.RLock


# How long another thread may take, of real time, to say that it has a lock.
_TRY_S = 0.01
_MOST_TRIES = 50


class BlockedLoopError(VirtualTimeError):
    """A coroutine, or a callback, waits for a lock in a way that would stop the event loop itself."""


class VirtualLock:
    """`threading.Lock`, which blocking calls in virtual time can wait for.

    Raises DeadlockError for a blocking call that would wait for it with no limit of time while it is held by
    the call itself, by one that has ended, or by one that waits for the caller. A real lock could still be
    released by anybody, and would wait; a request would then learn of it only from its deadline.

    Raises BlockedLoopError where asyncio code of the run would wait for it.
    """

    __slots__ = ("__weakref__", "_holder", "_real", "_thread", "_waiters")

    kind = "Lock"
    found_by_owner = True
    """Whether it is the holder that releases it, as is good manners, so that a circle of waiters is one."""

    def __init__(self, real: Any = None) -> None:
        """`real` is the lock underneath; by default a new one."""
        self._real = _real_lock() if real is None else real
        # Who took it, where that is known, and the thread of that.
        self._holder: greenlet | None = None
        self._thread: int | None = None
        self._waiters: deque[tuple[asyncio.Future[bool], BlockingCall]] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; whether that was possible, at once or within `timeout` seconds of virtual time."""
        if timeout != -1:
            # A new one tells whether it would take these arguments.
            _real_lock().acquire(blocking, timeout)
        if self._free() and self._real.acquire(False):
            self._holder, self._thread = getcurrent(), get_ident()
            return True
        return bool(blocking) and self._wait_in_line(timeout)

    def release(self) -> None:
        """Hand the lock to the call that has waited longest, or leave it free. RuntimeError if it is free."""
        if self._waiters and self._real_is_taken() and self._hand_over():
            return
        self._holder = self._thread = None
        self._real.release()

    def locked(self) -> bool:
        """Whether the lock is taken."""
        return self._real_is_taken()

    def __enter__(self) -> bool:
        """Acquire it."""
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} {type(self).__name__} at {id(self):#x}>"

    def _free(self) -> bool:
        return True

    def _real_is_taken(self) -> bool:
        return bool(self._real.locked())

    def _at_fork_reinit(self) -> None:
        self._real._at_fork_reinit()
        self._holder = self._thread = None
        self._waiters.clear()

    def _wait_in_line(self, timeout: float) -> bool:
        call, thread = getcurrent(), get_ident()
        here = type(call) is BlockingCall
        if here or _simulating():
            if self._thread is None and self._taken_from_another_thread(timeout):
                return True
            if self._thread in (None, thread):
                if not here:
                    self._refuse_to_block()
                return self._wait_as(call, timeout)
        # Another thread has it, or this one runs no simulation.
        got = bool(self._real.acquire(True, timeout))
        if got:
            self._holder, self._thread = call, thread
        return got

    def _taken_from_another_thread(self, timeout: float) -> bool:
        """Take a lock of which nobody says who has it: another thread that has just taken it, and soon will
        say so or be done, or somebody who took it before the run.
        """
        for _ in range(_MOST_TRIES if timeout else 0):
            if self._real.acquire(True, _TRY_S):
                self._holder, self._thread = getcurrent(), get_ident()
                return True
            if self._thread is not None:
                break
        return False

    def _wait_as(self, call: BlockingCall, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        timer = None
        if timeout >= 0:
            timer = loop.call_later(timeout, _give_up, turn)
        elif self.found_by_owner:
            call.waits_for = self
            try:
                refuse_deadlock(call, self)
            except DeadlockError:
                call.waits_for = None
                raise
        self._waiters.append((turn, call))
        self._watch_holder()
        try:
            return wait(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None and turn.result():
                # It was handed over, and the call was ended before it could go on.
                VirtualLock.release(self)
            raise
        finally:
            call.waits_for = None
            if timer is not None:
                timer.cancel()
            if not turn.done():
                turn.cancel()

    def _hand_over(self) -> bool:
        """Give the lock, taken as it is, to the first that still waits; whether there was one."""
        while self._waiters:
            turn, call = self._waiters[0]
            if turn.done():
                self._waiters.popleft()
            elif self._thread in (None, get_ident()):
                self._waiters.popleft()
                self._holder, self._thread = call, get_ident()
                call.waits_for = None
                if self._waiters:
                    self._watch_holder()
                turn.set_result(True)
                return True
            else:
                return False
        return False

    def _watch_holder(self) -> None:
        holder = self._holder
        if self.found_by_owner and type(holder) is BlockingCall:
            if holder.contended is None:
                holder.contended = {}
            holder.contended[self] = None

    def holder_ended(self, call: BlockingCall) -> None:
        """`call` has ended: who waits for it to release this lock, with no limit of time, waits for ever."""
        if self._holder is not call:
            return
        for turn, waiter in self._waiters:
            if waiter.waits_for is self and not turn.done():
                try:
                    refuse_deadlock(waiter, self)
                except DeadlockError as error:
                    turn.set_exception(error)

    @property
    def holder(self) -> greenlet | None:
        """Who has it, where that is known."""
        return self._holder

    def _refuse_to_block(self) -> NoReturn:
        held = "" if type(self._holder) is not BlockingCall else f", which {where(self._holder)} holds"
        raise BlockedLoopError(
            f"asyncio code waits for a threading.{self.kind}{held}: this would stop the event loop, and with "
            "it whoever could release it; use the asyncio class of that name, or acquire(blocking=False)"
        )


class SignalLock(VirtualLock):
    """A lock that one takes and another releases, as `threading.Condition` makes for each of its waiters."""

    __slots__ = ()

    found_by_owner = False


class VirtualRLock(VirtualLock):
    """`threading.RLock`, whose owner is a blocking call, or a thread outside of any."""

    __slots__ = ("_count",)

    kind = "RLock"

    def __init__(self, real: Any = None) -> None:
        """`real` is the Lock, or the RLock, underneath; by default a new Lock."""
        super().__init__(real)
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more if the caller has it; whether that was possible within `timeout`."""
        if self._holder is getcurrent():
            self._count += 1
            return True
        got = super().acquire(blocking, timeout)
        if got:
            self._count = 1
        return got

    def release(self) -> None:
        """Undo one `acquire`. RuntimeError if the caller does not have the lock."""
        if self._holder is not getcurrent():
            if self._is_owned():
                self._real.release()
                return
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            super().release()

    def _free(self) -> bool:
        # A real RLock underneath would let in whatever runs in this thread.
        return self._holder is None or self._thread != get_ident()

    def _real_is_taken(self) -> bool:
        return self._holder is not None

    def _at_fork_reinit(self) -> None:
        super()._at_fork_reinit()
        self._count = 0

    # What `threading.Condition` asks of an RLock. The saved state is that of a real one, so that a thread
    # may wait with the one and go on with the other.

    def _is_owned(self) -> bool:
        if self._holder is None and type(self._real) is RealRLock:
            # This thread may have taken it while it was a real one.
            return bool(self._real._is_owned())  # type: ignore[attr-defined]
        return self._holder is getcurrent()

    def _recursion_count(self) -> int:
        return self._count if self._holder is getcurrent() else int(self._is_owned())

    def _release_save(self) -> tuple[int, int]:
        if self._holder is None and self._is_owned():
            state: tuple[int, int] = self._real._release_save()
            return state
        if self._holder is not getcurrent():
            raise RuntimeError("cannot release un-acquired lock")
        count, self._count = self._count, 0
        super().release()
        return count, get_ident()

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        super().acquire()
        self._count = state[0]


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


def _simulating() -> bool:
    return isinstance(asyncio._get_running_loop(), SimEventLoop)
