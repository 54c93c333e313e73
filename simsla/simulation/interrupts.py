"""Ctrl-C during a run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsla.virtualtime import SimEventLoop


@contextlib.contextmanager
def interruptible(loop: SimEventLoop) -> Iterator[None]:
    """Let the handler of Ctrl-C act between two callbacks of `loop`, from where what it raises ends the run.

    A signal finds the main thread anywhere. That may be a callback of a weak reference, of which a run has
    one for every task, and there the interpreter drops a KeyboardInterrupt. At a second Ctrl-C the handler
    acts at once, for a policy that never returns. Where the signal is ignored, it stays so.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return

    def soon(signal_number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, handler)
        loop.call_soon(handler, signal_number, None)

    signal.signal(signal.SIGINT, soon)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
