"""Gateway pods: places, work, queues, crashes, and what an autoscaler makes of them."""

from __future__ import annotations

import asyncio
import math
import textwrap

import jsonschema
import numpy as np
import pytest
import yaml
from simulation.policies import first_only, patient
from simulation.runs import arrivals, digest, draws, play
from simulation.scenarios import deployment, exp, scenario, traffic, varied
from world.scripts import NONE, now, sending, streaming

from simsla import simulate
from simsla.routing import ConnectError, ServiceUnavailable, StreamInterrupted, Timeouts
from simsla.scenario import Scenario, ScenarioError
from simsla.scenario import gateway as gateway_section
from simsla.scenario import quality as quality_section
from simsla.scenario import regions as network_section
from simsla.scenario.gateway import Crash
from simsla.simulation import run_one
from simsla.world.gateway.draws import crashes

GATEWAY = {"g": {"kind": "gateway"}}


def world(gateway, rate=2.0, *, horizon=100.0, replications=1, **changes):
    """One deployment behind a gateway; an answer takes 1.1 s unless changed."""
    return scenario(
        {"a": deployment(components=["g"], **changes)},
        {"chat": traffic(rate)},
        components=GATEWAY,
        gateway=gateway,
        horizon=horizon,
        replications=replications,
    )


def at_once(count, timeouts=NONE):
    """A script that sends the request `count` times; the error and the seconds of each."""

    async def one(transport, request):
        begin = now()
        try:
            await transport.send(request, transport.deployments[0], timeouts=timeouts)
        except Exception as error:
            return type(error), now() - begin
        return None, now() - begin

    async def script(transport, request):
        return await asyncio.gather(*(one(transport, request) for _ in range(count)))

    return script


def outcomes(run):
    return run.log.attempts_frame()["outcome"].value_counts()


# Places and work


def test_without_work_and_with_room_pods_change_nothing():
    base = run_one(world(None), patient)
    assert digest(run_one(world({"pods": 3}), patient)) == digest(base)


def test_a_pods_work_comes_before_the_answer():
    (_, took), run = play(world({"service": "250ms"}), sending())
    assert took == pytest.approx(0.25 + 1.1)
    frame = run.log.attempts_frame()
    assert frame["first_token_s"][0] - frame["start_s"][0] == pytest.approx(0.25 + 0.1)


def test_a_deployment_that_does_not_depend_on_a_gateway_passes_none():
    spec = scenario(
        {"a": deployment(), "b": deployment(components=["g"])},
        components=GATEWAY,
        gateway={"service": "250ms"},
    )
    (_, took), _ = play(spec, sending())
    assert took == pytest.approx(1.1)


def test_one_worker_works_on_one_request_after_the_other():
    results, run = play(world({"service": "250ms"}), at_once(3))
    assert [took for _, took in results] == pytest.approx([0.25 + 1.1, 0.5 + 1.1, 0.75 + 1.1])
    # The first met a free worker: it waited for nothing.
    assert sorted(run.log.attempts_frame()["queued_s"]) == pytest.approx([0, 0.5, 0.75])


def test_more_workers_and_more_pods_share_the_work():
    for gateway in ({"workers": 3}, {"pods": 3}, {"pods": 3, "balancing": "round_robin"}):
        results, _ = play(world({"service": "250ms"} | gateway), at_once(3))
        assert [took for _, took in results] == pytest.approx([0.25 + 1.1] * 3)


def test_a_place_is_kept_until_the_answer_ended():
    results, run = play(world({"concurrency": 2}), at_once(5))
    assert [took for _, took in results] == pytest.approx([1.1, 1.1, 2.2, 2.2, 3.3])
    assert sorted(run.log.attempts_frame()["queued_s"]) == pytest.approx([0, 0, 1.1, 1.1, 2.2])


def test_a_full_queue_answers_503():
    results, run = play(world({"concurrency": 1, "queue_limit": 1}), at_once(4))
    assert [error for error, _ in results] == [None, None, ServiceUnavailable, ServiceUnavailable]
    assert outcomes(run)["unavailable"] == 2


