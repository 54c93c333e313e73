"""Runs that can never go on end with an error that says who waits for what."""

import asyncio
import re

import pytest
import simpy

from simsla.virtualtime import DeadlockError, LivelockError, SimEventLoop, run_in_virtual_time


async def wait_for_a_lock(lock: asyncio.Lock) -> None:
    async with lock:
        pass


def deadlock_of(main) -> DeadlockError:
    with pytest.raises(DeadlockError) as caught:
        run_in_virtual_time(main())
    return caught.value


def test_a_deadlock_names_the_tasks_their_place_and_what_they_await():
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        await asyncio.sleep(90.5)
        task = asyncio.create_task(wait_for_a_lock(lock), name="worker")
        await task

    error = deadlock_of(main)
    assert "deadlock at 90.5 s" in str(error)
    assert "2 unfinished task(s)" in str(error)
    waiting_main, worker = error.waiting
    assert "(test_a_deadlock_names_the_tasks_their_place_and_what_they_await.<locals>.main)" in waiting_main
    assert waiting_main.endswith("awaiting task 'worker'")
    assert re.search(r"task 'worker' \(wait_for_a_lock\) at .*test_stuck\.py:\d+ in wait_for_a_lock", worker)
    assert worker.endswith("awaiting Lock.acquire")
    assert all(line in str(error) for line in error.waiting)


@pytest.mark.parametrize(
    ("wait", "awaited"),
    [
        (lambda loop: asyncio.Event().wait(), "Event.wait"),
        (lambda loop: asyncio.Queue().get(), "Queue.get"),
        (lambda loop: asyncio.Semaphore(0).acquire(), "Semaphore.acquire"),
        (lambda loop: loop.create_future(), "a Future"),
        (lambda loop: asyncio.gather(loop.create_future()), "a _GatheringFuture"),
        (lambda loop: loop.env.event(), "the SimPy event Event()"),
        (lambda loop: simpy.Store(loop.env).get(), "the SimPy event StoreGet()"),
        (lambda loop: asyncio.sleep(float("inf")), "sleep"),
        (lambda loop: asyncio.wait([loop.create_future()]), "wait"),
    ],
)
def test_what_is_awaited_is_named(wait, awaited):
    async def main():
        await wait(asyncio.get_running_loop())

    (line,) = deadlock_of(main).waiting
    assert line.endswith(f"awaiting {awaited}")
    assert "in test_what_is_awaited_is_named.<locals>.main" in line


def test_the_innermost_place_of_the_users_own_code_is_shown():
    async def inner(event):
        await event.wait()

    async def generator(event):
        await inner(event)
        yield

    async def main():
        async for _ in generator(asyncio.Event()):
            pass

    (line,) = deadlock_of(main).waiting
    assert "test_stuck.py" in line


def test_a_withdrawn_request_is_a_deadlock_not_a_hang():
    async def main():
        store = simpy.Store(asyncio.get_running_loop().env)
        item = store.get()
        asyncio.get_running_loop().call_later(1.0, item.cancel)
        await item

    error = deadlock_of(main)
    assert "1 s of virtual time" in str(error)
    assert "StoreGet" in str(error)


def test_times_are_readable():
    async def main():
        await asyncio.sleep(2 * 86_400 + 3 * 3_600 + 4 * 60 + 5.25)
        await asyncio.Event().wait()

    assert "at 183,845.25 s (2 d 03:04:05) of" in str(deadlock_of(main))


def test_tasks_are_named_in_the_order_of_their_creation_and_the_message_stays_short():
    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(asyncio.Event().wait(), name=f"waiter {number}")

    error = deadlock_of(main)
    assert len(error.waiting) == 501
    names = [re.match("task '(.*?)'", line)[1] for line in error.waiting[1:]]
    assert names == [f"waiter {number}" for number in range(500)]
    assert "and 481 more" in str(error)
    assert len(str(error).splitlines()) == 22


def test_after_a_deadlock_finally_blocks_run_in_virtual_time():
    ends = []

    async def main():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5.0)
            ends.append(asyncio.get_running_loop().time())

    deadlock_of(main)
    assert ends == [5.0]


def test_run_forever_with_nothing_to_do_is_a_deadlock():
    loop = SimEventLoop()
    with pytest.raises(DeadlockError, match="0 unfinished"):
        loop.run_forever()
    loop.close()


def test_a_loop_without_time_is_a_livelock(monkeypatch):
    monkeypatch.setattr(SimEventLoop, "max_rounds_per_instant", 1_000)

    async def spin():
        while True:
            await asyncio.sleep(0)

    async def main():
        await asyncio.sleep(7.0)
        await asyncio.create_task(spin(), name="spinner")

    with pytest.raises(LivelockError, match=r"(?s)at 7 s .*1,000 rounds.*'spinner'.*test_stuck.py"):
        run_in_virtual_time(main())


def test_timers_without_delay_are_a_livelock():
    loop = SimEventLoop()
    loop.max_rounds_per_instant = 1_000

    def again():
        loop.call_later(0, again)

    loop.call_later(3.0, again)
    with pytest.raises(LivelockError, match="at 3 s"):
        loop.run_forever()
    loop.close()


def test_an_executor_polled_without_a_pause_is_a_livelock(monkeypatch):
    monkeypatch.setattr(SimEventLoop, "max_rounds_per_instant", 1_000)

    async def main():
        while not await asyncio.to_thread(bool):
            pass

    with pytest.raises(LivelockError):
        run_in_virtual_time(main())


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_a_simpy_process_without_time_is_a_livelock(monkeypatch, start):
    monkeypatch.setattr(SimEventLoop, "max_rounds_per_instant", 1_000)

    def process(env):
        yield env.timeout(start)
        while True:
            yield env.timeout(0)

    async def main():
        env = asyncio.get_running_loop().env
        try:
            await env.process(process(env))
        finally:
            ends.append(env.now)

    ends = []
    with pytest.raises(LivelockError, match="1,000 entries of the calendar"):
        run_in_virtual_time(main())
    assert ends == [start]


def test_many_rounds_at_many_instants_are_no_livelock(monkeypatch):
    monkeypatch.setattr(SimEventLoop, "max_rounds_per_instant", 50)

    async def main():
        for _ in range(100):
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.sleep(1e-9)

    run_in_virtual_time(main())
