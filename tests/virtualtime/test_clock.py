"""The clock: where it starts, how it moves, and that it never stands still or goes back."""

import asyncio
import math

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simsla.virtualtime import SimEventLoop, run_in_virtual_time

DAY = 86_400.0
YEAR = 365.25 * DAY


def time() -> float:
    return asyncio.get_running_loop().time()


def test_time_starts_at_zero_and_is_the_environments():
    async def main():
        loop = asyncio.get_running_loop()
        assert loop.time() == loop.env.now == 0.0
        await asyncio.sleep(2.5)
        assert loop.time() == loop.env.now == 2.5

    run_in_virtual_time(main())


@pytest.mark.parametrize("seconds", [1e-9, 1.0, DAY, 2 * DAY, 400 * DAY, 30 * YEAR])
def test_a_sleep_of_any_length_takes_exactly_so_long(seconds):
    async def main():
        await asyncio.sleep(seconds)
        return time()

    assert run_in_virtual_time(main()) == seconds


@pytest.mark.parametrize("start", [0.0, 2.0**24 + 1, YEAR, 1e9, 2.0**53])
@pytest.mark.parametrize("delay", [1e-12, 1e-9, 1e-6, 1.0])
def test_a_delay_above_zero_moves_the_clock_however_large_it_is(start, delay):
    async def main():
        times = []
        for _ in range(100):
            await asyncio.sleep(delay)
            times.append(time())
        return times

    times = run_in_virtual_time(main(), env=simpy.Environment(start))
    assert all(earlier < later for earlier, later in zip([start, *times], times, strict=False))
    # No step is longer than the delay and the spacing of floats around it.
    assert times[-1] - start <= 100 * (delay + 2 * math.ulp(times[-1]))


@given(start=st.floats(0, 1e12), delay=st.floats(min_value=5e-324, max_value=1e12))
def test_a_timer_is_due_after_now_and_within_rounding_of_its_delay(start, delay):
    loop = SimEventLoop(simpy.Environment(start))
    timer = loop.call_later(delay, print)
    loop.close()
    assert timer.when() > start
    assert timer.when() == pytest.approx(start + delay, rel=1e-15)


def test_a_loop_that_waits_for_a_deadline_by_polling_ends_past_a_year():
    async def main():
        await asyncio.sleep(3 * YEAR)
        deadline = time() + 1e-3
        polls = 0
        while time() < deadline:
            await asyncio.sleep((deadline - time()) / 2)
            polls += 1
        return polls

    assert run_in_virtual_time(main()) < 60


def test_short_timeouts_work_past_a_year():
    async def main():
        await asyncio.sleep(2 * YEAR)
        before = time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1e-6):
                await asyncio.sleep(1.0)
        return time() - before

    assert 0 < run_in_virtual_time(main()) < 2e-6


def test_a_dead_timer_does_not_move_the_clock():
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(50.0, print).cancel()
        loop.call_later(100.0, print).cancel()
        await asyncio.sleep(1.0)
        return loop.time()

    env = simpy.Environment()
    assert run_in_virtual_time(main(), env=env) == 1.0
    assert env.now == 1.0


def test_an_integer_clock_becomes_a_float():
    env = simpy.Environment(2**53 + 1)
    env.timeout(3)

    async def main():
        await asyncio.sleep(0.25)
        times = [time()]
        await asyncio.sleep(10)
        return [*times, time()]

    times = run_in_virtual_time(main(), env=env)
    assert all(type(at) is float for at in times)
    assert 2**53 < times[0] < times[1]


def test_call_at_takes_integers():
    async def main():
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        loop.call_at(7, lambda: fired.set_result(loop.time()))
        return await fired

    at = run_in_virtual_time(main())
    assert at == 7.0
    assert type(at) is float


def test_numbers_of_numpy_do_not_take_precision_from_the_clock():
    async def main():
        await asyncio.get_running_loop().env.timeout(np.float32(0.25))
        await asyncio.sleep(1e8)
        await asyncio.sleep(np.float32(0.25))
        await asyncio.sleep(0.25)
        return time()

    end = run_in_virtual_time(main())
    assert type(end) is float
    assert end == 1e8 + 0.75


def test_a_timer_at_infinity_never_comes():
    async def main():
        loop = asyncio.get_running_loop()
        never = loop.call_at(math.inf, pytest.fail)
        asyncio.get_running_loop().env.timeout(math.inf)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(math.inf), timeout=5.0)
        return loop.time(), never.when()

    assert run_in_virtual_time(main()) == (5.0, math.inf)


def test_not_a_number_is_no_time():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="NaN"):
            loop.call_later(math.nan, print)
        with pytest.raises(ValueError, match="NaN"):
            loop.call_at(math.nan, print)
        with pytest.raises(TypeError):
            loop.call_later(None, print)

    run_in_virtual_time(main())


def test_a_time_that_has_passed_is_now():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(10.0)
        times = []
        loop.call_at(3.0, lambda: times.append(loop.time()))
        loop.call_later(-1.0, lambda: times.append(loop.time()))
        assert loop.env.peek() == 10.0
        await asyncio.sleep(1.0)
        return times

    assert run_in_virtual_time(main()) == [10.0, 10.0]