def test_waiting_for_a_place_counts_towards_the_limits():
    results, _ = play(world({"concurrency": 1}), at_once(3, Timeouts(total_s=1.5)))
    assert [took for _, took in results] == pytest.approx([1.1, 1.5, 1.5])


def test_waiting_for_a_worker_counts_towards_the_limits():
    results, _ = play(world({"service": 1}), at_once(3, Timeouts(total_s=2.5)))
    assert [took for _, took in results] == pytest.approx([2.1, 2.5, 2.5])


def test_a_slot_of_the_deployment_is_waited_for_behind_the_pod():
    results, _ = play(world({"service": "250ms", "workers": 9}, max_concurrency=1), at_once(3))
    assert [took for _, took in results] == pytest.approx([1.35, 2.45, 3.55])


@pytest.mark.parametrize("wait_s", [0.1, 0.6, 1.1])
def test_whoever_leaves_gives_back_place_and_turn(wait_s):
    async def script(transport, request):
        def send():
            return asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))

        first, second, third = send(), send(), send()
        await asyncio.sleep(wait_s)
        second.cancel()  # it waits, or (at 1.1 s) its turn may have come in this instant
        await asyncio.wait([first, second])
        begin = now()
        await third
        return now() - begin

    took, run = play(world({"concurrency": 1}), script)
    assert took == pytest.approx(1.1)
    assert outcomes(run)["cancelled"] == 1


def test_a_stream_keeps_its_place_and_shows_its_tokens_later():
    async def read(transport, request):
        begin, times = now(), []
        async with transport.stream(request, transport.deployments[0], timeouts=NONE) as chunks:
            times.extend([now() - begin async for _ in chunks])
        return times

    async def script(transport, request):
        return await asyncio.gather(read(transport, request), read(transport, request))

    (first, second), _ = play(world({"concurrency": 1, "service": "250ms"}), script)
    assert (first[0], first[-1]) == pytest.approx((0.35, 1.35))
    assert (second[0], second[-1]) == pytest.approx((1.7, 2.7))


# Closed forms


def test_a_worker_is_an_m_m_1_queue():
    """rho 0.8: a wait of rho S / (1 - rho) = 0.16 s before 0.04 s of work, on average."""
    spec = world({"service": exp(0.04)}, 20.0, horizon=3600.0, latency={"total": 0})
    run = run_one(spec, first_only)
    took = run.requests["end_s"] - run.requests["arrival_s"]
    assert took.mean() == pytest.approx(0.2, rel=0.08)
    assert np.quantile(took, 0.99) == pytest.approx(0.2 * math.log(100), rel=0.12)


def test_places_without_a_queue_are_an_erlang_b_system():
    """Erlang B(8, 6.4) = 0.144394."""
    gateway = {"concurrency": 8, "queue_limit": 0}
    run = run_one(world(gateway, 6.4, horizon=3 * 3600.0, latency={"total": exp(1)}), first_only)
    assert (outcomes(run) / len(run.attempts["request"]))["unavailable"] == pytest.approx(0.144394, rel=0.05)


def test_places_with_a_queue_are_an_erlang_c_system():
    """M/M/8 at rho 0.8: P(wait) = 0.457645 and a mean wait of 0.286028 s."""
    run = run_one(world({"concurrency": 8}, 6.4, horizon=4 * 3600.0, latency={"total": exp(1)}), first_only)
    queued = run.attempts["queued_s"]
    assert (queued > 0).mean() == pytest.approx(0.457645, rel=0.05)
    assert queued.mean() == pytest.approx(0.286028, rel=0.12)


# Crashes

CRASH = {"uptime": 40, "repair": 20}


def crash_times(seed=1, begin_s=0.0):
    return next(
        (start, end) for start, end in crashes(Crash.model_validate(CRASH), seed, 0, 0, begin_s) if start > 5
    )


