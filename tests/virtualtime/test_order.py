"""Random programs run in the order in which they run on asyncio's own loop with a faked clock."""

import asyncio
import contextlib
import heapq
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.virtualtime import DeadlockError, SimEventLoop


class Stuck(Exception):
    """Nothing is scheduled on the reference loop, which would wait for I/O for ever."""


class OrderedTimer(asyncio.TimerHandle):
    """asyncio leaves the order of timers for one instant open; the reference keeps that of their creation."""

    __slots__ = ("number",)
    numbers = itertools.count()

    def __lt__(self, other):
        return (self._when, self.number) < (other._when, other.number)


class ReferenceLoop(asyncio.BaseEventLoop):
    """asyncio's loop, on a clock that moves when asyncio would wait."""

    def __init__(self):
        super().__init__()
        self._now = 0.0
        self._selector = self

    def select(self, timeout):
        if timeout is None:
            raise Stuck
        self._now += timeout
        return ()

    def _process_events(self, event_list):
        pass

    def time(self):
        return self._now

    def call_at(self, when, callback, *args, context=None):
        timer = OrderedTimer(when, callback, args, self, context)
        timer.number = next(timer.numbers)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer


# Multiples of a quarter are exact in floating point, and make many things happen at one instant.
durations = st.integers(0, 8).map(lambda quarters: quarters / 4)
numbers = st.integers(0, 5)


def compound(programs):
    return st.one_of(
        st.tuples(st.just("spawn"), programs),
        st.tuples(st.just("timeout"), durations, programs),
        st.tuples(st.just("lock"), programs),
    )


simple = st.one_of(
    st.tuples(st.just("sleep"), durations),
    st.tuples(st.just("timer"), durations),
    st.tuples(st.just("cancel timer"), numbers),
    st.tuples(st.just("cancel task"), numbers),
    st.tuples(st.just("join"), numbers),
    st.tuples(st.just("gather"), durations, durations),
    st.sampled_from([("put",), ("get",), ("set",), ("clear",), ("wait",), ("fail",)]),
)
programs = st.recursive(
    st.lists(simple, max_size=4),
    lambda inner: st.lists(st.one_of(simple, compound(inner)), min_size=1, max_size=5),
    max_leaves=25,
)


class Machine:
    """Runs a program and records what happens when."""

    def __init__(self):
        self.clock = asyncio.get_running_loop().time
        self.record = []
        self.tasks = []
        self.timers = []
        self.event, self.mutex, self.queue = asyncio.Event(), asyncio.Lock(), asyncio.Queue(2)

    def log(self, *what):
        self.record.append((self.clock(), *what))

    async def run(self, name, program):
        try:
            await self.steps(name, program)
            self.log(name, "ended")
        except BaseException as error:
            self.log(name, "raised", type(error).__name__)
            raise

    async def steps(self, name, program):
        for number, (kind, *args) in enumerate(program):
            try:
                await getattr(self, kind.replace(" ", "_"))(f"{name}.{number}", *args)
            except (TimeoutError, ValueError, RuntimeError) as error:
                self.log(name, kind, type(error).__name__)
            else:
                self.log(name, kind)

    async def sleep(self, name, seconds):
        await asyncio.sleep(seconds)

    async def timer(self, name, seconds):
        self.timers.append(asyncio.get_running_loop().call_later(seconds, self.log, name, "fired"))

    async def cancel_timer(self, name, number):
        if self.timers:
            self.timers[number % len(self.timers)].cancel()

    async def spawn(self, name, program):
        self.tasks.append(asyncio.create_task(self.run(name, program)))

    async def cancel_task(self, name, number):
        if self.tasks:
            self.log(name, "cancels", self.tasks[number % len(self.tasks)].cancel())

    async def join(self, name, number):
        if self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(self.tasks[number % len(self.tasks)]), 3)

    async def gather(self, name, *seconds):
        await asyncio.gather(*(self.run(f"{name}.{s}", [("sleep", s)]) for s in seconds))

    async def timeout(self, name, seconds, program):
        async with asyncio.timeout(seconds):
            await self.steps(name, program)

    async def lock(self, name, program):
        async with self.mutex:
            await self.steps(name, program)

    async def put(self, name):
        await self.queue.put(name)

    async def get(self, name):
        self.log(name, "got", await self.queue.get())

    async def set(self, name):
        self.event.set()

    async def clear(self, name):
        self.event.clear()

    async def wait(self, name):
        await self.event.wait()

    async def fail(self, name):
        raise ValueError(name)


def run_on(loop_factory, program):
    machines = []

    async def main():
        machines.append(Machine())
        await machines[0].run("main", program)
        await asyncio.sleep(20)

    # Closing the runner cancels what is left, in the order of a set, and may get stuck again.
    with contextlib.suppress(Stuck, DeadlockError), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().set_exception_handler(lambda *_: None)
        try:
            runner.run(main())
            end = "ended"
        except (Stuck, DeadlockError):
            end = "stuck"
        except asyncio.CancelledError:
            end = "cancelled"
        record = list(machines[0].record)
    return end, record


@settings(max_examples=400, deadline=None)
@given(programs)
def test_a_program_runs_as_on_asyncios_own_loop(program):
    assert run_on(SimEventLoop, program) == run_on(ReferenceLoop, program)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=200))
def test_timers_fire_by_time_then_by_creation(timers):
    loop = SimEventLoop()
    fired = []
    for number, (delay, _) in enumerate(timers):
        handle = loop.call_later(delay / 8, lambda n: fired.append((loop.time(), n)), number)
        if timers[number][1]:
            handle.cancel()
    loop.call_later(100, loop.stop)
    loop.run_forever()
    loop.close()
    expected = sorted((delay / 8, number) for number, (delay, dead) in enumerate(timers) if not dead)
    assert fired == expected
