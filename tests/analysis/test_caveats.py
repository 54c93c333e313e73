"""Each typed warning has a canary, and none of them cries wolf."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from analysis.logs import random_log
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

import simsla
from simsla.analysis import (
    LongRepairWarning,
    Metrics,
    UnstableQueueWarning,
    WarmupWarning,
    caveats,
    summarise,
)
from simsla.analysis.drift import settled
from simsla.analysis.offered import bottlenecks, granted_per_minute, needed_slots_at_best, slots

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

JUDGED = (LongRepairWarning, UnstableQueueWarning, WarmupWarning)


def told(result, kind):
    return [str(caveat) for caveat in result.caveats if isinstance(caveat, kind)]


def queue(slots, rate, *, horizon=60.0, **more):
    return scenario(
        {"a": deployment(max_concurrency=slots, latency={"total": exp(1)})},
        {"chat": traffic(rate, deadline=2000)},
        horizon=horizon,
        **more,
    )


# Load


def test_load_above_capacity_is_told_from_the_scenarios_numbers():
    """One replication is enough, and so is one that is too short for anything to grow."""
    (text,) = told(simsla.simulate(queue(2, 3.0, horizon=5), patient, replications=1), UnstableQueueWarning)
    assert "needs 3 slots" in text
    assert "have 2 (1.5 x)" in text
    assert told(simsla.simulate(queue(2, 1.5), patient, replications=1), UnstableQueueWarning) == []


def test_the_load_of_answers_in_tokens():
    world = scenario(
        {
            "slow": deployment(max_concurrency=3, latency={"first_token": 1, "per_token": 0.1}),
            "quick": deployment(max_concurrency=5, latency={"first_token": 0.5, "per_token": 0.01}),
        },
        {
            "long": traffic(4.0, output_tokens={"kind": "uniform", "low": 0, "high": 200}, max_tokens=100),
            "short": traffic(1.0, output_tokens=50),
        },
    )
    assert needed_slots_at_best(world) == pytest.approx(4 * (0.5 + 0.75) + 1 * (0.5 + 0.5), rel=0.01)
    assert slots(world) == 8


def test_a_deployment_without_limit_serves_everybody():
    world = scenario({"a": deployment(max_concurrency=1), "b": deployment()}, {"chat": traffic(50.0)})
    assert list(bottlenecks(world)) == []


@pytest.mark.parametrize(
    ("service", "there"),
    [
        ({"kind": "processor_sharing", "servers": 4}, 4),
        ({"kind": "batch", "growth": 0.1, "knee": 11}, 5.5),
    ],
)
def test_the_capacity_of_what_slows_down_under_load(service, there):
    world = scenario({"a": deployment(service=service, latency={"total": 1})}, {"chat": traffic(5.0)})
    assert needed_slots_at_best(world) == 5
    assert slots(world) == pytest.approx(there)


def test_grants_per_minute_that_are_below_the_traffic():
    world = scenario(
        {
            "own": deployment(rpm=20),
            "shared": deployment(account="team", rpm=50),
            "more": deployment(account="team"),
        },
        {"chat": traffic(3.0)},
        accounts={"team": {"rpm": 100}},
    )
    assert granted_per_minute(world, "rpm") == 120
    assert list(bottlenecks(world)) == [
        "180 requests come a minute, and all accounts and deployments together are granted 120 (1.5 x)"
    ]
    assert list(bottlenecks(world.with_values({"traffic.chat.arrivals.rate": 1.9}))) == []
    assert list(bottlenecks(world.with_values({"deployments.own.rpm": None}))) == []


def test_pods_that_have_more_work_than_workers():
    world = scenario(
        {"a": deployment(components=["door"])},
        {"chat": traffic(5.0)},
        components={"door": {"kind": "gateway"}},
        gateway={"pods": 2, "workers": 2, "service": 1.0},
    )
    assert list(bottlenecks(world)) == ["the gateway's pods have work for 5 workers, and there are at most 4"]
    scaled = {"max": 3, "metrics": [{"metric": "cpu", "target": 0.6}]}
    assert list(bottlenecks(world.with_values({"gateway.autoscaler": scaled}))) == []


def test_pods_that_hold_too_few():
    world = scenario(
        {"a": deployment(components=["door"])},
        {"chat": traffic(5.0)},
        components={"door": {"kind": "gateway"}},
        gateway={"pods": 2, "concurrency": 2},
    )
    assert list(bottlenecks(world)) == [
        "the gateway's pods would have to hold 5.5 requests, and hold at most 4"
    ]
    assert list(bottlenecks(world.with_values({"gateway.pods": 3}))) == []


def test_grants_of_tokens_a_minute_that_are_below_the_traffic():
    world = scenario({"a": deployment(tpm=60_000)}, {"chat": traffic(2.0)})
    assert list(bottlenecks(world)) == [
        "1.32e+05 tokens come a minute, and all accounts and deployments together are granted 60000 (2.2 x)"
    ]
    assert list(bottlenecks(world.with_values({"deployments.a.tpm": 132_000}))) == []
    assert len(list(bottlenecks(world.with_values({"traffic.chat.max_tokens": 200})))) == 1
    asked_for_less = {"deployments.a.tpm": 125_000, "traffic.chat.max_tokens": 10}
    assert list(bottlenecks(world.with_values(asked_for_less))) == []


def test_latency_by_the_hour_is_counted_at_its_mean():
    def needed(horizon, **latency):
        world = scenario(
            {"a": deployment(max_concurrency=5, latency={"total": 10, **latency})},
            {"chat": traffic(1.0)},
            horizon=horizon,
        )
        return needed_slots_at_best(world)

    assert needed(3600) == 10
    assert needed(3600, profile={"00:00": 0.1}) == pytest.approx(1)
    assert needed(86_400, profile={"00:00": 1, "12:00": 3}) == pytest.approx(20, rel=1e-3)
    assert needed(2 * 86_400, drift_per_day=1.0) == pytest.approx(10 * 3 / (2 * np.log(2)), rel=1e-3)


def test_clients_who_lose_patience_do_not_overload():
    world = scenario(
        {"a": deployment(max_concurrency=5, latency={"total": 10})}, {"chat": traffic(1.0, patience=1)}
    )
    assert list(bottlenecks(world)) == []


@pytest.mark.parametrize("replayed", [True, False])
def test_lengths_of_a_trace_are_counted(replayed, tmp_path):
    rows = "".join(f'{{"t": {0.5 * i}, "i": 100, "o": 50}}\n' for i in range(400))
    (tmp_path / "mine.jsonl").write_text(rows)
    columns = {"columns": {"time": "t", "prompt": "i", "output": "o"}}
    chat = {"arrivals": {"kind": "trace", "path": str(tmp_path / "mine.jsonl"), **columns}}
    if not replayed:
        rate = {"kind": "poisson", "rate": 2.0}
        chat = {"arrivals": rate, "lengths": {"from_trace": str(tmp_path / "mine.jsonl"), **columns}}
    sharing = {"kind": "processor_sharing", "servers": 1}
    latency = {"first_token": 0.5, "per_token": 0.01}
    world = scenario({"a": deployment(service=sharing, latency=latency)}, {"chat": chat})
    assert needed_slots_at_best(world) == pytest.approx(2, rel=0.01)
    (text,) = told(simsla.simulate(world, patient, replications=1, progress=False), UnstableQueueWarning)
    assert "(2 x)" in text or "(2.01 x)" in text


def test_users_who_wait_for_answers_do_not_overload():
    users = {"kind": "sessions", "users": 50, "think": 1, "requests_per_session": 5}
    world = scenario({"a": deployment(max_concurrency=2)}, {"chat": traffic() | {"arrivals": users}})
    assert list(bottlenecks(world)) == []


def test_load_above_capacity_is_told_for_the_deployment_that_a_policy_prefers():
    slots = {"max_concurrency": 2, "latency": {"total": exp(1)}}
    world = scenario(
        {"first": deployment(**slots), "idle": deployment(**(slots | {"max_concurrency": 20}))},
        {"chat": traffic(4.0, deadline=5)},
        horizon=100,
    )
    (text,) = told(simsla.simulate(world, patient, replications=8), UnstableQueueWarning)
    assert re.search(r"first 1\.[2-9]\d* x its 2 slots were needed", text)
    assert "idle" not in text


def test_waiting_that_grows_is_told_wherever_it_is():
    """A policy with one place of its own, and deployments without limits: nobody declared a capacity."""

    def single_file(transport):
        place = asyncio.Semaphore(1)
        handle = patient(transport)

        async def one_by_one(request):
            async with place:
                return await handle(request)

        return one_by_one

    world = scenario(
        {"a": deployment(latency={"total": exp(1)})}, {"chat": traffic(1.5, deadline=2000)}, horizon=300
    )
    (text,) = told(simsla.simulate(world, single_file, replications=8), UnstableQueueWarning)
    assert "higher in the last tenth" in text
    assert told(simsla.simulate(world, patient, replications=8), UnstableQueueWarning) == []


# Warm-up


def cold(transport):
    """Everything takes a second longer in the first 60 s."""
    handle = patient(transport)

    async def slow_at_first(request):
        if asyncio.get_running_loop().time() < 60:
            await asyncio.sleep(1)
        return await handle(request)

    return slow_at_first


def test_a_warm_up_too_short_is_told_with_the_one_that_would_do():
    world = scenario({"a": deployment(latency={"total": exp(1)})}, {"chat": traffic(5.0)}, horizon=400)
    (text,) = told(simsla.simulate(world, cold, replications=6), WarmupWarning)
    assert "higher than in its second half" in text
    assert re.search(r"by the MSER rule it should last 1[5-9]% of the measured time longer", text)
    warm = world.with_values({"warmup": 65})
    assert told(simsla.simulate(warm, cold, replications=6), WarmupWarning) == []


def test_the_mser_rule_finds_a_step():
    series = np.where(np.arange(100) < 13, 3.0, 1.0) + 0.01 * np.sin(np.arange(100))
    assert settled(np.stack([series, series])) == 0.13
    assert settled(np.linspace(0, 1, 100)[None]) is None


def test_what_changes_by_design_is_no_warm_up():
    dark = scenario(
        {"a": deployment(latency={"total": exp(1)}, provider="p")},
        {"chat": traffic(5.0)},
        components={"p": {"faults": [scheduled("slowdown", 0, 50, severity=5)]}},
        horizon=400,
    )
    assert told(simsla.simulate(dark, patient, replications=6), JUDGED) == []


# Repairs


def failing(repair, horizon, **more):
    fault = {"kind": "outage", "uptime": exp(1e5), "repair": repair}
    return scenario(
        {"a": deployment(provider="p")},
        {"chat": traffic("30/h")},
        components={"p": {"faults": [fault]}},
        horizon=horizon,
        **more,
    )


def test_repairs_longer_than_the_measured_time_are_told():
    measured = {"kind": "lognormal", "mu": 0.23, "sigma": 1.17, "unit": "h"}
    (text,) = told(simsla.simulate(failing(measured, 3600), patient, replications=2), LongRepairWarning)
    assert "p (outage: 2.495 h on average" in text
    assert "measured time of 1 h" in text
    week = failing(measured, "7d")
    assert told(simsla.simulate(week, patient, replications=2), LongRepairWarning) == []
    late = week.with_values({"warmup": "6.5d"})
    (text,) = told(simsla.simulate(late, patient, replications=2), LongRepairWarning)
    assert "measured time of 12 h" in text


@pytest.mark.parametrize(
    ("schedule", "warns"),
    [
        ([{"at": 50, "fail": "p", "for": 20}], False),
        ([{"at": 50, "fail": "p", "for": 60}], True),
        ([{"at": 50, "fail": "p"}], True),
        ([{"at": 50, "fail": "p"}, {"at": 70, "repair": "p"}], False),
        ([{"at": 150, "fail": "p"}], False),
    ],
)
def test_what_is_scheduled_should_end_within_the_run(schedule, warns):
    world = scenario({"a": deployment(provider="p")}, components={"p": {}}, schedule=schedule)
    result = simsla.simulate(world, patient, replications=2)
    assert bool(told(result, LongRepairWarning)) == warns


def test_a_scheduled_fault_that_lasts_beyond_the_run_is_told():
    for duration, warns in ((20, False), (60, True)):
        world = scenario(
            {"a": deployment(provider="p")},
            components={"p": {"faults": [scheduled("outage", 50, duration)]}},
        )
        assert bool(told(simsla.simulate(world, patient, replications=2), LongRepairWarning)) == warns


# No wolf


def mm1(rng, rho, customers):
    """The log of an M/M/1 queue by the Lindley recursion, its first fifth left out when it is summarised."""
    arrival = np.cumsum(rng.exponential(1 / rho, customers))
    service = rng.exponential(1, customers)
    steps = np.concatenate(([0.0], service[:-1] - np.diff(arrival)))
    walk = np.cumsum(steps)
    wait = walk - np.minimum.accumulate(walk)
    log = random_log(rng, customers, 1.0, failing=0.01)
    log.requests["arrival_s"][:] = arrival
    log.requests["end_s"][:] = arrival + wait + service
    log.requests["deadline_s"][:] = 10.0
    log.attempts["start_s"][:] = arrival
    log.attempts["queued_s"][:] = wait
    log.attempts["end_s"][:] = arrival + wait + service
    return summarise(log, start_s=arrival[customers // 5], end_s=arrival[-1])


@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_stationary_runs_do_not_warn(rho):
    """Of 150 studies of five replications at most 5 % warn; each test is at 1e-3."""
    rng = np.random.default_rng(11)
    slots = deployment(max_concurrency=1, latency={"total": exp(1)})
    world = scenario({"near": slots, "far": slots}, {"chat": traffic(rho)})
    studies = [Metrics([mm1(rng, rho, 1000) for _ in range(5)]) for _ in range(150)]
    assert sum(bool(caveats(study, scenario=world)) for study in studies) <= 7


def test_simulated_stationary_runs_do_not_warn():
    world = queue(4, 3.0, horizon=150, warmup=30)
    results = [simsla.simulate(world, patient, seed=seed, replications=4) for seed in range(20)]
    assert sum(bool(told(result, JUDGED)) for result in results) <= 1


def test_a_loss_system_below_capacity_is_stable():
    """A fifth of the attempts find both slots taken and are refused: they need none."""
    slots = deployment(max_concurrency=2, queue_limit=0, latency={"total": exp(1)})
    world = scenario({"a": slots}, {"chat": traffic(1.6)})
    assert told(simsla.simulate(world, patient, replications=6), JUDGED) == []