def through_the_crash(script, concurrency=1, **changes):
    """Run a script from 0.5 s before the only pod crashes; the request comes early."""
    start_s, end_s = crash_times()

    async def later(transport, request):
        await asyncio.sleep(start_s - 0.5 - now())
        return await script(transport, request)

    spec = world({"crash": CRASH, "concurrency": concurrency}, 20.0, **changes)
    return play(spec, later), end_s - start_s


def test_a_crash_cuts_what_the_pod_holds_and_drops_what_waits():
    (results, run), _ = through_the_crash(at_once(2))
    assert [error for error, _ in results] == [StreamInterrupted, ConnectError]
    # The refusal of those that waited takes an error's time, 0.05 s.
    assert [took for _, took in results] == pytest.approx([0.5, 0.55])
    frame = run.log.attempts_frame().sort_values("ordinal")
    # 0.4 s after the first token there were 40 tokens; they are billed, and the prompt.
    assert list(frame["tokens_out"]) == [40, 0]
    assert list(frame["tokens_in"]) == [1000, 0]


SHARING = {"max_concurrency": 4, "service": {"kind": "processor_sharing", "servers": 1}}
"""Two at a time take twice as long."""


def test_a_crash_breaks_off_what_shares_a_deployment():
    """0.5 s with two of them are 0.25 s of service: 15 tokens after the first, which takes 0.1 s."""
    (results, run), _ = through_the_crash(at_once(2), concurrency=2, **SHARING)
    assert [error for error, _ in results] == [StreamInterrupted] * 2
    assert [took for _, took in results] == pytest.approx([0.5, 0.5])
    assert list(run.log.attempts_frame()["tokens_out"]) == [15, 15]


def test_a_crash_breaks_off_a_stream_that_shares_a_deployment():
    ((chunks, error, took), _), _ = through_the_crash(streaming(), **SHARING)
    assert type(error) is StreamInterrupted
    assert took == pytest.approx(0.5)
    assert 1 <= sum(chunk.tokens for _, chunk in chunks) <= 40


def test_a_crash_cuts_a_stream_after_the_tokens_that_came():
    ((chunks, error, took), _), _ = through_the_crash(streaming())
    assert type(error) is StreamInterrupted
    assert took == pytest.approx(0.5)
    assert sum(chunk.tokens for _, chunk in chunks) == 40


def test_while_no_pod_is_ready_the_gateway_answers_503_and_then_serves_again():
    async def script(transport, request):
        await asyncio.sleep(1)
        with pytest.raises(ServiceUnavailable):
            await transport.send(request, transport.deployments[0], timeouts=NONE)
        await asyncio.sleep(20)
        await transport.send(request, transport.deployments[0], timeouts=NONE)

    _, repair_s = through_the_crash(script)
    assert repair_s == pytest.approx(20)


def test_crashes_cost_availability_and_more_pods_lose_less():
    shares = []
    for pods in (None, 1, 4):
        gateway = None if pods is None else {"pods": pods, "crash": {"uptime": exp(40), "repair": exp(20)}}
        run = run_one(world(gateway, 5.0, horizon=3600.0), first_only)
        shares.append((run.log.requests_frame()["outcome"] == "ok").mean())
    assert shares[0] == 1
    # One pod is up two thirds of the time, and answers of 1.1 s are cut; of four, one is nearly always up.
    assert shares[1] == pytest.approx(2 / 3, abs=0.1)
    assert shares[2] > 0.9


def test_in_the_long_run_a_pod_is_there_for_uptime_over_uptime_and_repair():
    gateway = {"pods": 5, "crash": {"uptime": exp(300), "repair": exp(100)}}
    run = run_one(world(gateway, 0.01, horizon=86_400.0))
    usage = run.gateway
    spans = np.diff(np.append(usage.time_s, 86_400.0))
    assert float(usage.ready @ spans) / (5 * 86_400) == pytest.approx(0.75, abs=0.02)


# The autoscaler in its place

TAIL = {"total": {"kind": "lognormal", "mean": 1.2, "p99": 3.4}}
"""The playbook's answers: mean 1.2 s, p99 3.4 s."""


