"""Code that never comes back to the loop."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import BlockedLoopError
from simsla.virtualtime.busy import busy_loops_ended


def watched(main, limit_s=0.1):
    async def entered():
        with busy_loops_ended(asyncio.get_running_loop(), limit_s):
            return await main()

    return run_in_virtual_time(entered())


async def spin():
    while True:
        pass


def test_a_loop_that_never_waits_is_ended_with_its_place():
    with pytest.raises(BlockedLoopError, match=r"a busy loop blocks.*test_busy\.py:\d+ in spin"):
        watched(spin)


def test_one_that_catches_everything_is_cancelled():
    async def stubborn():
        while True:
            try:
                await spin()
            except Exception:
                caught.append(1)

    caught = []
    with pytest.raises(asyncio.CancelledError):
        watched(stubborn)
    assert caught == [1]


def test_work_that_gives_way_is_left_alone():
    async def work():
        for turn in range(60):
            sum(range(200_000))
            await asyncio.sleep(0 if turn % 2 else 1)
        return "done"

    assert watched(work) == "done"


def test_the_timer_and_its_handler_are_given_back():
    async def nothing():
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[1] == pytest.approx(30)

    watched(nothing, 60)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL


def test_a_timer_of_somebody_else_is_left_alone_and_so_is_another_thread():
    async def nothing():
        return signal.getsignal(signal.SIGVTALRM)

    handler = signal.signal(signal.SIGVTALRM, signal.SIG_IGN)
    try:
        assert watched(nothing) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGVTALRM, handler)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(watched(nothing)))
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
