"""Blocking functions stand still in virtual time, each in a greenlet that a task drives."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
import warnings

import pytest
from greenlet import getcurrent

from simsla.virtualtime import DeadlockError, run_in_virtual_time
from simsla.virtualtime.blocking import (
    OutsideBlockingCodeError,
    blocking_calls,
    handle_of,
    inside,
    run,
    sleep,
    wait,
)

WHOSE = contextvars.ContextVar("whose", default=None)


def now() -> float:
    return asyncio.get_running_loop().time()


def in_virtual_time(function, *args):
    """Run one blocking function, and return its result and when it came."""

    async def main():
        result = await run(function, *args)
        return result, now()

    return run_in_virtual_time(main())


def test_a_blocking_call_sleeps_in_virtual_time_and_returns():
    def add(a, b):
        sleep(86_400)
        return a + b

    assert in_virtual_time(add, 1, 2) == (3, 86_400)


def test_others_go_on_meanwhile():
    seen = []

    def tick(name, period):
        for _ in range(3):
            sleep(period)
            seen.append((name, now()))

    async def main():
        await asyncio.gather(run(tick, "a", 2.0), run(tick, "b", 3.0))

    run_in_virtual_time(main())
    # At 6.0 s `b` comes first: it set its timer at 3.0 s, and `a` at 4.0 s.
    assert seen == [("a", 2), ("b", 3), ("a", 4), ("b", 6), ("a", 6), ("b", 9)]


def test_wait_gives_the_result_or_the_exception_of_what_it_waits_for():
    async def good():
        await asyncio.sleep(1)
        return "good"

    async def bad():
        await asyncio.sleep(1)
        raise LookupError("bad")

    def function():
        seen = [wait(good())]
        with pytest.raises(LookupError, match="bad"):
            wait(bad())
        seen.append(wait(asyncio.ensure_future(good())))
        with pytest.raises(TypeError):
            wait(5)
        return seen

    assert in_virtual_time(function) == (["good", "good"], 3.0)


def test_a_sleep_of_nothing_lets_others_run():
    order = []

    def first():
        order.append(1)
        sleep(0)
        order.append(3)

    def second():
        order.append(2)

    async def main():
        await asyncio.gather(run(first), run(second))
        assert now() == 0

    run_in_virtual_time(main())
    assert order == [1, 2, 3]


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-1, ValueError),
        (-0.5, ValueError),
        (float("nan"), ValueError),
        (float("inf"), OverflowError),
        (1e300, OverflowError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_sleep_refuses_what_time_sleep_refuses(seconds, error):
    def function():
        with pytest.raises(error):
            sleep(seconds)

    assert in_virtual_time(function) == (None, 0)


def test_inside_tells_and_outside_wait_and_sleep_are_refused():
    assert not inside()

    def function():
        assert inside()
        wait(coroutine())

    async def coroutine():
        # The coroutine that a blocking call waits for is asyncio code, which must not wait itself.
        assert not inside()
        with pytest.raises(OutsideBlockingCodeError, match="a coroutine must await"):
            sleep(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_virtual_time(function)
        with pytest.raises(OutsideBlockingCodeError):
            wait(coroutine())
        gc.collect()


def test_what_a_function_raises_is_raised_with_its_own_lines_in_the_traceback():
    async def request():
        await asyncio.sleep(1)
        raise ConnectionError("refused")

    def call():
        wait(request())

    def policy():
        try:
            call()
        except ConnectionError as error:
            raise RuntimeError("no answer") from error

    with pytest.raises(RuntimeError, match="no answer") as caught:
        in_virtual_time(policy)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-3:] == ["run", "drive", "policy"]
    cause = caught.value.__cause__
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == [
        "policy",
        "call",
        "wait",
        "request",
    ]
    assert cause.__context__ is None


def test_a_handled_exception_is_its_own_calls_affair():
    """`raise` without an argument, after another call has handled an exception of its own."""

    def function(number, pause):
        try:
            raise ValueError(number)
        except ValueError:
            sleep(pause)
            with pytest.raises(ValueError, match=f"^{number}$"):
                raise

    async def main():
        await asyncio.gather(run(function, 1, 2.0), run(function, 2, 1.0), run(function, 3, 3.0))

    run_in_virtual_time(main())


# Cancelling


def test_cancelling_the_task_raises_in_the_function_where_it_waits():
    seen = []

    def function():
        try:
            sleep(100)
        except Exception:
            seen.append("no Exception")
        except BaseException as error:
            seen.append((type(error), now()))
            sleep(5)
            raise
        finally:
            seen.append(now())

    async def main():
        task = asyncio.ensure_future(run(function))
        await asyncio.sleep(7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_virtual_time(main())
    assert seen == [(asyncio.CancelledError, 7), 12]


def test_a_timeout_around_a_call_ends_it():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await run(sleep, 5)
        assert now() == 3

    run_in_virtual_time(main())


def test_a_function_may_ignore_a_cancellation():
    def stubborn():
        try:
            sleep(10)
        except asyncio.CancelledError:
            sleep(10)
            return "anyway"

    async def main():
        task = asyncio.ensure_future(run(stubborn))
        await asyncio.sleep(1)
        task.cancel()
        assert await task == "anyway"
        assert now() == 11

    run_in_virtual_time(main())


def test_a_call_that_is_cancelled_before_it_begins_never_runs():
    seen = []

    async def main():
        task = asyncio.ensure_future(run(seen.append, 1))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_in_virtual_time(main())
    assert seen == []


# Whose call it is


def test_a_call_runs_in_the_context_of_its_task():
    def function(name):
        assert WHOSE.get() is name
        sleep(1)
        assert WHOSE.get() is name
        assert wait(read()) is name
        WHOSE.set((name, "changed"))
        assert wait(read()) == (name, "changed")

    async def read():
        await asyncio.sleep(1)
        return WHOSE.get()

    async def task(name):
        WHOSE.set(name)
        await run(function, name)
        assert WHOSE.get() == (name, "changed")

    async def main():
        await asyncio.gather(*(task(name) for name in ("a", "b", "c")))
        assert WHOSE.get() is None

    run_in_virtual_time(main())


def test_a_context_of_its_own_survives_a_wait():
    def function(name):
        context = contextvars.copy_context()
        context.run(WHOSE.set, name)
        assert context.run(nested) == name
        assert WHOSE.get() is None

    def nested():
        sleep(1)
        return WHOSE.get()

    async def main():
        await asyncio.gather(run(function, "a"), run(function, "b"))

    run_in_virtual_time(main())


def test_a_call_is_part_of_its_task():
    def function():
        sleep(1)
        return asyncio.current_task()

    async def main():
        task = asyncio.ensure_future(run(function))
        assert await task is task

    run_in_virtual_time(main())


def test_a_thousand_calls_at_once_each_keep_their_own():
    def function(number):
        WHOSE.set(number)
        for pause in (number % 7, number % 11, number % 13):
            sleep(pause / 10)
            assert WHOSE.get() == number
        return number

    async def main():
        # A task each, for a task has a context.
        return await asyncio.gather(*(asyncio.ensure_future(run(function, n)) for n in range(1000)))

    assert run_in_virtual_time(main()) == list(range(1000))


# As a handle


def test_a_plain_function_becomes_a_coroutine_function():
    def handle(request):
        """Answers."""
        sleep(request)
        return request

    wrapped = handle_of(handle)
    assert asyncio.iscoroutinefunction(wrapped)
    assert (wrapped.__name__, wrapped.__doc__) == ("handle", "Answers.")
    assert run_in_virtual_time(wrapped(3)) == 3


def test_what_returns_an_awaitable_is_awaited():
    async def answer(request):
        await asyncio.sleep(request)
        return request

    assert run_in_virtual_time(handle_of(lambda request: answer(request))(3)) == 3


# Ends


def test_a_call_that_waits_for_ever_is_named_with_its_place():
    def hang():
        wait(asyncio.get_running_loop().create_future())

    with pytest.raises(DeadlockError) as caught:
        in_virtual_time(hang)
    (line,) = caught.value.waiting
    assert f"{__file__}:" in line
    assert "in test_a_call_that_waits_for_ever_is_named_with_its_place.<locals>.hang" in line


def test_calls_left_over_are_ended_in_order_and_cannot_wait_any_more():
    seen = []

    def leftover(name):
        try:
            sleep(1e6)
        except GeneratorExit:
            pytest.fail("ended by the garbage collector")
        finally:
            seen.append(name)
            sleep(1)
            seen.append("never")

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            tasks.extend(asyncio.ensure_future(run(leftover, name)) for name in ("a", "b", "c"))
            await asyncio.sleep(1)
        assert seen == ["a", "b", "c"]

    tasks = []
    run_in_virtual_time(main())
    assert seen == ["a", "b", "c"]


def test_a_call_that_will_not_end_does_not_stop_the_run():
    turns = []

    def immortal():
        while True:
            try:
                sleep(1e6)
            except BaseException:
                turns.append(getcurrent())

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            task = asyncio.ensure_future(run(immortal))
            await asyncio.sleep(1)
        task.cancel()

    run_in_virtual_time(main())
    assert 1 < len(turns) < 1000
    del turns[:]
    gc.collect()
    assert turns == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_run(error):
    cleaned_up = []

    def other():
        try:
            sleep(100)
        finally:
            cleaned_up.append(now())

    def function():
        sleep(5)
        raise error

    async def main():
        background = asyncio.ensure_future(run(other))
        await asyncio.gather(run(function), background)

    with pytest.raises(error):
        run_in_virtual_time(main())
    assert cleaned_up == [5]
