"""Wall clocks in virtual time."""

# Local time is what is tested.
# ruff: noqa: DTZ001, DTZ002, DTZ003, DTZ005, DTZ006, DTZ011, DTZ012

from __future__ import annotations

import asyncio
import contextlib
import datetime
import datetime as dt
import pickle
import subprocess
import sys
import threading
import time
import types
from dataclasses import dataclass, field
from datetime import UTC
from time import monotonic as early_monotonic
from time import sleep as early_sleep
from time import time as early_time

import pydantic
import pytest

from simsla.virtualtime import SimEventLoop, run_in_virtual_time
from simsla.virtualtime.blocking import BlockedLoopError, blocking_calls, run
from simsla.virtualtime.clock import functions, virtual_clocks

START = datetime.datetime(2026, 1, 5, 8, tzinfo=UTC)
EPOCH_S = START.timestamp()
IN_A_TUPLE = (time.time, (time.time_ns,))


class Stamped:
    clock = staticmethod(time.time)

    def read(self, clock=time.time, *, now=datetime.datetime.now):
        return clock(), now(UTC)


class Model(pydantic.BaseModel):
    at: datetime.datetime = pydantic.Field(default_factory=datetime.datetime.now)
    seconds: float = pydantic.Field(default_factory=time.time)


@dataclass
class Record:
    at: datetime.datetime = field(default_factory=datetime.datetime.now)


class Moment(datetime.datetime):
    pass


def in_virtual_clocks(main, start=START):
    async def entered():
        with virtual_clocks(asyncio.get_running_loop(), start):
            return await main()

    return run_in_virtual_time(entered())


async def ninety_seconds():
    await asyncio.sleep(90.5)


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda: time.time(), EPOCH_S + 90.5),
        (lambda: early_time(), EPOCH_S + 90.5),
        (lambda: time.time_ns(), (int(EPOCH_S) * 10 + 905) * 10**8),
        (lambda: time.monotonic(), 90.5),
        (lambda: early_monotonic(), 90.5),
        (lambda: time.monotonic_ns(), 90_500_000_000),
        (lambda: time.perf_counter(), 90.5),
        (lambda: time.perf_counter_ns(), 90_500_000_000),
        (lambda: time.clock_gettime(time.CLOCK_REALTIME), EPOCH_S + 90.5),
        (lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC), 90_500_000_000),
        (lambda: time.gmtime()[:6], (2026, 1, 5, 8, 1, 30)),
        (lambda: time.localtime(), time.localtime(EPOCH_S + 90.5)),
        (lambda: time.ctime(), time.ctime(EPOCH_S + 90.5)),
        (lambda: time.asctime(), time.asctime(time.localtime(EPOCH_S + 90.5))),
        (lambda: time.strftime("%F %T"), time.strftime("%F %T", time.localtime(EPOCH_S + 90.5))),
        (lambda: datetime.datetime.now(UTC), START + datetime.timedelta(seconds=90.5)),
        (lambda: dt.datetime.now(tz=UTC), START + datetime.timedelta(seconds=90.5)),
        (lambda: datetime.datetime.now(), datetime.datetime.fromtimestamp(EPOCH_S + 90.5)),
        (lambda: datetime.datetime.today(), datetime.datetime.fromtimestamp(EPOCH_S + 90.5)),
        (lambda: datetime.date.today(), datetime.date.fromtimestamp(EPOCH_S + 90.5)),
        (lambda: Moment.now(UTC), START + datetime.timedelta(seconds=90.5)),
        (lambda: type(Moment.now()), Moment),
        (lambda: IN_A_TUPLE[0](), EPOCH_S + 90.5),
        (lambda: IN_A_TUPLE[1][0]() // 10**9, int(EPOCH_S) + 90),
        (lambda: Stamped.clock(), EPOCH_S + 90.5),
        (lambda: Stamped().read(), (EPOCH_S + 90.5, START + datetime.timedelta(seconds=90.5))),
        (lambda: Model().seconds, EPOCH_S + 90.5),
        (lambda: Model().at, datetime.datetime.fromtimestamp(EPOCH_S + 90.5)),
        (lambda: Record().at, datetime.datetime.fromtimestamp(EPOCH_S + 90.5)),
    ],
)
def test_a_clock_shows_the_start_and_the_virtual_time_since(read, expected):
    async def main():
        await ninety_seconds()
        return read()

    assert in_virtual_clocks(main) == expected
    assert read() != expected or expected is Moment


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_utcnow_is_virtual_too():
    async def main():
        return datetime.datetime.utcnow(), Moment.utcnow()

    assert in_virtual_clocks(main) == (START.replace(tzinfo=None),) * 2


def test_explicit_times_are_left_alone():
    async def main():
        day = time.gmtime(0)
        return day[:3], time.strftime("%Y", day), time.ctime(0), time.asctime(day)

    before = time.ctime(0)
    assert in_virtual_clocks(main) == ((1970, 1, 1), "1970", before, "Thu Jan  1 00:00:00 1970")


def test_wrong_arguments_are_refused_as_ever():
    async def main():
        for call in (
            lambda: time.time(1),
            lambda: time.sleep("1"),
            lambda: time.gmtime("x"),
            lambda: time.strftime(),
            lambda: time.clock_gettime(),
            lambda: datetime.datetime.now("UTC"),
            lambda: datetime.datetime.now(zone=UTC),
        ):
            with pytest.raises(TypeError):
                call()
        return True

    assert in_virtual_clocks(main)


