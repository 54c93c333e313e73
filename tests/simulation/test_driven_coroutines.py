"""asyncio code run from within a blocking call, as litellm's blocking methods do."""

from __future__ import annotations

import asyncio

import pytest

from simsla.integrations.litellm_blocking import driven
from simsla.virtualtime import SimEventLoop, blocking


def simulated(function):
    """What a blocking function returns, and the virtual time that it took."""

    async def main():
        began = asyncio.get_running_loop().time()
        result = await blocking.run(function)
        return result, asyncio.get_running_loop().time() - began

    with asyncio.Runner(loop_factory=SimEventLoop) as runner, blocking.blocking_calls(runner.get_loop()):
        return runner.run(main())


def test_it_waits_wherever_the_coroutine_does():
    async def work():
        await asyncio.sleep(0)
        await asyncio.sleep(2)
        return await asyncio.wait_for(asyncio.sleep(3, "done"), 10)

    assert simulated(lambda: driven(work())) == ("done", 5.0)


def test_blocking_code_within_it_can_wait_too():
    async def work():
        blocking.sleep(1.5)
        await asyncio.sleep(0.5)
        return "both"

    assert simulated(lambda: driven(work())) == ("both", 2.0)


def test_errors_go_where_they_belong():
    async def fail():
        await asyncio.sleep(1)
        raise LookupError("inside")

    async def work():
        with pytest.raises(LookupError):
            await asyncio.create_task(fail())
        raise KeyError("out")

    def call():
        with pytest.raises(KeyError, match="out"):
            driven(work())
        return "caught"

    assert simulated(call) == ("caught", 1.0)


def test_tasks_of_the_coroutine_run_at_once():
    async def work():
        return await asyncio.gather(asyncio.sleep(2, "a"), asyncio.sleep(3, "b"))

    assert simulated(lambda: driven(work())) == (["a", "b"], 3.0)


def test_a_limit_of_time_ends_it():
    async def work():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await asyncio.sleep(100)
        return "limited"

    assert simulated(lambda: driven(work())) == ("limited", 4.0)


def test_cancelling_the_call_cancels_the_coroutine():
    seen = []

    async def work():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append(asyncio.get_running_loop().time())
            raise

    async def main():
        task = asyncio.create_task(blocking.run(lambda: driven(work())))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=SimEventLoop) as runner, blocking.blocking_calls(runner.get_loop()):
        runner.run(main())
    assert seen == [1.0]
