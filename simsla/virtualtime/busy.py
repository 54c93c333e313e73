"""Code that keeps the processor and never comes back to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

from simsla.virtualtime.blocking import BlockedLoopError
from simsla.virtualtime.loop import SimEventLoop
from simsla.virtualtime.places import here

LIMIT_S: Final = 60.0
"""So many seconds of processor time without a turn of the event loop, at most, are taken for a busy loop."""


class BusyLoopStop(asyncio.CancelledError):
    """Ends code that goes on after a BlockedLoopError: no Exception, and a task that it ends is cancelled."""


@contextlib.contextmanager
def busy_loops_ended(loop: SimEventLoop, limit_s: float = LIMIT_S) -> Iterator[None]:
    """While entered, code of `loop` that computes for `limit_s` without waiting is given a BlockedLoopError.

    Code that catches it and goes on is cancelled. What counts is the time
    of the processor, so that neither a slow machine nor a debugger's prompt matters. It rests on a signal
    (SIGVTALRM) that almost nobody uses: where somebody does, outside of the main thread, and on systems
    without it, busy loops are not found.
    """
    if not _can_watch():
        yield
        return
    beaten = True
    told = False

    def beat() -> None:
        nonlocal beaten
        beaten = True

    def tick(_: int, frame: FrameType | None) -> None:
        nonlocal beaten, told
        if beaten:
            if loop.is_running():
                beaten = False
                loop.call_soon(beat)
            return
        if not told:
            told = True
            loop.refuse(
                BlockedLoopError(
                    f"a busy loop blocks the event loop: more than {limit_s / 2:g} s of the processor's time "
                    f"without waiting{here(frame)}"
                )
            )
        raise BusyLoopStop

    before = signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s / 2, limit_s / 2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _can_watch() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    )