def scaled(metrics, **changes):
    """A gateway with an autoscaler; pods are ready before its next look."""
    scaling = {"min": 2, "max": 60, "metrics": metrics} | changes.pop("autoscaler", {})
    return {"pods": 4, "start_up": "10s", "usd_per_pod_hour": 0.1, "autoscaler": scaling} | changes


def wanted(run):
    """The numbers of pods that the autoscaler set, in turn."""
    numbers = run.gateway.wanted
    return numbers[np.insert(np.diff(numbers) != 0, 0, True)].tolist()


def test_on_p99_the_autoscaler_chases_the_providers_tail_and_gains_nothing():
    """p99 3.4 s against 2 s: 1.7 times as many pods at every look, up to the maximum, and the tail stays."""
    gateway = scaled([{"metric": "latency_p99_s", "target": 2}], service="5ms")
    chasing = run_one(world(gateway, 20.0, horizon=1200.0, latency=TAIL), first_only)
    still = run_one(world({"pods": 4, "service": "5ms"}, 20.0, horizon=1200.0, latency=TAIL), first_only)
    steps = wanted(chasing)
    assert steps[0] == 4
    assert steps[-1] == 60
    assert max(steps) == 60
    # Measured over a minute the p99 is about 3.4 s, not exactly; each step is the ceiling of its ratio.
    values = dict(zip(chasing.gateway.look_s, chasing.gateway.values[:, 0], strict=True))
    changes = {
        t: n for t, n in zip(chasing.gateway.time_s, chasing.gateway.wanted, strict=True) if t in values
    }
    before = 4
    for time, after in changes.items():
        assert after == min(60, math.ceil(before * values[time] / 2)), time
        before = after
    assert np.mean(list(values.values())) == pytest.approx(3.4, rel=0.06)
    tails = [np.quantile(run.requests["end_s"] - run.requests["arrival_s"], 0.99) for run in (chasing, still)]
    assert tails[0] == pytest.approx(tails[1], rel=0.005)
    assert chasing.gateway.cost_usd(0, 1200) > 10 * 4 * 0.1 / 3


def test_pods_that_start_slowly_make_the_chase_slower():
    """Only ready pods multiply: with 45 s to start and a look every 15 s, a step takes three looks or four.

    4 ready pods want 7 (1.7 x 4) until the 3 new ones are ready, and only then do 7 want 12.
    """
    gateway = scaled([{"metric": "latency_p99_s", "target": 2}], service="5ms", start_up="45s")
    run = run_one(world(gateway, 20.0, horizon=400.0, latency=TAIL), first_only)
    frame = run.gateway.frame()
    grown = frame[frame["wanted"].diff().fillna(0) > 0]
    assert grown["ready"].is_monotonic_increasing
    # A pod that was wanted at one look is not counted at the next two.
    quick = scaled([{"metric": "latency_p99_s", "target": 2}], service="5ms")
    other = run_one(world(quick, 20.0, horizon=400.0, latency=TAIL), first_only)
    reached = [each.gateway.frame().query("wanted >= 30")["time_s"].min() for each in (run, other)]
    assert reached[0] > reached[1] + 60


def test_on_concurrency_it_ignores_the_provider_and_follows_the_load():
    """20/s x 1.2 s = 24 requests held at once; at 8 a pod that is 3 pods, whatever the tail."""
    gateway = scaled([{"metric": "concurrency", "target": 8}])
    run = run_one(world(gateway, 20.0, horizon=1800.0, latency=TAIL), first_only)
    assert set(run.gateway.wanted) <= {3, 4}
    held = run.gateway.looks()["concurrency"] * run.gateway.wanted[-1]
    assert held[20:].mean() == pytest.approx(24, rel=0.1)


