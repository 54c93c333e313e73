"""anyio's worker threads run at once on a virtual loop, and stay threads elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

anyio = pytest.importorskip("anyio", reason="anyio comes with httpx")

from simsla.virtualtime import SimEventLoop  # noqa: E402
from simsla.virtualtime.worker_threads import worker_threads_inline  # noqa: E402

NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("number")


async def in_worker(function):
    import anyio.to_thread

    return await anyio.to_thread.run_sync(function)


def simulated(coroutine):
    with asyncio.Runner(loop_factory=SimEventLoop) as runner:
        return runner.run(coroutine)


def test_it_runs_in_this_thread_and_context():
    async def main():
        NUMBER.set(7)
        return await in_worker(lambda: (threading.get_ident(), NUMBER.get()))

    before = threading.active_count()
    with worker_threads_inline():
        assert simulated(main()) == (threading.get_ident(), 7)
    assert threading.active_count() == before


def test_its_error_is_raised_where_it_is_awaited():
    def fail():
        raise LookupError("inside")

    async def main():
        with pytest.raises(LookupError, match="inside"):
            await in_worker(fail)
        return "went on"

    with worker_threads_inline():
        assert simulated(main()) == "went on"


def test_a_real_loop_keeps_its_threads():
    with worker_threads_inline():
        assert asyncio.run(in_worker(threading.get_ident)) != threading.get_ident()
    assert asyncio.run(in_worker(threading.get_ident)) != threading.get_ident()
