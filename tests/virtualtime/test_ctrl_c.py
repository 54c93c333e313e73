"""Ctrl-C ends a run cleanly: the main task is cancelled and its clean-up runs in virtual time."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from simsla.virtualtime import SimEventLoop, run_in_virtual_time


@pytest.fixture(autouse=True)
def pythons_own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def under_runner(main):
    with asyncio.Runner(loop_factory=SimEventLoop) as runner:
        runner.run(main())


def in_virtual_time(main):
    run_in_virtual_time(main())


@pytest.mark.parametrize("run", [under_runner, in_virtual_time])
@pytest.mark.parametrize("delay", [0, 1.0])
def test_the_main_task_is_cancelled_and_cleans_up_in_virtual_time(run, delay):
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(delay, signal.raise_signal, signal.SIGINT)
        background = asyncio.create_task(asyncio.sleep(1e6))
        try:
            await background
        except asyncio.CancelledError:
            seen.append(("cancelled", loop.time()))
            raise
        finally:
            await asyncio.sleep(5.0)
            seen.append(("cleaned up", loop.time()))

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == [("cancelled", delay), ("cleaned up", delay + 5.0)]


def test_a_main_that_ignores_the_first_is_ended_by_the_second():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        for delay in (1.0, 2.0):
            loop.call_later(delay, signal.raise_signal, signal.SIGINT)
        while loop.time() < 100:
            try:
                await asyncio.sleep(10.0)
            except asyncio.CancelledError:
                seen.append(loop.time())

    with pytest.raises(KeyboardInterrupt):
        under_runner(main)
    assert seen[0] == 1.0


def test_plain_run_until_complete_raises_at_once_and_can_go_on():
    loop = SimEventLoop()
    loop.call_later(1.0, signal.raise_signal, signal.SIGINT)
    task = loop.create_task(asyncio.sleep(3.0, "slept"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.time() == 1.0
    assert loop.run_until_complete(task) == "slept"
    loop.close()


SPIN = """
import asyncio
from simsla.virtualtime import SimEventLoop, run_in_virtual_time

async def main():
    loop = asyncio.get_running_loop()
    print("spinning", flush=True)
    try:
        while True:
            await {spin}
    finally:
        before = loop.time()
        await asyncio.sleep(5.0)
        print("cleaned up in", round(loop.time() - before, 3), flush=True)

try:
    run_in_virtual_time(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    "spin", ["asyncio.sleep(1)", "asyncio.sleep(0)", "loop.env.timeout(1)", "asyncio.to_thread(int)"]
)
def test_a_process_that_spins_in_virtual_time_ends_on_sigint(spin, child_environment):
    with subprocess.Popen(
        [sys.executable, "-c", SPIN.format(spin=spin)],
        env=child_environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "spinning\n"
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert rest == "cleaned up in 5.0\ninterrupted\n"
    assert process.returncode == 0
