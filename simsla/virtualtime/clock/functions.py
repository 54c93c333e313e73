"""What the functions of `time` and `datetime` do in a thread whose clocks are virtual.

In any other thread they are the real ones. The monotonic clocks are the loop's: asyncio code may compare
them, as it can with asyncio's own loops. Clocks of the processor's time stay real.
"""

from __future__ import annotations

import datetime
import sys
import time as real
import warnings
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from simsla.virtualtime.blocking import BlockedLoopError, inside
from simsla.virtualtime.blocking import sleep as suspend
from simsla.virtualtime.clock.in_place import original_of
from simsla.virtualtime.places import here

if TYPE_CHECKING:
    from simsla.virtualtime.loop import SimEventLoop

_real_time = original_of(real.time)
_real_time_ns = original_of(real.time_ns)
_real_monotonic = original_of(real.monotonic)
_real_monotonic_ns = original_of(real.monotonic_ns)
_real_perf_counter = original_of(real.perf_counter)
_real_perf_counter_ns = original_of(real.perf_counter_ns)
_real_sleep = original_of(real.sleep)
_real_localtime = original_of(real.localtime)
_real_gmtime = original_of(real.gmtime)
_real_asctime = original_of(real.asctime)
_real_strftime = original_of(real.strftime)

_CLASS: Final = datetime.datetime
_from_timestamp = vars(_CLASS)["fromtimestamp"]

MOST_READS: Final = 2_000_000
"""So many looks at the clock at one instant are taken for a loop that waits for the clock to move."""


class Clock:
    """The clocks of a thread: `loop` moves them, and the wall clock showed `start_ns` when its time was 0."""

    __slots__ = ("_instant", "_reads", "env", "loop", "start_ns", "start_s")

    def __init__(self, loop: SimEventLoop, start_ns: int) -> None:
        self.loop = loop
        self.env = loop.env
        self.start_ns = start_ns
        self.start_s = start_ns / 1e9
        self._instant = -1.0
        self._reads = 0

    def now(self) -> float:
        """Seconds on the loop's clock. Raises BlockedLoopError for code that only looks at it for ever."""
        now: float = self.env._now
        if now != self._instant:
            self._instant, self._reads = now, 0
        elif self._reads < MOST_READS:
            self._reads += 1
        else:
            self._reads = 0
            self.loop.refuse(
                BlockedLoopError(
                    f"a busy loop blocks the event loop: the clock was read {MOST_READS:,} times at one "
                    f"instant, which never moves it{here()}; sleep instead"
                )
            )
        return now

    def now_ns(self) -> int:
        """Nanoseconds on the loop's clock."""
        return round(self.now() * 1e9)


CLOCKS: Final[dict[int, Clock]] = {}
"""The clocks of the threads that have virtual ones, by the thread's identifier."""


def time() -> float:
    clock = CLOCKS.get(get_ident())
    return _real_time() if clock is None else clock.start_s + clock.now()


def time_ns() -> int:
    clock = CLOCKS.get(get_ident())
    return _real_time_ns() if clock is None else clock.start_ns + clock.now_ns()


def monotonic() -> float:
    clock = CLOCKS.get(get_ident())
    return _real_monotonic() if clock is None else clock.now()


def monotonic_ns() -> int:
    clock = CLOCKS.get(get_ident())
    return _real_monotonic_ns() if clock is None else clock.now_ns()


def perf_counter() -> float:
    clock = CLOCKS.get(get_ident())
    return _real_perf_counter() if clock is None else clock.now()


def perf_counter_ns() -> int:
    clock = CLOCKS.get(get_ident())
    return _real_perf_counter_ns() if clock is None else clock.now_ns()


def sleep(seconds: float, /) -> None:
    clock = CLOCKS.get(get_ident())
    if clock is None:
        _real_sleep(seconds)
    elif inside():
        suspend(seconds)
    elif not (isinstance(seconds, float) or hasattr(seconds, "__index__")) or not seconds > 0:
        _real_sleep(seconds)  # which refuses it, or takes no time
    else:
        clock.loop.refuse(
            BlockedLoopError(
                f"time.sleep({seconds!r}) blocks the event loop with a real sleep, so that no other request "
                f"goes on meanwhile{here()}; a coroutine awaits asyncio.sleep instead"
            )
        )


def localtime(seconds: float | None = None, /) -> real.struct_time:
    return _real_localtime(time() if seconds is None else seconds)  # type: ignore[no-any-return]


def gmtime(seconds: float | None = None, /) -> real.struct_time:
    return _real_gmtime(time() if seconds is None else seconds)  # type: ignore[no-any-return]


def ctime(seconds: float | None = None, /) -> str:
    return _real_asctime(localtime(seconds))  # type: ignore[no-any-return]


def asctime(*moment: Any) -> str:
    return _real_asctime(*(moment or (localtime(),)))  # type: ignore[no-any-return]


def strftime(*args: Any) -> str:
    if len(args) == 1:
        args = (*args, localtime())
    return _real_strftime(*args)  # type: ignore[no-any-return]


def _clock_functions() -> dict[str, Callable[..., Any]]:
    """`clock_gettime` and the like, where the system has them."""
    if not hasattr(real, "clock_gettime"):
        return {}
    walls = _identifiers("CLOCK_REALTIME", "CLOCK_TAI")
    others = _identifiers("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME", "CLOCK_UPTIME")
    real_gettime, real_gettime_ns = original_of(real.clock_gettime), original_of(real.clock_gettime_ns)

    def clock_gettime(*args: Any) -> float:
        if args and CLOCKS.get(get_ident()) is not None:
            if args[0] in walls:
                return time()
            if args[0] in others:
                return monotonic()
        return real_gettime(*args)  # type: ignore[no-any-return]

    def clock_gettime_ns(*args: Any) -> int:
        if args and CLOCKS.get(get_ident()) is not None:
            if args[0] in walls:
                return time_ns()
            if args[0] in others:
                return monotonic_ns()
        return real_gettime_ns(*args)  # type: ignore[no-any-return]

    return {"clock_gettime": clock_gettime, "clock_gettime_ns": clock_gettime_ns}


def _identifiers(*names: str) -> frozenset[int]:
    return frozenset(getattr(real, name) for name in names if hasattr(real, name))


def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
    """`datetime.now`; `datetime.today` and `date.today` ask `time.time` themselves."""
    return _from_timestamp.__get__(None, cls)(time(), tz)  # type: ignore[no-any-return]


def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
    if sys.version_info >= (3, 12):
        warnings.warn(
            "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. Use "
            "timezone-aware objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC).",
            DeprecationWarning,
            stacklevel=2,
        )
    moment: datetime.datetime = _from_timestamp.__get__(None, cls)(time(), datetime.UTC)
    return moment.replace(tzinfo=None)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        *(time, time_ns, monotonic, monotonic_ns, perf_counter, perf_counter_ns, sleep),
        *(localtime, gmtime, ctime, asctime, strftime),
    )
} | _clock_functions()
"""By their names in `time`."""

METHODS: Final[dict[str, Callable[..., Any]]] = {"now": now, "utcnow": utcnow}
"""By their names in `datetime.datetime`."""
