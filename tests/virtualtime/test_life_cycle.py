"""Running, stopping and closing, as on any asyncio loop."""

import asyncio
import logging
import sys

import pytest

from simsla.virtualtime import SimEventLoop


@pytest.fixture
def loop():
    loop = SimEventLoop()
    yield loop
    loop.close()


async def sleeper(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time()


def test_run_until_complete_goes_on_where_it_stopped(loop):
    assert loop.run_until_complete(sleeper(2.0)) == 2.0
    assert loop.run_until_complete(sleeper(2.0)) == 4.0


def test_a_runner_runs_and_cancels_what_is_left():
    ends = []

    async def background():
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(1.0)
            ends.append(asyncio.get_running_loop().time())

    async def main():
        task = asyncio.create_task(background())
        await asyncio.sleep(2.0)
        return task

    with asyncio.Runner(loop_factory=SimEventLoop) as runner:
        task = runner.run(main())
    assert task.cancelled()
    assert ends == [3.0]
    assert runner._state.name == "CLOSED"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run takes a loop_factory from Python 3.12 on")
def test_asyncio_run_takes_the_loop_as_its_factory():
    assert asyncio.run(sleeper(5.0), loop_factory=SimEventLoop) == 5.0


def test_stop_lets_the_round_end_and_nothing_more(loop):
    order = []

    def stopper():
        loop.stop()
        loop.call_soon(order.append, "next round")
        loop.call_later(0, order.append, "next round, timer")
        order.append("stop")

    loop.call_soon(stopper)
    loop.call_soon(order.append, "same round")
    loop.run_forever()
    assert order == ["stop", "same round"]
    loop.call_later(1.0, loop.stop)
    loop.run_forever()
    assert order == ["stop", "same round", "next round", "next round, timer"]


def test_a_timer_that_stops_the_loop_ends_its_round(loop):
    order = []
    loop.call_later(1.0, lambda: (loop.stop(), loop.call_soon(order.append, "woken")))
    loop.call_later(2.0, order.append, "too late")
    loop.run_forever()
    assert (order, loop.time()) == ([], 1.0)
    loop.run_until_complete(asyncio.sleep(0))
    assert (order, loop.time()) == (["woken"], 1.0)


def test_stop_before_running_runs_one_round_and_moves_no_clock(loop):
    order = []
    loop.call_soon(order.append, "ready")
    loop.call_later(1.0, order.append, "later")
    loop.stop()
    loop.run_forever()
    assert (order, loop.time()) == (["ready"], 0.0)


def test_stop_before_the_end_is_an_error(loop):
    loop.call_later(1.0, loop.stop)
    task = loop.create_task(sleeper(2.0))
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == 2.0


def test_a_closed_loop_refuses_work():
    loop = SimEventLoop()
    loop.close()
    loop.close()
    assert loop.is_closed()
    coroutine = sleeper(1.0)
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1.0, print),
        lambda: loop.call_at(1.0, print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.create_task(coroutine),
        lambda: loop.run_until_complete(coroutine),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    coroutine.close()


def test_a_running_loop_cannot_be_closed_or_run_again(loop):
    async def main():
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()

    loop.run_until_complete(main())
    assert not loop.is_closed()


def test_async_generators_are_finalised(loop):
    ended = []

    async def generator(name):
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1.0)
            ended.append((name, loop.time()))

    async def main():
        async for _ in generator("dropped"):
            break
        await asyncio.sleep(5.0)
        kept = generator("kept")
        await anext(kept)
        return kept

    kept = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert ended == [("dropped", 1.0), ("kept", 6.0)]
    assert kept.ag_frame is None
    assert sys.get_asyncgen_hooks() == (None, None)


# What a callback raises


def test_an_exception_in_a_callback_is_reported_with_its_handle(loop):
    contexts = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    soon = loop.call_soon(lambda: 1 / 0)
    alone = loop.call_later(1.0, int, "x")
    crowd = [loop.call_later(2.0, int, "y") for _ in range(2)]
    loop.run_until_complete(sleeper(3.0))
    assert [context["handle"] for context in contexts] == [soon, alone, *crowd]
    assert [type(context["exception"]).__name__ for context in contexts] == ["ZeroDivisionError"] + [
        "ValueError"
    ] * 3
    assert "callback int(" in contexts[1]["message"]


def test_without_a_handler_it_is_logged_and_the_loop_goes_on(loop, caplog):
    def broken():
        handle.cancel()
        raise LookupError("broken")

    handle = loop.call_soon(broken)
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.run_until_complete(sleeper(1.0))
    assert "Exception in callback" in caplog.text
    assert "broken" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("delay", [None, 1.0])
def test_keyboard_interrupt_and_system_exit_leave_the_loop(loop, error, delay):
    def leave():
        raise error

    if delay is None:
        loop.call_soon(leave)
    else:
        loop.call_later(delay, leave)
    order = []
    loop.call_later(2.0, order.append, "after")
    task = loop.create_task(sleeper(3.0))
    with pytest.raises(error):
        loop.run_until_complete(task)
    assert not loop.is_running()
    assert loop.run_until_complete(task) == 3.0
    assert order == ["after"]


# Tasks


def test_create_task_takes_a_name_and_a_context(loop):
    import contextvars

    variable = contextvars.ContextVar("variable", default="outer")
    context = contextvars.copy_context()
    context.run(variable.set, "inner")

    async def read():
        return variable.get(), asyncio.current_task().get_name()

    async def main():
        return [
            await asyncio.create_task(read(), name="first"),
            await asyncio.create_task(read(), name="second", context=context),
        ]

    assert loop.run_until_complete(main()) == [("outer", "first"), ("inner", "second")]


def test_a_task_factory_of_ones_own_is_used(loop):
    made = []

    def factory(loop, coro, **kwargs):
        made.append(asyncio.Task(coro, loop=loop, **kwargs))
        return made[-1]

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = loop.create_task(sleeper(1.0))
    assert made == [task]
    assert loop.run_until_complete(task) == 1.0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_start_at_once_and_are_the_loops_own(loop):
    order = []

    async def work(name, seconds):
        order.append(name)
        await asyncio.sleep(seconds)
        return name

    def process(task):
        return (yield task)

    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        tasks = [asyncio.create_task(work(name, 1.0), name=name) for name in "ab"]
        order.append("created")
        assert [task.get_name() for task in tasks] == ["a", "b"]
        assert await loop.env.process(process(tasks[0])) == "a"
        return await asyncio.gather(*tasks), hash(tasks[1]) - hash(tasks[0])

    assert loop.run_until_complete(main()) == (["a", "b"], 1)
    assert order == ["a", "b", "created"]


# Debug mode


def test_debug_mode_checks_calls_and_remembers_where_tasks_began(loop):
    async def nothing():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.call_soon(nothing)
    with pytest.raises(TypeError, match="callable"):
        loop.call_later(1.0, "not callable")
    task = loop.create_task(sleeper(2.0))
    assert "test_debug_mode" in task._source_traceback[-1].name
    assert loop.run_until_complete(task) == 2.0


def test_debug_mode_notices_another_thread(loop):
    import threading

    errors = []

    def intrude():
        try:
            loop.call_soon(print)
        except RuntimeError as error:
            errors.append(str(error))

    def start():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    loop.set_debug(True)
    loop.call_soon(start)
    loop.run_until_complete(sleeper(1.0))
    assert "Non-thread-safe operation" in errors[0]