def test_a_module_that_is_imported_meanwhile_has_the_clocks_and_the_real_ones_afterwards():
    module = types.ModuleType("late")

    async def main():
        exec("from time import time, sleep\nfrom datetime import datetime\nnow = datetime.now", vars(module))  # noqa: S102
        return module.time(), module.now(UTC)

    assert in_virtual_clocks(main) == (EPOCH_S, START)
    assert abs(module.time() - time.time()) < 100
    assert abs((module.now(UTC) - datetime.datetime.now(UTC)).total_seconds()) < 100


def test_classes_stay_what_they_are():
    before = datetime.datetime(2020, 1, 1, tzinfo=UTC)

    async def main():
        now = datetime.datetime.now(UTC)
        assert type(now) is datetime.datetime
        assert isinstance(before, datetime.datetime)
        assert issubclass(Moment, datetime.datetime)
        assert pickle.loads(pickle.dumps(now)) == now
        later = pydantic.create_model("Later", at=(datetime.datetime, ...))
        assert later(at=now).at is now
        assert Model.model_validate_json(Model().model_dump_json()).at == Model().at
        return pickle.dumps(now)

    assert pickle.loads(in_virtual_clocks(main)) == START


def test_other_threads_keep_real_time():
    real, seen, go, done = early_time(), [], threading.Event(), threading.Event()

    def look():
        go.wait(30)
        early_sleep(0.001)
        seen.append((time.time(), datetime.datetime.now(UTC).timestamp(), time.monotonic()))
        done.set()

    thread = threading.Thread(target=look)
    thread.start()

    async def main():
        go.set()
        while not done.is_set():
            await asyncio.sleep(1)
        return time.time()

    assert in_virtual_clocks(main) >= EPOCH_S
    thread.join()
    assert abs(seen[0][0] - real) < 100
    assert abs(seen[0][1] - real) < 100


def test_runs_in_several_threads_have_clocks_of_their_own():
    def one(day):
        start = datetime.datetime(2026, 1, day, tzinfo=UTC)

        async def main():
            barrier.wait(30)
            shown = []
            for _ in range(50):
                await asyncio.sleep(1)
                shown.append((datetime.datetime.now(UTC) - start).total_seconds())
            return shown

        results[day] = in_virtual_clocks(main, start)

    results, barrier = {}, threading.Barrier(3)
    threads = [threading.Thread(target=one, args=(day,)) for day in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {day: [float(s) for s in range(1, 51)] for day in (1, 2, 3)}
    assert abs(early_time() - datetime.datetime.now(UTC).timestamp()) < 100


def test_nested_clocks_give_the_outer_ones_back():
    async def main():
        inner = SimEventLoop()
        with virtual_clocks(inner, datetime.datetime(2030, 1, 1, tzinfo=UTC)):
            within = datetime.datetime.now(UTC).year
        inner.close()
        return within, datetime.datetime.now(UTC)

    assert in_virtual_clocks(main) == (2030, START)


def looks():
    return (
        (time.time.__self__, datetime.datetime.__dict__["now"], datetime.datetime.__dict__["utcnow"]),
        (time.sleep.__self__, early_time.__self__, early_time.__reduce__()),
    )


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_everything_is_restored_whatever_happens(error):
    before = looks()

    async def main():
        assert looks() != before
        raise error

    with pytest.raises(error):
        in_virtual_clocks(main)
    assert looks() == before
    assert functions.CLOCKS == {}
    assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 1


def test_the_start_is_utc_without_a_zone_and_keeps_its_microseconds():
    async def main():
        return datetime.datetime.now(UTC), time.time_ns()

    moment, ns = in_virtual_clocks(main, datetime.datetime(2031, 12, 31, 23, 59, 59, 999_999))
    assert moment == datetime.datetime(2031, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert ns % 10**9 == 999_999_000


# Sleeping


def test_blocking_code_sleeps_in_virtual_time():
    def nap():
        early_sleep(2)
        time.sleep(0.5)
        return time.monotonic()

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            return await asyncio.gather(run(nap), run(nap))

    assert in_virtual_clocks(main) == [2.5, 2.5]


def test_a_coroutine_that_sleeps_for_real_is_told_where():
    async def main():
        time.sleep(0)
        with pytest.raises(BlockedLoopError, match=r"time\.sleep\(5\) blocks the event loop") as caught:
            early_sleep(5)
        return str(caught.value)

    assert f"at {__file__}:" in in_virtual_clocks(main)


def test_the_loop_is_told_of_a_sleep_that_is_caught():
    told = []

    async def main():
        asyncio.get_running_loop().on_refusal = told.append
        for _ in range(2):
            with contextlib.suppress(BlockedLoopError):
                time.sleep(1)

    in_virtual_clocks(main)
    assert len(told) == 2


def test_code_that_waits_for_the_clock_to_move_is_ended(monkeypatch):
    monkeypatch.setattr(functions, "MOST_READS", 1_000)

    async def main():
        await asyncio.sleep(1)
        for _ in range(1_000):
            time.monotonic()
        await asyncio.sleep(1)
        with pytest.raises(BlockedLoopError, match=r"clock was read 1,000 times at one instant.*test_clocks"):
            poll(time.monotonic() + 1)
        return True

    def poll(end):
        while time.monotonic() < end:
            pass

    assert in_virtual_clocks(main)


def test_the_garbage_collector_and_a_deleted_function_do_no_harm():
    program = """
import asyncio, datetime, gc, time
from simsla.virtualtime import SimEventLoop
from simsla.virtualtime.clock import virtual_clocks
for turn in range(200):
    held = [datetime.datetime.now, datetime.datetime.utcnow, time.time]
    loop = SimEventLoop()
    with virtual_clocks(loop, datetime.datetime(2026, 1, 5)):
        gc.collect(0)
        assert held[0](datetime.timezone.utc).year == 2026 and held[0]().day in (4, 5)
        del held
    loop.close()
gc.collect()
print(time.time() > 0, time.time.__self__ is time)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
