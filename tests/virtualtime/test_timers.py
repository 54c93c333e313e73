"""Timers: their order at one instant, their handles, and that dead ones do not pile up."""

import asyncio
import heapq

import pytest

from simsla.virtualtime import SimEventLoop, run_in_virtual_time


@pytest.fixture
def loop():
    loop = SimEventLoop()
    yield loop
    loop.close()


def run_for(loop: SimEventLoop, seconds: float) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


def test_timers_due_at_one_instant_all_fire_before_what_they_wake(loop):
    order = []

    def fire(name):
        order.append(name)
        loop.call_soon(order.append, f"woken by {name}")

    for name in "abc":
        loop.call_later(1.0, fire, name)
    run_for(loop, 2.0)
    assert order == ["a", "b", "c", "woken by a", "woken by b", "woken by c"]


def test_timers_and_simpy_events_share_one_order(loop):
    order = []
    loop.call_later(1.0, order.append, "timer 1")
    event = loop.env.timeout(1.0)
    event.callbacks.append(lambda _: order.append("event"))
    event.callbacks.append(lambda _: loop.call_soon(order.append, "woken by the event"))
    loop.call_later(1.0, order.append, "timer 2")
    run_for(loop, 2.0)
    # An event runs its callbacks as it is taken from the calendar; timers are ready then, in their order.
    assert order == ["event", "timer 1", "woken by the event", "timer 2"]


def test_thousands_of_timers_at_one_instant_keep_their_order(loop):
    order = []
    for number in range(5_000):
        loop.call_at(3.0, order.append, number)
    run_for(loop, 3.0)
    assert order == list(range(5_000))
    assert loop.time() == 3.0


def test_a_timer_for_now_waits_for_the_next_round(loop):
    order = []

    def fire():
        loop.call_later(0, order.append, "later")
        loop.call_soon(order.append, "soon")
        order.append("fired")

    loop.call_later(1.0, fire)
    run_for(loop, 1.5)
    assert order == ["fired", "soon", "later"]


def test_a_timer_can_cancel_another_that_is_due_at_the_same_instant(loop):
    fired = []
    loop.call_later(1.0, lambda: second.cancel())
    second = loop.call_later(1.0, fired.append, "second")
    run_for(loop, 2.0)
    assert fired == []
    assert second.cancelled()


def test_a_callback_can_cancel_its_own_handle(loop):
    fired = []

    def fire():
        fired.append(1)
        handle.cancel()

    handle = loop.call_later(1.0, fire)
    run_for(loop, 2.0)
    assert fired == [1]


def test_a_callback_that_is_ready_can_be_cancelled(loop):
    fired = []
    handle = loop.call_soon(fired.append, 1)
    handle.cancel()
    run_for(loop, 1.0)
    assert fired == []


def test_handles_have_the_interface_of_asyncios(loop):
    soon, timer = loop.call_soon(print, "now"), loop.call_at(4.0, print, "then")
    assert timer.when() == 4.0
    assert (soon.cancelled(), timer.cancelled()) == (False, False)
    assert timer.get_context() is not None
    assert "SimTimerHandle print(" in repr(timer)
    assert "SimHandle print(" in repr(soon)
    timer.cancel()
    timer.cancel()
    assert timer.cancelled()
    assert "cancelled" in repr(timer)
    assert soon == soon
    assert soon != loop.call_soon(print, "now")
    assert len({soon, timer}) == 2


def test_a_callback_takes_any_number_of_arguments_and_a_context(loop):
    calls = []
    for count in range(5):
        loop.call_soon(lambda *args: calls.append(("soon", args)), *range(count))
        loop.call_later(1.0 + count, lambda *args: calls.append(("later", args)), *range(count))
    run_for(loop, 10.0)
    expected = [tuple(range(count)) for count in range(5)]
    assert calls == [("soon", args) for args in expected] + [("later", args) for args in expected]


def test_a_million_cancelled_timeouts_leave_a_small_calendar():
    async def main():
        env = asyncio.get_running_loop().env
        longest = 0
        for _ in range(1_000):
            for _ in range(1_000):
                asyncio.get_running_loop().call_later(600.0, print).cancel()
            longest = max(longest, len(env._queue))
            await asyncio.sleep(0.001)
        return longest

    assert run_in_virtual_time(main()) < 200


def test_timeouts_of_requests_in_flight_leave_a_small_calendar():
    async def request():
        async with asyncio.timeout(600.0):
            await asyncio.sleep(1.0)

    async def main():
        longest = 0
        async with asyncio.TaskGroup() as group:
            for _ in range(5_000):
                group.create_task(request())
                await asyncio.sleep(0.01)
                longest = max(longest, len(asyncio.get_running_loop().env._queue))
        return longest

    # A hundred requests are in flight, each with two timers; dead ones are at most as many again.
    assert run_in_virtual_time(main()) < 500


@pytest.fixture
def sweeps(monkeypatch):
    """One item for each time that the calendar is built anew."""
    sweeps, heapify = [], heapq.heapify
    monkeypatch.setattr(heapq, "heapify", lambda queue: (sweeps.append(len(queue)), heapify(queue)))
    return sweeps


def test_sweeps_are_rare(loop, sweeps):
    for _ in range(10_000):
        loop.call_later(600.0, print).cancel()
    assert 0 < len(sweeps) < 10_000 / 50


def test_dead_timers_that_time_has_passed_cause_no_sweep(loop, sweeps):
    for _ in range(1_000):
        loop.call_later(1.0, print).cancel()
        loop.call_later(2.0, loop.stop)
        loop.call_later(2.0, print).cancel()
        loop.run_forever()
    assert sweeps == []


def test_sweeping_dead_timers_keeps_the_living_and_simpys_events():
    async def main():
        loop = asyncio.get_running_loop()
        fired = []
        for number in range(1_000):
            timer = loop.call_later(1_000 - number, fired.append, number)
            if number % 10:
                timer.cancel()
        event = loop.env.timeout(2_000.0, value="kept")
        assert len(loop.env._queue) < 400
        assert await event == "kept"
        return fired

    assert run_in_virtual_time(main()) == list(range(990, -1, -10))
