"""`virtual_clocks`: for the time of a run, the wall clocks of its thread are the loop's."""

from __future__ import annotations

import _thread
import contextlib
import datetime
import time
from collections.abc import Iterator
from typing import Any, Final

from simsla.virtualtime.clock.functions import CLOCKS, FUNCTIONS, METHODS, Clock
from simsla.virtualtime.clock.in_place import Replaced, ReplacedMethods
from simsla.virtualtime.loop import SimEventLoop

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Runs in several threads share what is replaced: the first replaces it, and the last takes it back.
_entering = _thread.allocate_lock()
_runs = 0
_replaced: list[Any] = []


@contextlib.contextmanager
def virtual_clocks(loop: SimEventLoop, start: datetime.datetime, begin_s: float = 0.0) -> Iterator[None]:
    """While entered, code in this thread reads the loop's time from `time` and `datetime`, and sleeps in it.

    When the loop's time is 0, the wall clock shows `begin_s` seconds after `start`, which without a zone is
    UTC; whoever asks for a date after the year 9999 gets an OverflowError. Local time is in the zone of the
    process, as ever. Wall clocks are `time.time`, `localtime`, `gmtime`, `strftime` and the like,
    `datetime.now`, `utcnow`, `today` and `date.today`; `time.monotonic` and `perf_counter` show
    `loop.time()`. They are virtual under names bound early too, wherever those are; classes stay the same.
    Other threads keep real time. `time.process_time` stays real.

    `time.sleep` suspends blocking code of the simulation (see `simsla.virtualtime.blocking`); in a coroutine
    it raises BlockedLoopError, and so does code that reads the clock for ever without waiting. Contexts may
    be nested: the inner clocks are seen. Everything is restored at the end, whatever happens.

    Raises VirtualTimeError for an interpreter other than CPython.
    """
    if start.tzinfo is None:
        start = start.replace(tzinfo=datetime.UTC)
    start_ns = (start - _EPOCH) // datetime.timedelta(microseconds=1) * 1_000 + round(begin_s * 1e9)
    thread = _thread.get_ident()
    before = CLOCKS.get(thread)
    _enter()
    try:
        CLOCKS[thread] = Clock(loop, start_ns)
        yield
    finally:
        if before is None:
            CLOCKS.pop(thread, None)
        else:
            CLOCKS[thread] = before
        _leave()


def _enter() -> None:
    global _runs
    with _entering:
        _runs += 1
        if _runs == 1:
            try:
                for name, function in FUNCTIONS.items():
                    _replaced.append(Replaced(getattr(time, name), function))
                _replaced.append(ReplacedMethods(datetime.datetime, METHODS))
            except BaseException:
                _runs -= 1
                _take_back()
                raise


def _leave() -> None:
    global _runs
    with _entering:
        _runs -= 1
        if not _runs:
            _take_back()


def _take_back() -> None:
    while _replaced:
        _replaced.pop().undo()
