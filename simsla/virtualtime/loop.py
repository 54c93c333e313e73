"""An asyncio event loop whose clock is a SimPy environment.

asyncio timers and SimPy events stand in one calendar, SimPy's own heap of `(time, priority, id, event)`, and
one run loop takes them from it in order. Time moves only when no callback is ready, and then jumps to the
next entry of the calendar.

Rules that keep it faithful to asyncio:

- All that is due at one instant fires before any callback that it wakes.
- Callbacks run in the order in which they were scheduled.
- A delay above zero moves the clock, however large the clock already is.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import simpy
from simpy.rt import RealtimeEnvironment

from simsla.virtualtime.bridge import as_event
from simsla.virtualtime.errors import DeadlockError, LivelockError, RealIOError, VirtualTimeError, with_lines
from simsla.virtualtime.handles import SimHandle, SimTimerHandle
from simsla.virtualtime.refusals import NoRealIOLoop
from simsla.virtualtime.tasks import SimTask
from simsla.virtualtime.waiting import readable_time, waiting_tasks

_T = TypeVar("_T")

_Workers = Callable[[Executor | None, Callable[..., Any], tuple[Any, ...]], asyncio.Future[Any]]

# SimPy's NORMAL priority: a timer takes its turn among SimPy's own timeouts.
_NORMAL = 1

# After any other entry of the calendar at the same time.
_LAST = 1 << 62

# Dead timers are swept out when there are more than this many and they are most of the calendar.
_MOST_DEAD_TIMERS = 64

# Python 3.12 and later.
_EAGER_TASK_FACTORY = getattr(asyncio, "eager_task_factory", None)


class SimEventLoop(NoRealIOLoop):
    """An asyncio event loop in virtual time.

    `asyncio.Runner(loop_factory=SimEventLoop)` and `run_until_complete` work as on any loop. An asyncio task
    can `await` a SimPy event, and a SimPy process can `yield` a task (for any other awaitable, see
    `as_event`). Executors run inline; sockets, subprocesses, pipes and other threads raise `RealIOError`.

    If nothing is ready and the calendar is empty while the loop still has to run, `DeadlockError` names the
    waiting tasks; callbacks that follow one another at one instant without end raise `LivelockError`. A SimPy
    event that fails with nobody to handle it ends the run with its exception, as it does in SimPy.
    """

    max_rounds_per_instant = 10_000_000
    """So many rounds of callbacks at one instant are taken for a loop that never lets time pass."""

    workers: _Workers | None = None
    """What runs the functions that are handed to executors, where they may wait in virtual time."""

    # BaseEventLoop's own, which type checkers are not told of.
    _closed: bool = True  # for `__del__`, should `__init__` raise
    _stopping: bool
    _ready: deque[SimHandle]
    _thread_id: int | None
    _task_factory: Callable[..., asyncio.Future[Any]] | None
    _default_executor: Executor | None
    _executor_shutdown_called: bool
    if TYPE_CHECKING:

        def _check_closed(self) -> None: ...
        def _check_thread(self) -> None: ...
        def _check_callback(self, callback: object, method: str) -> None: ...
        def _check_default_executor(self) -> None: ...

    def __init__(self, env: simpy.Environment | None = None) -> None:
        """`env`: the calendar, whose time is in seconds; by default a new one that starts at 0.0.

        Raises VirtualTimeError if the environment follows the wall clock or belongs to another loop.
        """
        if env is None:
            env = simpy.Environment()
        if isinstance(env, RealtimeEnvironment):
            raise VirtualTimeError("a RealtimeEnvironment follows the wall clock; give a simpy.Environment")
        if vars(env).get("run") is _refuse_to_run:
            raise VirtualTimeError(f"{env!r} already belongs to another SimEventLoop")
        super().__init__()
        self.env = env
        # SimPy's annotation knows only events in its calendar; here timers stand among them.
        self._queue: list[tuple[float, int, int, Any]] = env._queue  # type: ignore[assignment]
        self._event_id = env._eid.__next__
        self._task_numbers = itertools.count()
        self._dead_timers = 0
        self._inline_calls = 0
        self._append = self._ready.append
        # SimPy starts its clock at the integer 0, and may hold events at integer times; asyncio's is a float.
        env._now = float(env._now)
        self._queue[:] = [(float(due), *rest) for due, *rest in self._queue]
        # An event that never comes, so that the calendar is never empty and the hot loop need not ask.
        heappush(self._queue, (math.inf, _LAST, self._event_id(), simpy.Event(env)))
        vars(env)["run"] = vars(env)["step"] = _refuse_to_run

    # Time and callbacks. The overrides differ from asyncio's annotations in the types of the handles, which
    # are built in C (see `handles`), and, further down, in the newer keywords that every version may pass.

    def time(self) -> float:
        """Seconds of virtual time, which is the environment's `now`."""
        now: float = self.env._now
        return now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Run `callback` at this instant, after all that is ready already."""
        if self._checks_calls:
            self._check_call("call_soon", callback)
        handle = SimHandle((callback, args, copy_context() if context is None else context))
        self._append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimTimerHandle:
        """Run `callback` when `delay` seconds have passed; a delay above zero always moves the clock."""
        if self._checks_calls:
            self._check_call("call_later", callback)
        now = self.env._now
        # `float`, for a number of NumPy would bring its own precision into the clock.
        when = now + float(delay)
        if not now < when < math.inf:
            if when == now and delay > 0:
                when = math.nextafter(now, math.inf)
            return self.call_at(when, callback, *args, context=context)
        timer = SimTimerHandle((callback, args, copy_context() if context is None else context))
        timer._when = when
        timer._loop = self
        heappush(self._queue, (when, _NORMAL, self._event_id(), timer))
        return timer

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimTimerHandle:
        """Run `callback` at the time `when` of the loop's clock, or at this instant if that has passed.

        Raises ValueError if `when` is not a number; an infinite time never comes.
        """
        if self._checks_calls:
            self._check_call("call_at", callback)
        timer = SimTimerHandle((callback, args, copy_context() if context is None else context))
        timer._when = when = float(when)
        if not self.env._now <= when < math.inf:
            if when != when:
                raise ValueError("a timer cannot be due at NaN")
            if when == math.inf:
                timer._loop = None
                return timer
            when = self.env._now
        timer._loop = self
        heappush(self._queue, (when, _NORMAL, self._event_id(), timer))
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """As `call_soon`; for signal handlers and functions in an executor, which runs inline.

        Raises RealIOError in any other thread than the loop's, and for `asyncio.run_coroutine_threadsafe` in
        an executor, whose result could only be waited for by a second thread.
        """
        if self._thread_id not in (None, threading.get_ident()):
            raise RealIOError(
                "call_soon_threadsafe() from another thread: a virtual clock cannot wait for real threads"
            )
        if self._inline_calls and "run_coroutine_threadsafe" in getattr(callback, "__qualname__", ""):
            raise RealIOError(
                "run_coroutine_threadsafe() in an executor, which runs inline: "
                "the loop cannot go on until the function returns"
            )
        return self.call_soon(callback, *args, context=context)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, _T], **kwargs: Any
    ) -> asyncio.Task[_T]:
        """Start `coro` as a task; the keywords are those of `asyncio.create_task`."""
        if not self._checks_calls and self._task_factory is None:
            return SimTask(coro, loop=self, **kwargs)
        self._check_closed()
        if self._task_factory is not None:
            if self._task_factory is not _EAGER_TASK_FACTORY:
                return super().create_task(coro, **kwargs)
            kwargs["eager_start"] = True
        task = SimTask(coro, loop=self, **kwargs)
        trace = getattr(task, "_source_traceback", None)
        if trace:
            # Where the task was created is one frame above this method.
            del trace[-1]
        return task

    def as_event(self, awaitable: Awaitable[Any]) -> simpy.Event:
        """A SimPy event that is triggered with the result, or the exception, of any awaitable.

        A SimPy process sees the awaitable's cancellation as `TaskCancelledError`.
        """
        return as_event(self.env, asyncio.ensure_future(awaitable, loop=self))

    def set_debug(self, enabled: bool) -> None:
        """Turn asyncio's debug mode on or off; its slow callbacks are not looked for."""
        super().set_debug(enabled)
        # One flag for the hot path: calls are checked in debug mode and once the loop is closed.
        self._checks_calls = enabled or self._closed

    def _check_call(self, method: str, callback: object) -> None:
        self._check_closed()
        if self.get_debug():
            self._check_thread()
            self._check_callback(callback, method)

    # Running

    def _run_once(self) -> None:
        """All rounds until `stop`: the loop that asyncio's `run_forever` calls.

        A round runs the callbacks that are ready, and not those that they make ready.
        """
        env, queue, ready = self.env, self._queue, self._ready
        popleft, max_rounds = ready.popleft, self.max_rounds_per_instant
        now = env._now
        if queue[0][0] <= now:
            self._take_due()
        while True:
            rounds = max_rounds
            while ready:
                rest = len(ready)
                while rest:
                    rest -= 1
                    handle = popleft()
                    callback, args, context = handle
                    if callback is None:
                        continue
                    try:
                        # Few arguments are spelled out: a call with `*args` takes four times as long.
                        if not args:
                            context.run(callback)
                        elif len(args) == 1:
                            context.run(callback, args[0])
                        else:
                            context.run(callback, *args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self._callback_failed(error, handle, callback, args)
                if self._stopping:
                    return
                if queue[0][0] <= now:
                    self._take_due()
                rounds -= 1
                if not rounds:
                    self._raise_livelock("rounds of callbacks")
            if self._stopping:
                return
            # No callback is ready: time moves to the next entry of the calendar.
            entry = heappop(queue)
            due, _, _, event = entry
            if type(event) is SimTimerHandle:
                callback, args, context = event
                if callback is None:
                    self._dead_timers -= 1
                    continue
                now = env._now = due
                event._loop = None
                if queue[0][0] <= due:
                    ready.append(event)
                else:
                    # Alone at its instant, as most timers are, it need not queue.
                    try:
                        if len(args) == 2:  # as `asyncio.sleep` has
                            context.run(callback, args[0], args[1])
                        elif not args:
                            context.run(callback)
                        else:
                            context.run(callback, *args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self._callback_failed(error, event, callback, args)
                    if self._stopping:
                        return
            elif due < math.inf:
                now = env._now = float(due)
                self._process(event)
            else:
                heappush(queue, entry)
                if not ready:  # a signal handler may have scheduled something
                    self._raise_deadlock()
            if queue[0][0] <= now:
                self._take_due()

    def _take_due(self) -> None:
        """Take what is due from the calendar: a timer joins the ready callbacks, an event runs its own."""
        queue, now = self._queue, self.env._now
        for _ in itertools.repeat(None, self.max_rounds_per_instant):
            if queue[0][0] > now:
                return
            event = heappop(queue)[3]
            if type(event) is not SimTimerHandle:
                self._process(event)
            elif event[0] is None:
                self._dead_timers -= 1
            else:
                event._loop = None
                self._append(event)
        # Without the events that spin, the tasks can still be cancelled and end.
        self._keep(lambda entry: entry[0] > now or type(entry[3]) is SimTimerHandle)
        self._raise_livelock("entries of the calendar")

    @staticmethod
    def _process(event: simpy.Event) -> None:
        """What `simpy.Environment.step` does with an event."""
        # None marks an event as processed, which SimPy's own annotation leaves out.
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value

    def _callback_failed(
        self, error: BaseException, handle: SimHandle, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        # The callback may have cancelled its own handle, which no longer knows it then.
        source = asyncio.format_helpers._format_callback_source(callback, args)
        self.call_exception_handler(
            {"message": f"Exception in callback {source}", "exception": error, "handle": handle}
        )

    def _timer_cancelled(self) -> None:
        """Count a dead timer, and sweep the calendar when they are most of it."""
        self._dead_timers += 1
        if self._dead_timers > _MOST_DEAD_TIMERS and 2 * self._dead_timers > len(self._queue):
            self._keep(lambda entry: type(entry[3]) is not SimTimerHandle or entry[3][0] is not None)
            self._dead_timers = 0

    def _keep(self, wanted: Callable[[tuple[float, int, int, Any]], bool]) -> None:
        # In place: the run loop and SimPy hold on to this very list.
        self._queue[:] = filter(wanted, self._queue)
        heapq.heapify(self._queue)

    def _raise_deadlock(self) -> NoReturn:
        waiting = waiting_tasks(self)
        raise DeadlockError(
            f"deadlock at {readable_time(self.env._now)} of virtual time: the calendar is empty, "
            f"and {len(waiting):,} unfinished task(s) wait for what can never come",
            waiting,
        )

    def _raise_livelock(self, what: str) -> NoReturn:
        message = (
            f"livelock at {readable_time(self.env._now)} of virtual time: "
            f"{self.max_rounds_per_instant:,} {what} without letting time pass "
            "(SimEventLoop.max_rounds_per_instant); unfinished tasks:"
        )
        raise LivelockError(with_lines(message, waiting_tasks(self)))

    def close(self) -> None:
        """Close the loop and give the environment back, without the loop's own timers in its calendar."""
        if self._closed:
            return
        super().close()
        self._checks_calls = True
        self._keep(lambda entry: type(entry[3]) is not SimTimerHandle and entry[1] != _LAST)
        for method in ("run", "step"):
            del vars(self.env)[method]

    # Executors run inline: a virtual clock that moved while a thread works would run away.

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Call `func` here and now, whatever the executor, in a copy of the context.

        The result arrives in the next round, so that whoever awaits it lets others run, as with a thread.
        Where there are `workers`, the function may wait in virtual time, and goes on later.
        """
        if self._checks_calls:
            self._check_call("run_in_executor", func)
        if executor is None:
            self._check_default_executor()
        if self.workers is not None:
            return self.workers(executor, func, args)
        future: asyncio.Future[_T] = self.create_future()
        self._inline_calls += 1
        try:
            result = copy_context().run(func, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_soon(_unless_done, future, future.set_exception, for_a_future(error))
        else:
            self.call_soon(_unless_done, future, future.set_result, result)
        finally:
            self._inline_calls -= 1
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Refuse further work for the default executor; no thread of it has run anything."""
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=False)


def _unless_done(future: asyncio.Future[Any], deliver: Callable[[Any], object], value: object) -> None:
    if not future.done():
        deliver(value)


def for_a_future(error: BaseException) -> BaseException:
    """A future refuses StopIteration, which would end the coroutine that awaits it."""
    if not isinstance(error, StopIteration):
        return error
    replacement = RuntimeError(f"a function in an executor raised {error!r}")
    replacement.__cause__ = error
    return replacement


def _refuse_to_run(*_: object, **__: object) -> NoReturn:
    raise VirtualTimeError(
        "this environment is the calendar of a SimEventLoop, which alone moves it; "
        "use loop.run_until_complete(...) or asyncio.Runner(loop_factory=SimEventLoop)"
    )
