from __future__ import annotations

import asyncio
import logging

import pytest
from routing.fakes import play

from simsla.routing.router.guard import Background, Guard

PRIVATE = "sk-very-secret"


async def fail():
    raise ValueError(PRIVATE)


async def give(value):
    return value


def test_a_failure_gives_the_default_and_is_counted():
    guard = Guard()

    async def main():
        assert await guard.run("cache", give(1), 0) == 1
        assert await guard.run("cache", fail(), 0) == 0
        assert await guard.run("cache", asyncio.sleep(10), 0, limit_s=1.0) == 0
        assert await guard.run("cache", give(2), 0, limit_s=1.0) == 2
        assert asyncio.get_running_loop().time() == 1001.0

    play(main())
    assert guard.call("check", int, "no number", default=-1) == -1
    assert guard.call("check", int, "7") == 7
    assert guard.swallowed == {"cache": 2, "check": 1}


def test_the_log_warns_once_for_each_part_and_keeps_the_text_of_the_error_to_itself(caplog):
    guard = Guard()
    with caplog.at_level(logging.DEBUG, logger="simsla.routing"):
        for part in ("cache", "check", "cache"):
            play(guard.run(part, fail(), None))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "DEBUG"]
    assert all("ValueError" in record.message for record in caplog.records)
    assert PRIVATE not in caplog.text


@pytest.mark.parametrize("limit_s", [None, 5.0])
def test_a_cancellation_is_the_callers(limit_s):
    guard = Guard()

    async def main():
        task = asyncio.ensure_future(guard.run("cache", asyncio.sleep(10), "default", limit_s))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main())
    assert not guard.swallowed


@pytest.mark.parametrize("limit_s", [None, 5.0])
def test_a_cancellation_that_a_part_came_upon_is_its_failure(limit_s):
    guard = Guard()

    async def main():
        connection = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1.0, connection.cancel)
        return await guard.run("cache", connection, "default", limit_s)

    assert play(main()) == "default"
    assert guard.swallowed == {"cache": 1}


def test_an_exit_is_not_swallowed():
    def leave():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guard().call("cache", leave)


def test_background_work_is_bounded_guarded_and_goes_on_when_its_request_is_cancelled():
    guard = Guard()
    background = Background(guard, 2)
    done = []

    async def work(name):
        await asyncio.sleep(1)
        done.append(name)

    async def request():
        assert background.start("check", lambda: work("a"))
        assert background.start("check", fail)
        assert not background.start("check", lambda: work("c")), "there is no room for a third"
        await asyncio.sleep(100)

    async def main():
        task = asyncio.ensure_future(request())
        await asyncio.sleep(0.5)
        assert len(background) == 1
        task.cancel()
        await asyncio.sleep(1)
        assert background.start("check", lambda: done.append("plain"))
        assert background.start("check", lambda: work("never done"))
        await background.close()
        assert len(background) == 0

    play(main())
    assert done == ["a", "plain"]
    assert guard.swallowed == {"check": 1}


def test_closing_before_the_first_step_leaves_no_coroutine_behind(recwarn):
    async def main():
        background = Background(Guard(), 5)
        background.start("check", lambda: give(1))
        await background.close()
        await background.close()

    play(main())
    assert not [warning for warning in recwarn if "never awaited" in str(warning.message)]


def test_closing_does_not_wait_for_ever():
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                await asyncio.sleep(20.0)
                return

    async def main():
        background = Background(Guard(), 5)
        background.start("check", stubborn)
        await asyncio.sleep(1)
        start = asyncio.get_running_loop().time()
        await background.close()
        assert asyncio.get_running_loop().time() - start == 5.0
        await asyncio.sleep(20.0)
        assert len(background) == 0

    play(main())
