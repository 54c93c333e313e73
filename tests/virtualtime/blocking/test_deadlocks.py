"""A blocking call that waits for ever for a lock is told so, with the place; no other is."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from virtualtime.blocking.together import now, together

from simsla.virtualtime import DeadlockError, run_in_virtual_time
from simsla.virtualtime.blocking import blocking_calls, run, sleep

FIRST, SECOND = threading.Lock(), threading.RLock()


def test_a_circle_is_found_when_it_closes_and_opens_again():
    def one():
        with FIRST:
            sleep(1)
            with SECOND:
                return now()

    def other():
        with SECOND:
            sleep(2)
            with FIRST:
                return now()

    (got, error), _ = together(one, other, return_exceptions=True)
    assert got == 2
    assert isinstance(error, DeadlockError)
    first, second = error.waiting
    assert "other' at" in first
    assert "waits for a threading.Lock: blocking call" in first
    assert re.search(r"one' at .*test_deadlocks\.py:\d+ waits for a threading\.RLock", second)
    assert f"{__file__}:" in str(error).splitlines()[0]


def test_a_lock_that_its_holder_wants_again_is_found_at_once():
    lock = threading.Lock()

    def twice():
        with lock, lock:
            pass

    ((error,), when) = together(twice, return_exceptions=True)
    assert isinstance(error, DeadlockError)
    assert when == 0
    assert "it holds it itself" in str(error)
    # With a limit of time it is no deadlock, and the lock was released on the way out.
    assert together(lambda: (lock.acquire(), lock.acquire(timeout=5))) == ([(True, False)], 5)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("arrives", [0.5, 2])
def test_a_lock_that_was_never_released_is_found_by_those_who_wait_and_those_who_come(kind, arrives):
    lock = getattr(threading, kind)()

    def forgetful():
        lock.acquire()
        sleep(1)

    def patient():
        sleep(arrives)
        with pytest.raises(DeadlockError, match=r"'.*forgetful' has ended without releasing it"):
            lock.acquire()
        return now()

    def impatient():
        sleep(arrives)
        assert not lock.acquire(timeout=3)
        return now()

    assert together(forgetful, patient, impatient)[0] == [None, max(arrives, 1), arrives + 3]


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_that_was_taken_before_the_run_does_not_stop_the_thread(kind):
    lock = getattr(threading, kind)()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()

    def call():
        assert not lock.acquire(timeout=3)
        assert now() == 3
        lock.acquire()

    with pytest.raises(DeadlockError, match=r"test_deadlocks\.py:\d+ in .*call"):
        together(call)


def test_an_rlock_that_this_thread_has_taken_before_the_run_can_be_released_in_it():
    lock = threading.RLock()
    lock.acquire()

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            assert lock._is_owned()
            lock.release()
            with pytest.raises(RuntimeError, match="un-acquired"):
                lock.release()
            with lock:
                assert not await run(lambda: lock.acquire(timeout=1))

    run_in_virtual_time(main())


def test_a_long_line_is_no_circle():
    lock = threading.RLock()

    def call():
        with lock, lock:
            sleep(1)

    assert together(*[call] * 150)[1] == 150


def test_who_will_be_woken_waits_for_no_lock():
    event, condition = threading.Event(), threading.Condition()

    def wait_for(what):
        with condition:
            what.wait()
        return now()

    def wake():
        sleep(5)
        event.set()
        with condition:
            condition.notify()

    # The one holds the condition while it waits for the event; the other has to wait for both.
    assert together(lambda: wait_for(event), wake)[0] == [5, None]
    assert together(lambda: wait_for(condition), wake)[0] == [5, None]


def test_a_lock_that_asyncio_code_holds_is_waited_for():
    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            FIRST.acquire()
            waiter = asyncio.ensure_future(run(FIRST.acquire))
            await asyncio.sleep(3)
            FIRST.release()
            assert await waiter
            assert now() == 3
            FIRST.release()

    run_in_virtual_time(main())


def test_a_wait_for_what_nobody_brings_ends_with_the_calendar():
    event = threading.Event()
    with pytest.raises(DeadlockError) as caught:
        together(event.wait)
    assert "deadlock at 0 s" in str(caught.value)

    def hang():
        event.wait()

    with pytest.raises(DeadlockError) as caught:
        together(hang)
    assert any(re.search(r"test_deadlocks\.py:\d+ in .*hang", line) for line in caught.value.waiting)