@pytest.mark.parametrize(("metric", "target"), [("cpu", 0.5), ("rate", 2.5)])
def test_where_the_pods_are_the_bottleneck_more_of_them_help(metric, target):
    """4 pods of 5/s for 25/s: hopeless. At half of that each, or at 2.5/s, it takes 10 pods."""
    service = {"service": exp(0.2)}
    scaling = scaled([{"metric": metric, "target": target}], **service)
    spec = world(scaling, 25.0, horizon=900.0, latency={"total": 0.1})
    alone = world(service | {"pods": 4}, 25.0, horizon=900.0, latency={"total": 0.1})
    helped, lost = (run_one(each, first_only) for each in (spec, alone))
    # The largest of the noisy wishes of 5 minutes stays.
    assert 10 <= helped.gateway.wanted[-1] <= 15
    late = [run.requests["arrival_s"] > 600 for run in (helped, lost)]
    took = [
        np.median((run.requests["end_s"] - run.requests["arrival_s"])[rows])
        for run, rows in zip((helped, lost), late, strict=True)
    ]
    assert took[0] < 1
    assert took[1] > 100 * took[0]


def test_start_up_delays_the_help():
    """The slower pods start, the longer an overload lasts."""
    took = []
    for start_up in ("5s", "120s"):
        gateway = scaled([{"metric": "cpu", "target": 0.5}], service=exp(0.2), start_up=start_up)
        run = run_one(world(gateway, 25.0, horizon=300.0, latency={"total": 0.1}), first_only)
        took.append((run.requests["end_s"] - run.requests["arrival_s"]).mean())
    assert took[1] > 1.4 * took[0]


def test_a_pod_that_leaves_ends_what_it_holds():
    """In a quiet hour the pods go down to the minimum, and no answer is lost by it."""
    gateway = scaled([{"metric": "concurrency", "target": 8}], pods=12)
    run = run_one(world(gateway, 5.0, horizon=1800.0, latency={"total": 30.0}), first_only)
    assert wanted(run)[0] == 12
    assert len(set(wanted(run))) > 1
    assert set(run.log.requests_frame()["outcome"]) == {"ok"}
    # A pod is paid for until it has ended.
    frame = run.gateway.frame()
    assert (frame["pods"] >= frame["wanted"]).all()


def test_pods_are_in_the_bill_of_a_result_beside_the_attempts():
    result = simulate(world({"pods": 3, "usd_per_pod_hour": 0.2}, replications=2), patient)
    assert result.metrics["cost_pods_usd_per_day"].value == pytest.approx(3 * 24 * 0.2)
    alone = simulate(world(None, replications=2), patient)
    assert alone.metrics["cost_pods_usd_per_day"].value == 0
    assert alone.cost_per_day.value == result.cost_per_day.value


def test_pod_hours():
    run = run_one(world({"pods": 3, "usd_per_pod_hour": 0.2}, horizon=7200.0))
    assert run.gateway.pod_hours(0, 7200) == pytest.approx(6)
    assert run.gateway.pod_hours(1800, 3600) == pytest.approx(1.5)
    assert run.gateway.cost_usd(0, 7200) == pytest.approx(1.2)


# Luck


BUSY = {
    "pods": 2,
    "service": exp(0.02),
    "concurrency": 6,
    "crash": {"uptime": exp(200), "repair": exp(30)},
    "autoscaler": {"max": 6, "metrics": [{"metric": "concurrency", "target": 3}]},
}


def everything(gateway=BUSY, **changes):
    spec = varied(600, **changes).to_dict()
    spec["components"]["g"] = GATEWAY["g"]
    for each in spec["deployments"].values():
        each["components"] = ["g"]
    return Scenario.from_dict(spec | ({} if gateway is None else {"gateway": gateway}))


def test_the_same_seed_gives_the_same_run():
    one, same, other = (run_one(everything(), patient, seed) for seed in (1, 1, 2))
    assert digest(one) == digest(same) != digest(other)
    assert one.gateway.frame().equals(same.gateway.frame())


