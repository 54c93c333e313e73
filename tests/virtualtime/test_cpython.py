"""CPython's own asyncio tests pass when SimEventLoop is the loop."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("cpython_suite.py")

SECOND_THREAD = "a second thread waits for the loop; executors run inline, and the call is refused by name"
MOCKED_CLOCK = "moves the test loop's mocked clock from inside a running coroutine, which no loop offers"

# Every test that is left out, and why.
EXCLUDED = {
    "test_runners": {
        "RunnerTests.test_interrupt_call_soon": "spins on sleep(0) until 0.1 s of the wall clock have passed",
    },
    "test_tasks": {
        "RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe": SECOND_THREAD,
        "RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_exception": SECOND_THREAD,
        "RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_timeout": SECOND_THREAD,
        "RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_cancelled": SECOND_THREAD,
        "RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_factory_exception": SECOND_THREAD,
        "test_as_completed": MOCKED_CLOCK,
        "test_as_completed_reverse_wait": MOCKED_CLOCK,
        "test_as_completed_with_timeout": MOCKED_CLOCK,
        "test_stop_while_run_in_complete": "asserts the mocked clock after stop(), one timer too far",
    },
}

# How many tests of a module must at least have run on SimEventLoop; CPython adds some with every version.
FLOORS = {
    "test_locks": 70,
    "test_queues": 44,
    "test_timeouts": 32,
    "test_taskgroups": 35,
    "test_waitfor": 15,
    "test_futures": 51,
    "test_runners": 24,
    "test_tasks": 778,
}


def shipped() -> bool:
    try:
        return importlib.util.find_spec("test.test_asyncio") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not shipped(), reason="this interpreter comes without CPython's own tests")
@pytest.mark.parametrize("module", FLOORS)
def test_cpythons_own_tests_pass_on_the_loop(module, child_environment, record_property):
    excluded = EXCLUDED.get(module, {})
    command = [sys.executable, str(SUITE), module, *excluded]
    run = subprocess.run(command, env=child_environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    failed = report.pop("failed")
    print(
        "{module}: {ran} ran, {on_the_loop} on SimEventLoop ({as_default} of them as the default loop), "
        "{skipped} skipped by themselves, {count} excluded".format(
            module=module, count=len(report["excluded"]), **report
        )
    )
    for name in sorted(set(report["excluded"])):
        print(f"  excluded: {name}: {excluded[name]}")
    record_property(module, report)
    assert not failed, "\n".join(failed[:3])
    assert set(report["excluded"]) == set(excluded)
    assert report["on_the_loop"] >= FLOORS[module]
