"""Systems of several components, layers of retries and fan-out against their closed forms (validation.md)."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest
from scipy import stats
from simulation.scenarios import deployment, exp, scenario, traffic
from validation.queueing import contains, run

from simsla import timeline
from simsla.analysis import closed_forms as cf
from simsla.analysis.states import fault_intervals, state_path
from simsla.routing import AttemptError, Timeouts

YEAR_S = 365.25 * 86_400.0


def down_together(world, years, seed):
    """The share of time in which so many components are down: an entry for none, one, two ..."""
    environment = timeline(world, years, seed=seed)
    until_s = years * YEAR_S
    faults = fault_intervals(environment, 0.0, until_s)
    path = state_path(faults, 0.0, until_s)
    down = np.sum([each.active(path.start_s) for each in faults], axis=0)
    return np.bincount(down, path.seconds, len(world.all_components) + 1) / until_s


def of_components(count, uptime_s, repair_s, **others):
    faults = {"faults": [{"kind": "outage", "uptime": exp(uptime_s), "repair": exp(repair_s)}]}
    names = [f"c{i}" for i in range(count)]
    return scenario({"a": deployment(components=names)}, components=dict.fromkeys(names, faults), **others)


def test_two_of_three():
    """Three at .999: two of them are up for .999997002 of the time, its complement within 10 %."""
    seen = [down_together(of_components(3, 999 * 60, 60), 200, seed) for seed in range(8)]
    enough = [share[0] + share[1] for share in seen]
    half = stats.t.ppf(0.975, 7) * np.std(enough, ddof=1) / np.sqrt(8)
    truth = 0.999997002
    assert cf.k_of_n(2, [0.999] * 3) == pytest.approx(truth, abs=5e-10)
    assert abs(np.mean(enough) - truth) < half < 0.1 * (1 - truth)


@pytest.mark.parametrize(("repairers", "up", "down"), [(1, 0.819672, 0.016393), (2, 0.826446, 0.008264)])
def test_machine_repair(repairers, up, down):
    """Two machines, lambda / mu = .1: P(all up) within 1 %, P(all down) within 10 %."""
    world = of_components(2, 1000, 100)
    if repairers == 1:
        world = world.with_values({"crews": {"one": 1}, **{f"components.c{i}.crew": "one" for i in (0, 1)}})
    seen = np.array([down_together(world, 0.5, seed) for seed in range(8)])
    for column, truth, within in ((0, up, 0.01), (2, down, 0.1)):
        half = stats.t.ppf(0.975, 7) * seen[:, column].std(ddof=1) / np.sqrt(8)
        assert abs(seen[:, column].mean() - truth) < half < within * truth


def layered(*attempts):
    """A policy of nested layers, each of which asks the one below so many times before it gives up."""

    def factory(transport):
        async def ask(request, layers):
            if not layers:
                return await transport.send(request, transport.deployments[0], timeouts=Timeouts())
            for _ in range(layers[0] - 1):
                with contextlib.suppress(AttemptError):
                    return await ask(request, layers[1:])
            return await ask(request, layers[1:])

        return lambda request: ask(request, attempts)

    return factory


@pytest.mark.parametrize(("share", "horizon_s"), [(0.5, 600), (1.0, 10)])
def test_three_layers_of_four_attempts(share, horizon_s):
    """64 attempts a request where nothing answers; else what the nested formula says, within 5 %."""
    world = scenario(
        {"a": deployment(errors={500: share}, error_latency=0)}, {"chat": traffic(4)}, horizon=horizon_s
    )
    found = run(world, layered(4, 4, 4), replications=4, seed=3).metrics["amplification"]
    truth = cf.nested_amplification(share, [3, 3, 3])
    if share == 1:
        assert found.value == truth == 64
    else:
        contains(found, truth, within=0.05)


def test_fan_out_waits_for_the_slowest():
    """Of a hundred calls at once one is slower than p99 in 1 - .99^100 = 63.4 % of requests, within 15 %."""
    parts = 100

    def fan_out(transport):
        async def handle(request):
            calls = [
                transport.send(request, transport.deployments[0], timeouts=Timeouts()) for _ in range(parts)
            ]
            return (await asyncio.gather(*calls))[0]

        return handle

    world = scenario({"a": deployment(latency={"total": exp(1)})}, {"chat": traffic(1)}, horizon=60)
    result = run(world, fan_out, replications=6, seed=2)
    p99_s = np.log(100)
    slow = (result.requests["end_s"] - result.requests["arrival_s"]) > p99_s
    by_run = slow.groupby(result.requests["replication"]).mean()
    half = stats.t.ppf(0.975, 5) * by_run.std(ddof=1) / np.sqrt(6)
    truth = cf.fan_out_slow_share(0.99, parts)
    assert truth == pytest.approx(0.634, abs=5e-4)
    assert abs(by_run.mean() - truth) < half < 0.15 * truth
