"""What is kept for each thread is kept for each blocking call."""

from __future__ import annotations

import asyncio
import functools
import threading

import pytest
from virtualtime.blocking.together import together

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import blocking_calls, run, sleep

EARLY = threading.local()


def as_own(local, value):
    assert vars(local) == {}
    assert not hasattr(local, "value")
    local.value = value
    sleep(1)
    assert local.value == value
    assert local.__dict__ == {"value": value}
    del local.value
    with pytest.raises(AttributeError, match="value"):
        _ = local.value
    with pytest.raises(AttributeError, match="value"):
        del local.value
    with pytest.raises(AttributeError, match="read-only"):
        local.__dict__ = {}


def test_calls_share_nothing_of_a_local_that_exists_already():
    EARLY.value = "of the thread"
    real = EARLY
    together(*(functools.partial(lambda value: as_own(EARLY, value), value) for value in range(5)))
    assert EARLY is real
    assert EARLY.value == "of the thread"


def test_asyncio_code_has_what_the_thread_has():
    async def main():
        EARLY.value = "before"
        with blocking_calls(asyncio.get_running_loop()):
            assert EARLY.value == "before"
            EARLY.value = "within"
            await run(lambda: as_own(EARLY, 1))
            assert EARLY.value == "within"
        assert EARLY.value == "within"

    run_in_virtual_time(main())


def test_a_local_that_is_made_in_the_run_is_one_for_threads_too():
    made = []

    def call(value):
        if not made:
            made.append(threading.local())
        as_own(made[0], value)

    together(*(functools.partial(call, value) for value in range(3)))
    made[0].value = "here"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(hasattr(made[0], "value")))
    thread.start()
    thread.join()
    assert seen == [False]
    assert made[0].value == "here"


def test_a_subclass_initialises_each_call_anew():
    made = []

    class Session(threading.local):
        pass

    def call(number):
        class Connection(threading.local):
            kind = "a class attribute"

            def __init__(self, start, *, step):
                self.count = start
                self.step = step

            @property
            def next(self):
                return self.count + self.step

            def advance(self):
                self.count = self.next

        if not made:
            made.append(Connection(10, step=2))
        connection = made[0]
        assert (connection.count, connection.kind) == (10, "a class attribute")
        for _ in range(number):
            connection.advance()
            sleep(1)
        assert connection.count == 10 + 2 * number
        with pytest.raises(TypeError, match="not supported"):
            threading.local(1)

    together(*(functools.partial(call, number) for number in range(4)))
    assert made[0].count == 10
