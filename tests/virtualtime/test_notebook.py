"""Virtual time where an event loop runs in this thread already, as in a cell of a notebook."""

import asyncio
import contextvars

import pytest

from simsla.virtualtime import (
    DeadlockError,
    SimEventLoop,
    VirtualTimeError,
    run_in_virtual_time,
    running_loop_set_aside,
)

variable = contextvars.ContextVar("variable", default="unset")


async def sleeper(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time()


def as_in_a_notebook(cell):
    """Call `cell` in a task of a real loop, and check that it finds its loop and task again."""

    async def kernel():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        ticks = []

        async def heartbeat():
            while True:
                ticks.append(loop.time())
                await asyncio.sleep(0)

        beating = asyncio.create_task(heartbeat())
        await asyncio.sleep(0)
        try:
            beats = len(ticks)
            return cell()
        finally:
            assert len(ticks) == beats
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
            # The real loop goes on as if nothing had been.
            async with asyncio.timeout(60):
                await asyncio.sleep(0.001)
            assert len(ticks) > beats
            beating.cancel()

    return asyncio.run(kernel())


def test_it_runs_inside_a_running_loop():
    assert as_in_a_notebook(lambda: run_in_virtual_time(sleeper(1e6))) == 1e6


def test_it_runs_without_one():
    assert run_in_virtual_time(sleeper(2.0)) == 2.0
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_inside_only_the_virtual_loop_is_seen():
    async def main():
        assert isinstance(asyncio.get_running_loop(), SimEventLoop)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return variable.get()

    def cell():
        variable.set("set in the cell")
        return run_in_virtual_time(main())

    assert as_in_a_notebook(cell) == "set in the cell"


async def fails():
    await asyncio.sleep(1.0)
    raise LookupError("a bug in the policy")


async def deadlocks():
    await asyncio.Event().wait()


async def interrupted():
    await asyncio.sleep(1.0)
    raise KeyboardInterrupt


async def event_fails():
    asyncio.get_running_loop().env.event().fail(ValueError("nobody listens"))
    await asyncio.sleep(1.0)


@pytest.mark.parametrize(
    ("main", "error"),
    [
        (fails, LookupError),
        (deadlocks, DeadlockError),
        (event_fails, ValueError),
    ],
)
def test_the_real_loop_is_back_after_an_error(main, error):
    def cell():
        with pytest.raises(error):
            run_in_virtual_time(main())
        return "went on"

    assert as_in_a_notebook(cell) == "went on"


def test_the_real_loop_is_back_after_an_interrupt():
    def cell():
        try:
            run_in_virtual_time(interrupted())
        except KeyboardInterrupt:
            return "went on"

    assert as_in_a_notebook(cell) == "went on"


def test_the_real_loop_is_back_after_a_refusal():
    loop = SimEventLoop()

    def cell():
        main = sleeper(1.0)
        with pytest.raises(VirtualTimeError):
            run_in_virtual_time(main, env=loop.env)
        main.close()
        return "went on"

    assert as_in_a_notebook(cell) == "went on"
    loop.close()


def test_virtual_time_nests():
    async def outer():
        await asyncio.sleep(3.0)
        inner = run_in_virtual_time(sleeper(10.0))
        await asyncio.sleep(4.0)
        return inner, asyncio.get_running_loop().time()

    assert as_in_a_notebook(lambda: run_in_virtual_time(outer())) == (10.0, 7.0)


def test_a_loop_of_ones_own_runs_where_the_running_one_is_set_aside():
    def cell():
        loop = SimEventLoop()
        coroutine = sleeper(5.0)
        with pytest.raises(RuntimeError, match="another loop is running"):
            loop.run_until_complete(coroutine)
        with running_loop_set_aside():
            end = loop.run_until_complete(coroutine)
        loop.close()
        return end

    assert as_in_a_notebook(cell) == 5.0


def test_asynchronous_generators_of_both_loops_are_finalised_by_their_own():
    ended = []

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append(type(asyncio.get_running_loop()) is SimEventLoop)

    async def drop_one():
        async for _ in generator():
            break
        await asyncio.sleep(0.01)

    async def kernel():
        await drop_one()
        run_in_virtual_time(drop_one())
        await drop_one()

    asyncio.run(kernel())
    assert ended == [False, True, False]
