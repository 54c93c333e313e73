"""asyncio in virtual time against plain SimPy: M/M/8 with a Semaphore and sleeps.

Run by hand: `python tests/benchmarks/bench_loop.py`. The goal is a ratio of at least 0.8.
"""

from __future__ import annotations

import asyncio
import random

from baseline import CUSTOMERS, report

from simsla.virtualtime import SimEventLoop


def asyncio_mm8() -> int:
    rng = random.Random(1)

    async def main() -> None:
        servers = asyncio.Semaphore(8)
        served = 0

        async def customer() -> None:
            nonlocal served
            async with servers:
                await asyncio.sleep(rng.expovariate(1.0))
            served += 1

        for _ in range(CUSTOMERS):
            await asyncio.sleep(rng.expovariate(6.4))
            asyncio.create_task(customer())  # noqa: RUF006 - SimEventLoop's calendar holds every sleeper
        while served < CUSTOMERS:
            await asyncio.sleep(1.0)

    with asyncio.Runner(loop_factory=SimEventLoop) as runner:
        runner.run(main())
    return CUSTOMERS


def asyncio_mm8_in_a_task_group() -> int:
    rng = random.Random(1)

    async def main() -> None:
        servers = asyncio.Semaphore(8)

        async def customer() -> None:
            async with servers:
                await asyncio.sleep(rng.expovariate(1.0))

        async with asyncio.TaskGroup() as customers:
            for _ in range(CUSTOMERS):
                await asyncio.sleep(rng.expovariate(6.4))
                customers.create_task(customer())

    with asyncio.Runner(loop_factory=SimEventLoop) as runner:
        runner.run(main())
    return CUSTOMERS


if __name__ == "__main__":
    report("asyncio M/M/8, Semaphore and sleep", asyncio_mm8)
    report("the same in a TaskGroup", asyncio_mm8_in_a_task_group)
