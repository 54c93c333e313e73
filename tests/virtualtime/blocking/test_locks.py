"""Locks, and what stands on them, exclude blocking calls as they exclude threads."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading

import pytest
from virtualtime.blocking.together import now, together

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import (
    BlockedLoopError,
    VirtualLock,
    VirtualRLock,
    blocking_calls,
    run,
    sleep,
)

MADE_EARLY = {
    "Lock": threading.Lock(),
    "RLock": threading.RLock(),
    "Condition": threading.Condition(),
    "Condition of a Lock": threading.Condition(threading.Lock()),
    "Semaphore": threading.Semaphore(),
    "BoundedSemaphore": threading.BoundedSemaphore(),
}
KINDS = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")


def hold(lock, seconds=1.0):
    with lock:
        sleep(seconds)
    return now()


@pytest.mark.parametrize("kind", list(MADE_EARLY))
def test_a_lock_that_exists_already_excludes(kind):
    calls = [lambda: hold(MADE_EARLY[kind])] * 4
    assert together(*calls) == ([1, 2, 3, 4], 4)
    # The same lock in a second run.
    assert together(*calls) == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_is_made_in_the_run_excludes(kind):
    locks = []

    def call():
        if not locks:
            locks.append(getattr(threading, kind)())
        return hold(locks[0])

    assert together(*[call] * 3) == ([1, 2, 3], 3)
    # It is an ordinary lock afterwards, for other threads too.
    with locks[0]:
        seen = []
        other = threading.Thread(target=lambda: seen.append(locks[0].acquire(blocking=False)))
        other.start()
        other.join()
        assert seen == [False]


def test_who_waited_first_is_first():
    lock = MADE_EARLY["Lock"]
    order = []

    def call(name, arrives):
        sleep(arrives)
        with lock:
            order.append(name)
            sleep(10)

    together(
        *(
            functools.partial(call, name, arrives)
            for name, arrives in (("c", 3), ("a", 1), ("b", 2), ("d", 4))
        )
    )
    assert order == ["a", "b", "c", "d"]


def test_an_rlock_lets_its_owner_in_again_and_nobody_else():
    lock = MADE_EARLY["RLock"]

    def owner():
        with lock, lock:
            sleep(1)
            assert lock._is_owned()
        sleep(1)
        return hold(lock, 0)

    def other():
        assert not lock._is_owned()
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()
        assert not lock.acquire(blocking=False)
        return hold(lock, 0)

    assert together(owner, other)[0] == [2, 1]


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition", "Semaphore"])
def test_acquire_gives_up_after_its_timeout(kind):
    lock = MADE_EARLY[kind]
    seen = []

    def impatient():
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=3)
        seen.append(now())
        assert lock.acquire(timeout=7.5)
        seen.append(now())
        lock.release()

    together(lambda: hold(lock, 10), impatient)
    assert seen == [3, 10]


@pytest.mark.parametrize("lock", [VirtualLock(), VirtualRLock()])
def test_arguments_are_those_of_the_real_one(lock):
    real = threading.Lock()
    for arguments, error in (
        ((False, 1), ValueError),
        ((True, -2), ValueError),
        ((True, 1e300), OverflowError),
    ):
        with pytest.raises(error) as expected:
            real.acquire(*arguments)
        with pytest.raises(error) as caught:
            lock.acquire(*arguments)
        assert str(caught.value) == str(expected.value)
    with pytest.raises(RuntimeError):
        lock.release()
    assert lock.acquire(timeout=-1)
    lock.release()
    assert not lock.locked()


def test_a_waiter_that_is_cancelled_leaves_the_line():
    lock = MADE_EARLY["Lock"]

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            first, second, third = (asyncio.ensure_future(run(hold, lock, 10)) for _ in range(3))
            await asyncio.sleep(5)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            assert now() == 5
            assert await asyncio.gather(first, third) == [10, 20]

    run_in_virtual_time(main())


def test_a_lock_is_not_lost_with_a_waiter_that_is_cancelled_as_it_is_handed_over():
    lock = MADE_EARLY["RLock"]
    tasks = []

    def release_and_cancel():
        with lock:
            sleep(1)
        tasks[1].cancel()

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            tasks.extend(asyncio.ensure_future(run(call)) for call in (release_and_cancel, waiter, waiter))
            assert (await asyncio.gather(*tasks, return_exceptions=True))[2] == 1

    def waiter():
        return hold(lock, 0)

    run_in_virtual_time(main())
    assert tasks[1].cancelled()


def test_a_lock_is_free_when_the_call_that_held_it_was_ended():
    lock = MADE_EARLY["RLock"]

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            background = [asyncio.ensure_future(run(hold, lock, 1e6)) for _ in range(3)]
            await asyncio.sleep(1)
        for task in background:
            task.cancel()

    run_in_virtual_time(main())
    assert together(lambda: hold(lock)) == ([1], 1)


# What is built on locks


def test_an_event_and_a_condition_wake_those_who_wait():
    event, condition = threading.Event(), MADE_EARLY["Condition"]
    items = []

    def wait_for_event():
        assert not event.wait(timeout=2)
        early = now()
        assert event.wait()
        return early, now()

    def wait_for_items():
        with condition:
            assert condition.wait_for(lambda: len(items) == 2)
            return now()

    def produce():
        for item in range(2):
            sleep(5)
            with condition:
                items.append(item)
                condition.notify_all()
        event.set()

    assert together(wait_for_event, wait_for_items, produce)[0] == [(2, 10), 10, None]


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
@pytest.mark.parametrize("early", [True, False])
def test_a_queue_hands_over_items(kind, early):
    queues = [getattr(queue, kind)()] if early and kind != "SimpleQueue" else []

    def shared():
        if not queues:
            queues.append(getattr(queue, kind)())
        return queues[0]

    def consume():
        return [(shared().get(), now()) for _ in range(2)]

    def produce():
        for item in range(4):
            sleep(1)
            shared().put(item)

    (first, second, _), _ = together(consume, consume, produce)
    assert sorted(first + second) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_a_full_queue_makes_its_producer_wait():
    shared = queue.Queue(maxsize=1)

    def produce():
        for item in range(3):
            shared.put(item)
        return now()

    def consume():
        for _ in range(3):
            sleep(2)
            shared.get()
            shared.task_done()

    def join():
        sleep(1)
        shared.join()
        return now()

    assert together(produce, consume, join)[0] == [4, None, 6]


def test_a_semaphore_admits_as_many_as_it_says():
    semaphore = threading.Semaphore(2)
    assert together(*[lambda: hold(semaphore)] * 5)[0] == [1, 1, 2, 2, 3]


def test_a_barrier_waits_for_all():
    barrier = threading.Barrier(3)

    def call(arrives):
        sleep(arrives)
        barrier.wait()
        return now()

    assert together(*(functools.partial(call, arrives) for arrives in (1, 2, 3)))[0] == [3, 3, 3]


# Asyncio code


@pytest.mark.parametrize("timeout", [-1, 5])
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_asyncio_code_that_would_stop_the_loop_is_refused(kind, timeout):
    lock = MADE_EARLY[kind]

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            background = asyncio.ensure_future(run(hold, lock))
            await asyncio.sleep(0)
            assert not lock.acquire(blocking=False)
            with pytest.raises(
                BlockedLoopError, match=rf"threading\.{kind}.*'hold' at .*test_locks\.py:\d+ holds"
            ):
                lock.acquire(timeout=timeout)
            await background
            # A lock that nobody holds simply works.
            with lock:
                await asyncio.sleep(1)

    run_in_virtual_time(main())


def test_waiting_for_an_event_in_asyncio_code_is_refused():
    async def main():
        with (
            blocking_calls(asyncio.get_running_loop()),
            pytest.raises(BlockedLoopError, match="asyncio class"),
        ):
            threading.Event().wait(1)

    run_in_virtual_time(main())


# Other threads


def test_other_threads_and_a_run_share_locks_that_exist_already():
    """Four threads and a run each add to a number under one lock; no addition is lost."""
    lock, total, stop = MADE_EARLY["Lock"], [0], threading.Event()
    counts = []

    def add():
        with lock:
            before = total[0]
            total[0] = before + 1

    def thread():
        count = 0
        while not stop.is_set():
            add()
            count += 1
        counts.append(count)

    def call():
        for _ in range(200):
            add()
            sleep(1)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        together(*[call] * 5)
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert total[0] == sum(counts) + 1000


def test_a_queue_that_another_thread_makes_during_a_run_works_between_threads():
    made, begun, done = [], threading.Event(), threading.Event()

    def elsewhere():
        begun.wait()
        shared = queue.Queue()
        worker = threading.Thread(target=lambda: made.append((shared.get(), shared.get(timeout=60))))
        worker.start()
        for item in range(2):
            shared.put(item)
        worker.join()
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()

    def call():
        begun.set()
        while not done.is_set():
            sleep(1)

    together(call)
    thread.join()
    assert made == [(0, 1)]
