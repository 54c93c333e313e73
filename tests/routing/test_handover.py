"""Values from the depth of a coroutine, in the task of whoever takes them."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from routing.fakes import play

from simsla.routing.router.handover import Handover, give

color = contextvars.ContextVar("color", default="none")


async def deep(log, *, fails=None):
    log.append(asyncio.current_task())
    color.set("inner")
    try:
        for number in range(3):
            await asyncio.sleep(1)
            await give(number)
        if fails is not None:
            raise fails
    finally:
        await asyncio.sleep(0.5)
        log.append("left")
    return "result"


def test_every_value_and_then_the_result_in_one_task():
    async def main():
        loop, log = asyncio.get_running_loop(), []
        start = loop.time()
        work = Handover(deep(log))
        taken = []
        while (value := await work.take()) is not None:
            assert work.result is None
            taken.append((value, round(loop.time() - start, 6)))
            await asyncio.sleep(0.25)
        assert taken == [(0, 1), (1, 2.25), (2, 3.5)]
        assert loop.time() - start == pytest.approx(4.25)
        assert (work.result, log) == ("result", [asyncio.current_task(), "left"])
        assert color.get() == "inner", "the context variables are the taker's"
        await work.aclose()

    play(main())


def test_what_the_coroutine_raises_is_raised_to_the_taker():
    async def main():
        log, mistake = [], ValueError("mistake")
        work = Handover(deep(log, fails=mistake))
        for number in range(3):
            assert await work.take() == number
        with pytest.raises(ValueError, match="mistake") as caught:
            await work.take()
        assert caught.value is mistake
        assert log[-1] == "left"
        await work.aclose()

    play(main())


def test_closing_cancels_it_where_it_stands_and_waits_for_its_end():
    async def main():
        log = []
        work = Handover(deep(log))
        await work.take()
        await work.aclose()
        assert log[-1] == "left"
        assert asyncio.current_task().cancelling() == 0
        await work.aclose()

    play(main())


def test_a_cancellation_of_the_taker_reaches_the_coroutine():
    async def take(log):
        work = Handover(deep(log))
        while await work.take() is not None:
            pass

    async def main():
        log = []
        task = asyncio.create_task(take(log))
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log[-1] == "left"

    play(main())


def test_a_cancellation_while_closing_is_not_swallowed():
    async def close(log):
        work = Handover(deep(log))
        await work.take()
        await work.aclose()

    async def main():
        log = []
        task = asyncio.create_task(close(log))
        await asyncio.sleep(1.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == [task]

    play(main())


def test_an_inner_timeout_ends_the_waiting_and_nothing_else():
    async def patient():
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(9)
        except TimeoutError:
            await give("too late")
        return "done"

    async def main():
        work = Handover(patient())
        assert await work.take() == "too late"
        assert await work.take() is None
        assert work.result == "done"

    play(main())
