"""Executors run inline: in the loop's thread, and in no virtual time."""

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from simsla.virtualtime import RealIOError, SimEventLoop, run_in_virtual_time

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as pool:
        yield pool


def run(func, *args, executor=None):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(executor, func, *args)

    return run_in_virtual_time(main())


def test_a_thread_of_a_pool_is_never_used(pool):
    assert run(threading.get_ident) == threading.get_ident()
    assert run(threading.get_ident, executor=pool) == threading.get_ident()


def test_the_clock_stands_still_while_a_function_works():
    async def main():
        loop = asyncio.get_running_loop()
        background = asyncio.create_task(asyncio.sleep(1_000.0))
        await asyncio.sleep(1.0)
        await asyncio.to_thread(time.sleep, 0.01)
        before = loop.time()
        background.cancel()
        return before

    assert run_in_virtual_time(main()) == 1.0


def test_arguments_and_results_pass():
    async def main():
        return await asyncio.to_thread(sorted, [3, 1, 2], reverse=True)

    assert run_in_virtual_time(main()) == [3, 2, 1]


def test_context_variables_are_seen_and_not_leaked():
    def read_and_write():
        seen = variable.get()
        variable.set("from the executor")
        return seen

    async def main():
        variable.set("from the task")
        seen = [
            await asyncio.to_thread(read_and_write),
            await asyncio.get_running_loop().run_in_executor(None, read_and_write),
        ]
        return seen, variable.get()

    assert run_in_virtual_time(main()) == (["from the task"] * 2, "from the task")


def test_an_exception_reaches_who_awaits():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_a_stop_iteration_becomes_a_runtime_error():
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        run(next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_leave_the_loop(error):
    def leave():
        raise error

    with pytest.raises(error):
        run(leave)


def test_others_run_before_the_result_arrives():
    async def main():
        order = []
        asyncio.get_running_loop().call_soon(order.append, "other")
        await asyncio.to_thread(order.append, "function")
        return [*order, "result"]

    assert run_in_virtual_time(main()) == ["function", "other", "result"]


def test_waiting_for_a_result_can_be_cancelled():
    async def main():
        task = asyncio.create_task(asyncio.to_thread(int, "5"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_virtual_time(main())


def test_a_function_can_hand_pieces_to_the_loop():
    """The usual way to stream from a thread."""

    async def main():
        loop, queue = asyncio.get_running_loop(), asyncio.Queue()

        def produce():
            for piece in "abc":
                loop.call_soon_threadsafe(queue.put_nowait, piece)

        await loop.run_in_executor(None, produce)
        return [await queue.get() for _ in range(3)]

    assert run_in_virtual_time(main()) == ["a", "b", "c"]


def test_waiting_in_a_function_for_the_loop_is_refused_rather_than_hanging():
    async def main():
        loop = asyncio.get_running_loop()
        coroutine = asyncio.sleep(1.0)
        try:
            await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(coroutine, loop).result())
        finally:
            coroutine.close()

    with pytest.raises(RealIOError, match="run_coroutine_threadsafe"):
        run_in_virtual_time(main())


def test_the_default_executor_is_shut_down_without_a_thread(pool):
    threads = threading.active_count()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(pool)
        await asyncio.to_thread(print)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(print)
        return threading.active_count()

    assert run_in_virtual_time(main()) == threads


def test_debug_mode_checks_what_is_called():
    loop = SimEventLoop()
    loop.set_debug(True)
    with pytest.raises(TypeError, match="callable"):
        loop.run_in_executor(None, "not callable")
    loop.close()
