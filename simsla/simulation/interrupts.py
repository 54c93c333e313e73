"""Ctrl-C during a run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from simsla.virtualtime import SimEventLoop


@contextlib.contextmanager
def interruptible(loop: SimEventLoop) -> Iterator[None]:
    """Let Ctrl-C end what `loop` runs, by a KeyboardInterrupt between two callbacks.

    Python raises it wherever the signal finds the main thread. That may be a callback of a weak reference,
    of which a run has one for every task, and there the interpreter drops it. A second Ctrl-C is Python's
    own again, for a policy that never returns. Handlers of somebody else's stay as they are.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def on_interrupt(signal_number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.call_soon(_interrupt)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
