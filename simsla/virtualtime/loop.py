"""An asyncio event loop whose clock is a SimPy environment.

asyncio timers and SimPy events stand in one calendar, SimPy's own heap of `(time, priority, id, event)`, and
one run loop takes them from it in order. Time moves only when no callback is ready, and then jumps to the
next entry of the calendar.

Rules that keep it faithful to asyncio:

- Timers that are due at one instant all fire before any callback that they wake.
- Callbacks run in the order in which they were scheduled.
- A delay above zero moves the clock, however large the clock already is.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, NoReturn, TypeVar

import simpy
from simpy.rt import RealtimeEnvironment

from simsla.virtualtime.errors import DeadlockError, LivelockError, RealIOError, VirtualTimeError
from simsla.virtualtime.handles import SimHandle, SimTimerHandle
from simsla.virtualtime.tasks import SimTask, as_event, await_event, describe

_T = TypeVar("_T")

# SimPy's NORMAL priority: a timer takes its turn among SimPy's own timeouts.
_NORMAL = 1

# After any other entry of the calendar at the same time.
_LAST = 1 << 62

# So many rounds of callbacks at one instant are taken for a loop that never lets time pass.
_MOST_ROUNDS_AT_ONE_INSTANT = 10_000_000

# Dead timers are swept out when there are more than this many and they are most of the calendar.
_MOST_DEAD_TIMERS = 64

# The one change to SimPy's classes: an asyncio task can await an event.
simpy.Event.__await__ = await_event  # type: ignore[attr-defined]


class SimEventLoop(asyncio.BaseEventLoop):
    """An asyncio event loop in virtual time.

    `asyncio.Runner(loop_factory=SimEventLoop)` and `run_until_complete` work as on any loop. An asyncio task
    can `await` a SimPy event, and a SimPy process can `yield` a task (for any other awaitable, see
    `as_event`). Executors run inline; sockets, subprocesses, pipes and other threads raise `RealIOError`.

    If nothing is ready and the calendar is empty while the loop still has to run, `DeadlockError` names the
    waiting tasks; callbacks that follow one another at one instant without end raise `LivelockError`.
    """

    def __init__(self, env: simpy.Environment | None = None) -> None:
        """`env`: the calendar, whose time is in seconds; by default a new one that starts at 0.0.

        Raises VirtualTimeError if the environment follows the wall clock or belongs to another loop.
        """
        if isinstance(env, RealtimeEnvironment):
            raise VirtualTimeError("a RealtimeEnvironment follows the wall clock; give a simpy.Environment")
        if env is not None and "run" in vars(env):
            raise VirtualTimeError(f"{env!r} already belongs to another SimEventLoop")
        super().__init__()
        self.env = simpy.Environment(0.0) if env is None else env  # type: ignore[arg-type]
        self._queue: list[tuple[float, int, int, Any]] = self.env._queue  # type: ignore[assignment]
        self._event_id = self.env._eid.__next__
        self._numbers = itertools.count()
        self._dead_timers = 0
        self._ready: Any  # BaseEventLoop's deque of handles, ready to run in order
        self._append = self._ready.append
        self._stopping: bool
        self._closed: bool
        # An event that never comes, so that the calendar is never empty and the hot loop need not ask.
        heappush(self._queue, (math.inf, _LAST, self._event_id(), simpy.Event(self.env)))
        vars(self.env)["run"] = vars(self.env)["step"] = _refuse_to_run

    # Time and callbacks

    def time(self) -> float:
        """Seconds of virtual time, which is the environment's `now`."""
        return self.env._now

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
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> SimTimerHandle:
        """Run `callback` when `delay` seconds have passed; a delay above zero always moves the clock."""
        if self._checks_calls:
            self._check_call("call_later", callback)
        now = self.env._now
        when = now + delay
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
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> SimTimerHandle:
        """Run `callback` at the time `when` of the loop's clock, or at this instant if that has passed.

        Raises ValueError if `when` is not a number; an infinite time never comes.
        """
        if self._checks_calls:
            self._check_call("call_at", callback)
        timer = SimTimerHandle((callback, args, copy_context() if context is None else context))
        timer._when = when
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
        """As `call_soon`; for signal handlers. Raises RealIOError in any other thread than the loop's."""
        owner = self._thread_id  # type: ignore[attr-defined]
        if owner is not None and owner != threading.get_ident():
            raise RealIOError(
                "call_soon_threadsafe() from another thread: a virtual clock cannot wait for real threads"
            )
        return self.call_soon(callback, *args, context=context)

    def create_task(self, coro: Coroutine[Any, Any, _T], **kwargs: Any) -> asyncio.Task[_T]:  # type: ignore[override]
        """Start `coro` as a task, named and with a context as `asyncio.create_task` takes them."""
        if self._task_factory is not None:  # type: ignore[attr-defined]
            return super().create_task(coro, **kwargs)
        self._check_closed()
        return SimTask(coro, loop=self, **kwargs)

    def as_event(self, awaitable: asyncio.Future[Any] | Coroutine[Any, Any, Any]) -> simpy.Event:
        """A SimPy event that is triggered with the result, or the exception, of a future or coroutine."""
        future = asyncio.ensure_future(awaitable, loop=self)
        return as_event(self.env, future)

    def set_debug(self, enabled: bool) -> None:
        """Turn asyncio's debug mode on or off."""
        super().set_debug(enabled)
        # One flag for the hot path: calls are checked in debug mode and once the loop is closed.
        self._checks_calls = enabled or self._closed

    # Running

    def _run_once(self) -> None:
        """All rounds until `stop`: the loop that asyncio's `run_forever` calls."""
        env, queue, ready = self.env, self._queue, self._ready
        popleft = ready.popleft
        now = env._now
        while queue[0][0] <= now:
            self._take(heappop(queue)[3])
        while True:
            for _ in itertools.repeat(None, _MOST_ROUNDS_AT_ONE_INSTANT):
                rest = len(ready)
                if not rest:
                    break
                while rest:
                    rest -= 1
                    callback, args, context = popleft()
                    if callback is not None:
                        try:
                            context.run(callback, *args)
                        except (SystemExit, KeyboardInterrupt):
                            raise
                        except BaseException as error:
                            self._callback_failed(error, callback)
                if self._stopping:
                    return
                while queue[0][0] <= now:
                    self._take(heappop(queue)[3])
            else:
                self._raise_livelock()
            if self._stopping:
                return
            # No callback is ready: on to the next entry of the calendar.
            due, _, _, event = heappop(queue)
            if type(event) is not SimTimerHandle:
                if due == math.inf:
                    heappush(queue, (due, _, _, event))
                    self._raise_deadlock()
                now = env._now = due
                self._process(event)
                continue
            callback, args, context = event
            if callback is None:
                self._dead_timers -= 1
                continue
            now = env._now = due
            event._loop = None
            if queue[0][0] <= due:
                ready.append(event)
                continue
            try:
                context.run(callback, *args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._callback_failed(error, callback)

    def _take(self, event: Any) -> None:
        """An entry of the calendar that is due: a timer joins the ready callbacks, an event runs its own."""
        if type(event) is not SimTimerHandle:
            self._process(event)
        elif event[0] is None:
            self._dead_timers -= 1
        else:
            event._loop = None
            self._ready.append(event)

    @staticmethod
    def _process(event: simpy.Event) -> None:
        """What `simpy.Environment.step` does with an event."""
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if not event._ok and not hasattr(event, "_defused"):
            error = type(event._value)(*event._value.args)
            error.__cause__ = event._value
            raise error

    def _callback_failed(self, error: BaseException, callback: Callable[..., object]) -> None:
        self.call_exception_handler(
            {"message": f"Exception in callback {callback!r}", "exception": error, "loop": self}
        )

    def _timer_cancelled(self) -> None:
        """Count a dead timer, and sweep the calendar when they are most of it."""
        self._dead_timers += 1
        if self._dead_timers > _MOST_DEAD_TIMERS and 2 * self._dead_timers > len(self._queue):
            # In place: the run loop and SimPy hold on to this very list.
            self._queue[:] = [
                entry
                for entry in self._queue
                if type(entry[3]) is not SimTimerHandle or entry[3][0] is not None
            ]
            heapq.heapify(self._queue)
            self._dead_timers = 0

    def _raise_deadlock(self) -> NoReturn:
        waiting = tuple(sorted(describe(task) for task in asyncio.all_tasks(self)))
        raise DeadlockError(
            f"deadlock at {self.env._now:g} s of virtual time: the calendar is empty and "
            f"{len(waiting)} task(s) wait for what can never come",
            waiting,
        )

    def _raise_livelock(self) -> NoReturn:
        running = tuple(sorted(describe(task) for task in asyncio.all_tasks(self)))[:20]
        raise LivelockError(
            f"{_MOST_ROUNDS_AT_ONE_INSTANT:,} rounds of callbacks at {self.env._now:g} s of virtual time: "
            "something spins without letting time pass; tasks: " + "; ".join(running)
        )

    def _check_call(self, method: str, callback: object) -> None:
        self._check_closed()
        if self.get_debug():
            self._check_callback(callback, method)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close the loop and give the environment back, without the loop's own timers in its calendar."""
        if self._closed:
            return
        super().close()
        self._checks_calls = True
        self._queue[:] = [
            entry for entry in self._queue if type(entry[3]) is not SimTimerHandle and entry[1] != _LAST
        ]
        heapq.heapify(self._queue)
        for method in ("run", "step"):
            vars(self.env).pop(method, None)

    # Executors run inline: a virtual clock that moved while a thread works would run away.

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Call `func` here and now, whatever the executor; a future that is done."""
        if self._checks_calls:
            self._check_call("run_in_executor", func)
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except (SystemExit, KeyboardInterrupt):
            raise
        except StopIteration as error:
            # A future refuses it: it would end the coroutine that awaits.
            future.set_exception(RuntimeError(f"{func!r} raised {error!r}"))
        except BaseException as error:
            future.set_exception(error)
        return future


def _refuse_to_run(*_: object, **__: object) -> NoReturn:
    raise VirtualTimeError(
        "this environment is the calendar of a SimEventLoop, which alone moves it; "
        "use loop.run_until_complete(...) or asyncio.Runner(loop_factory=SimEventLoop)"
    )


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: SimEventLoop, *_: object, **__: object) -> NoReturn:
        raise RealIOError(f"{name}() would touch the real world from inside virtual time")

    refuse.__name__ = name
    refuse.__qualname__ = f"SimEventLoop.{name}"
    refuse.__doc__ = "Not in virtual time: raises RealIOError."
    return refuse


for _name in (
    "add_reader remove_reader add_writer remove_writer add_signal_handler remove_signal_handler "
    "sock_recv sock_recv_into sock_recvfrom sock_recvfrom_into sock_sendall sock_sendto sock_connect "
    "sock_accept sock_sendfile sendfile start_tls getaddrinfo getnameinfo create_connection create_server "
    "create_unix_connection create_unix_server create_datagram_endpoint connect_accepted_socket "
    "connect_read_pipe connect_write_pipe subprocess_shell subprocess_exec"
).split():
    setattr(SimEventLoop, _name, _refusal(_name))