def test_pods_move_no_draw_of_anything_else():
    with_pods, without = run_one(everything(), patient), run_one(everything(None), patient)
    assert arrivals(with_pods).equals(arrivals(without))
    met, meant = draws(with_pods), draws(without)
    both = met.index.intersection(meant.index)
    served = (met.loc[both, "outcome"] == "ok") & (meant.loc[both, "outcome"] == "ok")
    rows = both[served.to_numpy()]
    assert len(rows) > 1000
    # The provider's own times are the same; to the first token there is the pod's work besides.
    answering = [frame.loc[rows, "took_s"] - frame.loc[rows, "to_first_token_s"] for frame in (met, meant)]
    np.testing.assert_allclose(*answering, rtol=0, atol=1e-9)


def test_a_window_meets_the_crashes_and_the_work_of_a_full_run():
    gateway = {"pods": 3, "service": exp(0.02), "crash": {"uptime": exp(100), "repair": exp(30)}}
    full = run_one(everything(gateway), patient)
    part = run_one(everything(gateway), patient, window=(300.0, 200.0), environment=full.environment)
    inside = full.gateway.time_s[(full.gateway.time_s > 300) & (full.gateway.time_s < 500)]
    np.testing.assert_allclose(part.gateway.time_s[1:][: len(inside)] + 300, inside, atol=1e-6)
    assert len(inside) > 3


# The scenario


@pytest.mark.parametrize(
    ("gateway", "path", "expected"),
    [
        ({"pods": 0}, "gateway.pods", ">= 1"),
        ({"queue_limit": 3}, "gateway.queue_limit", "without concurrency"),
        ({"podz": 3}, "gateway.podz", "pods"),
        ({"crash": {"uptime": "10d"}}, "gateway.crash.repair", "required"),
        ({"autoscaler": {"max": 4, "metrics": []}}, "gateway.autoscaler.metrics", "at least one"),
        (
            {"autoscaler": {"max": 4, "metrics": [{"metric": "latency_p99", "target": 2}]}},
            "gateway.autoscaler.metrics[0].metric",
            "latency_p99_s",
        ),
        (
            {"pods": 9, "autoscaler": {"max": 4, "metrics": [{"metric": "cpu", "target": 0.5}]}},
            "gateway.pods",
            "1 to 4",
        ),
        (
            {
                "autoscaler": {
                    "max": 4,
                    "metrics": [{"metric": "cpu", "target": 0.5}],
                    "scale_up": {"policies": [{"period": "15s"}]},
                }
            },
            "gateway.autoscaler.scale_up.policies[0]",
            "pods or percent",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(gateway, path, expected):
    with pytest.raises(ScenarioError) as caught:
        world(gateway)
    assert path in str(caught.value)
    assert expected in str(caught.value)


def example(module):
    """The YAML in a module's docstring."""
    return yaml.safe_load(textwrap.dedent(module.__doc__.partition("\n\n")[2]))


def test_the_documented_examples_can_be_read_and_run_and_fit_the_schema():
    data = world(None, horizon=60.0).to_dict()
    data["regions"] = {"us-east-1": {}, "eu-west-1": {}}
    data["traffic"]["code"] = traffic(1.0, region="us-east-1")
    data["deployments"]["a"] |= {"region": "eu-west-1"} | example(quality_section)["deployments"]["gpt-4o"]
    data |= example(gateway_section) | example(network_section)
    spec = Scenario.from_dict(data)
    assert spec.gateway.autoscaler.scale_down.tolerance == 0.25
    assert Scenario.from_dict(spec.to_dict()) == spec
    for each in (data, spec.to_dict()):
        jsonschema.validate(each, Scenario.json_schema())
    (run,) = simulate(spec, first_only).runs
    assert len(run.gateway.look_s) >= 4


def test_pods_that_nothing_is_behind_are_refused():
    with pytest.raises(ScenarioError, match="kind gateway"):
        scenario(gateway={"pods": 2})


def test_a_gateway_is_written_as_it_was_read():
    spec = world(
        scaled(
            [{"metric": "latency_p95_s", "target": 2, "window": "2min"}],
            crash={"uptime": "1d", "repair": "30s"},
        )
    )
    assert Scenario.from_dict(spec.to_dict()) == spec
    assert spec.with_values({"gateway.autoscaler.scale_down.tolerance": 0.25}) != spec
