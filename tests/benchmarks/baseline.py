"""The yardstick of every benchmark here: plain SimPy, M/M/8 at rho 0.8, one process per customer."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import simpy

CUSTOMERS = 200_000


def plain_simpy_mm8(customers: int = CUSTOMERS) -> None:
    rng = random.Random(1)
    env = simpy.Environment()
    servers = simpy.Resource(env, 8)

    def customer():
        with servers.request() as slot:
            yield slot
            yield env.timeout(rng.expovariate(1.0))

    def source():
        for _ in range(customers):
            yield env.timeout(rng.expovariate(6.4))
            env.process(customer())

    env.process(source())
    env.run()


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def report(name: str, run: Callable[[], int], rounds: int = 5) -> None:
    """Time `run`, which returns how many requests it did, in turn with plain SimPy; print the ratio."""
    ratios, rates, plain_rates = [], [], []
    for _ in range(rounds):
        plain = CUSTOMERS / cpu_seconds(plain_simpy_mm8)
        done = 0

        def counted() -> None:
            nonlocal done
            done = run()

        elapsed = cpu_seconds(counted)
        plain_rates.append(plain)
        rates.append(done / elapsed)
        ratios.append(rates[-1] / plain)
    print(
        f"{name}: {statistics.median(rates):,.0f}/s; "
        f"plain SimPy M/M/8: {statistics.median(plain_rates):,.0f}/s; "
        f"ratio {statistics.median(ratios):.2f} "
        f"(min {min(ratios):.2f}, max {max(ratios):.2f}, {rounds} rounds)"
    )
