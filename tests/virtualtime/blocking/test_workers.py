"""What asyncio code hands to an executor may wait in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from virtualtime.blocking.together import now

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import blocking_calls, inside, run, sleep

VARIABLE = contextvars.ContextVar("variable", default="unset")


def within(main):
    """Run the coroutine function `main` with blocking calls."""

    async def entered():
        with blocking_calls(asyncio.get_running_loop()):
            return await main()

    return run_in_virtual_time(entered())


def work(seconds=1.0):
    assert inside()
    sleep(seconds)
    return now()


def test_functions_in_threads_wait_at_the_same_time():
    async def main():
        return await asyncio.gather(*(asyncio.to_thread(work, seconds) for seconds in (3, 1, 2)))

    assert within(main) == [3, 1, 2]


def test_a_function_that_does_not_wait_has_run_when_it_is_handed_over():
    seen = []

    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, seen.append, 1)
        assert seen == [1]
        assert not future.done()
        await future
        assert now() == 0

    within(main)


@pytest.mark.parametrize("pause", [0, 1])
def test_what_it_raises_is_raised_where_it_is_awaited(pause):
    def fail(error):
        if pause:
            sleep(pause)
        raise error

    async def main():
        with pytest.raises(LookupError, match="no such"):
            await asyncio.to_thread(fail, LookupError("no such"))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(fail, StopIteration())

    within(main)


@pytest.mark.parametrize("pause", [0, 1])
def test_what_ends_a_program_ends_the_run(pause):
    def fail():
        if pause:
            sleep(pause)
        raise KeyboardInterrupt

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await asyncio.to_thread(fail)

    with pytest.raises(KeyboardInterrupt):
        within(main)


def test_an_executor_has_as_many_workers_as_it_was_given():
    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as pool:
            ended = [loop.run_in_executor(pool, work) for _ in range(5)]
            others = asyncio.gather(*(asyncio.to_thread(work) for _ in range(40)))
            assert await asyncio.gather(*ended) == [1, 1, 2, 2, 3]
            assert sorted(await others) == [1] * 32 + [2] * 8

    within(main)


def test_a_thread_goes_on_when_nobody_waits_for_it_any_more():
    seen = []

    def work_and_tell():
        seen.append(work(5))

    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.run_in_executor(pool, work_and_tell), 2)
            assert now() == 2
            # What is cancelled in line never begins.
            loop.run_in_executor(pool, work_and_tell).cancel()
            assert await loop.run_in_executor(pool, work) == 6
        assert seen == [5]

    within(main)


def test_a_function_has_a_copy_of_the_context():
    def function():
        before = VARIABLE.get()
        sleep(1)
        VARIABLE.set("from the thread")
        sleep(1)
        return before, VARIABLE.get()

    async def main():
        VARIABLE.set("mine")
        assert await asyncio.to_thread(function) == ("mine", "from the thread")
        assert VARIABLE.get() == "mine"

    within(main)


def test_blocking_code_can_wait_for_the_loop():
    """`run_coroutine_threadsafe(...).result()`, which stands still in a thread."""

    async def answer():
        await asyncio.sleep(3)
        return "an answer"

    def function(loop):
        return asyncio.run_coroutine_threadsafe(answer(), loop).result(timeout=5), now()

    async def main():
        loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(function, loop) == ("an answer", 3)
        assert await run(function, loop) == ("an answer", 6)

    within(main)


def test_locks_exclude_them():
    lock = threading.Lock()

    def hold():
        with lock:
            return work()

    async def main():
        assert sorted(await asyncio.gather(*(asyncio.to_thread(hold) for _ in range(3)))) == [1, 2, 3]

    within(main)


def test_without_blocking_calls_executors_stay_inline():
    async def main():
        assert not await asyncio.to_thread(inside)

    run_in_virtual_time(main())
    within(nothing)
    run_in_virtual_time(main())


async def nothing():
    pass


def test_asyncio_run_in_blocking_code_runs_on_the_loop_that_there_is():
    async def answer():
        VARIABLE.set("of the coroutine")
        await asyncio.sleep(3)
        return "an answer"

    def function():
        with pytest.raises(ValueError, match="a coroutine was expected"):
            asyncio.run(5)
        return asyncio.run(answer()), VARIABLE.get()

    async def main():
        assert await run(function) == ("an answer", "unset")
        assert now() == 3
        task = asyncio.ensure_future(run(function))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    real = asyncio.run
    within(main)
    assert asyncio.run is real
