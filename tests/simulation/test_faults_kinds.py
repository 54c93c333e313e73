"""A canary for every kind and every option of a fault: injecting it must change the result as it must."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation.runs import digest, play
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

from simsla.routing import AttemptTimeout, ConnectError, RateLimited, Timeouts
from simsla.simulation import run_one
from simsla.world.environment import FAULT_KINDS

HORIZON = 200.0
DRAWN = {"uptime": exp(30), "repair": exp(20)}
REGIONS = {"here": None, "there": None}


def once(transport):
    """One attempt at the first deployment, with a limit of 9 s, 3 s of them to connect."""

    async def handle(request):
        return await transport.send(
            request, transport.deployments[0], timeouts=Timeouts(connect_s=3, total_s=9)
        )

    return handle


def world(*faults, classes=None, component=None, deployment_=None, **parts):
    components = {"p": None, "g": {"faults": list(faults)} | (component or {})}
    return scenario(
        {"a": deployment(components=["g"], retry_after=7, **(deployment_ or {}))},
        classes or {"chat": traffic(5, region={"here": 1, "there": 1})},
        horizon=HORIZON,
        components=components | parts.pop("components", {}),
        regions=REGIONS,
        **parts,
    )


def outcomes(spec, **options):
    """The attempts of a run, one per request."""
    run = run_one(spec, once, **options)
    frame = run.log.attempts_frame().astype({"outcome": str})
    frame["took_s"] = frame["end_s"] - frame["start_s"]
    frame["good"] = frame["outcome"] == "ok"
    return frame.sort_values("request").reset_index(drop=True)


def availability(spec):
    return float(outcomes(spec)["good"].mean())


# Every kind

KINDS = {
    "outage": ({}, "connect"),
    "hang": ({}, "timeout"),
    "brownout": ({"severity": 0.8}, "unavailable"),
    "slowdown": ({"severity": 20}, "timeout"),
    "cut": ({"severity": 0.8}, "interrupted"),
    "malformed": ({"severity": 0.8}, "malformed"),
    "rate_limit_storm": ({"severity": 0.8}, "rate_limited"),
    "connect": ({}, "connect"),
}


def test_there_is_a_canary_for_every_kind():
    assert set(KINDS) == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", [DRAWN, {"schedule": [{"at": 50, "for": 60}]}], ids=["drawn", "scheduled"])
def test_injecting_it_costs_availability_in_its_own_way(kind, when):
    options, outcome = KINDS[kind]
    healthy, faulty = (outcomes(world(*faults)) for faults in ([], [{"kind": kind} | options | when]))
    assert healthy["good"].all()
    assert set(faulty["outcome"]) == {"ok", outcome}
    assert 0.2 < faulty["good"].mean() < 0.9


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"slowdown"}))
def test_a_larger_severity_costs_more(kind):
    shares = [availability(world(scheduled(kind, 50, 60, severity=severity))) for severity in (0.2, 0.5, 1)]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == 3


# A storm of 429s


def test_a_storm_turns_away_at_once_with_its_own_retry_after():
    async def ask(transport, request):
        with pytest.raises(RateLimited) as caught:
            await transport.send(request, transport.deployments[0], timeouts=Timeouts())
        return caught.value.retry_after_s

    storm = scheduled("rate_limit_storm", 0, HORIZON, severity=1)
    assert play(world(storm), ask)[0] == 7, "the deployment's own"
    assert play(world(storm | {"retry_after": 33}), ask)[0] == 33
    assert play(world(storm | {"retry_after": 0}), ask)[0] == 0
    other = scheduled("rate_limit_storm", 0, HORIZON, severity=1, retry_after=44)
    assert play(world(storm | {"retry_after": 33, "severity": 1e-9}, other), ask)[0] == 44


def test_only_the_storms_own_errors_tell_its_retry_after():
    told = {}

    def factory(transport):
        async def handle(request):
            try:
                return await transport.send(request, transport.deployments[0], timeouts=Timeouts())
            except RateLimited as error:
                told[error.retry_after_s] = told.get(error.retry_after_s, 0) + 1
                raise

        return handle

    storm = scheduled("rate_limit_storm", 0, HORIZON, severity=0.5, retry_after=33)
    run = run_one(world(storm, deployment_={"errors": {429: 0.5}}), factory)
    total = len(run.requests["request"])
    assert stats.binomtest(told[33.0], total, 0.5).pvalue > 1e-4
    assert stats.binomtest(told[7.0], total, 0.25).pvalue > 1e-4


def test_a_storm_takes_no_slot_and_a_brownout_does():
    busy = {"max_concurrency": 1, "error_latency": 1.0, "queue_limit": 0, "latency": {"total": 0.01}}
    served = {}
    for kind in ("rate_limit_storm", "brownout"):
        error = {"error": 500} if kind == "brownout" else {}
        frame = outcomes(world(scheduled(kind, 0, 300, severity=0.5, **error), deployment_=busy))
        served[kind] = frame["good"].mean()
    assert served["rate_limit_storm"] > 0.4 > 0.25 > served["brownout"]


# Connections that fail


async def connecting(transport, request, **limits):
    begin = transport._loop.time()
    with pytest.raises((ConnectError, AttemptTimeout)) as caught:
        await transport.send(request, transport.deployments[0], timeouts=Timeouts(**limits))
    return caught.value, transport._loop.time() - begin


async def streaming(transport, request, **limits):
    begin = transport._loop.time()
    async with transport.stream(request, transport.deployments[0], timeouts=Timeouts(**limits)) as chunks:
        with pytest.raises((ConnectError, AttemptTimeout)) as caught:
            await anext(chunks)
    return caught.value, transport._loop.time() - begin


@pytest.mark.parametrize("call", [connecting, streaming])
def test_a_connection_is_refused_at_once_or_not_even_that(call):
    def script(**limits):
        return lambda transport, request: call(transport, request, **limits)

    fault = scheduled("connect", 0, HORIZON)
    (error, took), _ = play(world(fault), script(connect_s=3, total_s=9))
    assert isinstance(error, ConnectError)
    assert took == pytest.approx(0.05)
    (error, took), _ = play(world(fault | {"hang": True}), script(connect_s=3, total_s=9))
    assert isinstance(error, AttemptTimeout)
    assert (error.phase, took) == ("connect", pytest.approx(3))
    (error, took), _ = play(world(fault | {"hang": True}), script(total_s=9))
    assert (error.phase, took) == ("total", pytest.approx(9))


def test_a_hanging_connection_is_found_sooner_than_a_hanging_answer():
    took = {
        kind: outcomes(world(scheduled(kind, 0, 300, **more)))["took_s"].max()
        for kind, more in (("connect", {"hang": True}), ("hang", {}))
    }
    assert took == {"connect": pytest.approx(3), "hang": pytest.approx(9)}


def test_both_ways_of_not_connecting_take_their_shares():
    frame = outcomes(
        world(
            scheduled("connect", 0, 300, severity=0.5, hang=True),
            scheduled("connect", 0, 300, severity=0.5),
            scheduled("outage", 0, 300, severity=0.5),
        )
    )
    for outcome, share in (("timeout", 0.5), ("connect", 0.375), ("ok", 0.125)):
        assert stats.binomtest(int((frame["outcome"] == outcome).sum()), len(frame), share).pvalue > 1e-4


# Grey failures

TWO = {name: traffic(5, region={"here": 1, "there": 1}) for name in ("chat", "batch")}


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_may_be_grey(kind):
    options, _ = KINDS[kind]
    fault = {"kind": kind} | options | DRAWN
    everybody, some = (
        outcomes(world(fault | only, classes=TWO)) for only in ({}, {"only": {"classes": ["batch"]}})
    )
    code = some["request"] % 2  # requests of two classes are numbered in turn
    assert some["good"][code == 0].all()
    assert (some["good"][code == 1].to_numpy() == everybody["good"][code == 1].to_numpy()).all()
    assert not some["good"].all()


def test_only_clients_in_one_region_notice():
    seen = {"here": [], "there": []}

    def factory(transport):
        async def handle(request):
            try:
                return await transport.send(request, transport.deployments[0])
            except ConnectError:
                seen[request.region].append(False)
                raise
            finally:
                seen[request.region].append(True)

        return handle

    run_one(world(scheduled("outage", 0, 300, only={"regions": ["there"]})), factory)
    assert all(seen["here"])
    assert seen["there"].count(False) == seen["there"].count(True) > 100


def retrying(transport):
    async def handle(request):
        for _ in range(3):
            try:
                return await transport.send(request, transport.deployments[0])
            except Exception as error:
                last = error
        raise last

    return handle


def test_a_share_of_the_clients_is_hit_again_and_again():
    """Retries help against an error share, and not against a grey failure of as many clients."""
    grey, shared = (
        run_one(world(scheduled("outage", 0, 300, **limit)), retrying)
        for limit in ({"only": {"clients": 0.4}}, {"severity": 0.4})
    )
    total = len(grey.requests["request"])
    failed = [int((run.log.requests_frame()["outcome"] == "error").sum()) for run in (grey, shared)]
    assert stats.binomtest(failed[0], total, 0.4).pvalue > 1e-4
    assert stats.binomtest(failed[1], total, 0.4**3).pvalue > 1e-4


def test_the_same_client_is_hit_at_every_deployment_and_by_every_request():
    spec = scenario(
        {name: deployment(components=["g"]) for name in ("a", "b")},
        {"chat": traffic(5)},
        components={"g": {"faults": [scheduled("outage", 0, 300, only={"clients": 0.5})]}},
        regions=REGIONS,
    )
    hit = {}

    def factory(transport):
        async def handle(request):
            request.client = f"client {request.id % 40}"
            for one in transport.deployments:
                try:
                    await transport.send(request, one)
                    hit.setdefault(request.client, set()).add(False)
                except ConnectError:
                    hit.setdefault(request.client, set()).add(True)

        return handle

    run_one(spec, factory)
    assert all(len(both) == 1 for both in hit.values())
    assert 8 <= sum(both == {True} for both in hit.values()) <= 32


def test_a_user_is_hit_through_all_sessions():
    arrivals = {"kind": "sessions", "users": 40, "think": exp(5), "requests_per_session": 3}
    spec = world(
        scheduled("outage", 0, 300, only={"clients": 0.5}),
        classes={"chat": {**traffic(), "arrivals": arrivals}},
    )
    hit = {}

    def factory(transport):
        async def handle(request):
            try:
                reply = await transport.send(request, transport.deployments[0])
                hit.setdefault(request.client, set()).add(False)
                return reply
            except ConnectError:
                hit.setdefault(request.client, set()).add(True)
                raise

        return handle

    run_one(spec, factory)
    assert len(hit) == 40
    assert all(len(both) == 1 for both in hit.values())
    assert 8 <= sum(both == {True} for both in hit.values()) <= 32


def test_a_larger_share_of_clients_holds_the_smaller_one():
    sets = []
    for share in (0.2, 0.6):
        frame = outcomes(world(scheduled("outage", 0, 300, only={"clients": share})))
        sets.append(set(frame["request"][~frame["good"]]))
    assert sets[0] < sets[1]


def test_limits_of_different_faults_are_kept_apart():
    frame = outcomes(
        world(
            scheduled("outage", 0, 100, only={"classes": ["chat"]}),
            scheduled("brownout", 50, 100, severity=1, only={"classes": ["batch"]}),
            scheduled("hang", 150, 100),
            classes=TWO,
        )
    )
    chat = frame["request"] % 2 == 0
    start = frame["start_s"]
    assert set(frame["outcome"][chat & (start < 100)]) == {"connect"}
    assert set(frame["outcome"][chat & (start >= 100) & (start < 150)]) == {"ok"}
    assert set(frame["outcome"][~chat & (start < 50)]) == {"ok"}
    assert set(frame["outcome"][~chat & (start >= 50) & (start < 150)]) == {"unavailable"}
    assert set(frame["outcome"][start >= 150]) == {"timeout"}


def test_who_waited_for_a_slot_meets_its_own_conditions():
    spec = world(
        scheduled("brownout", 25, 300, severity=1, only={"classes": ["batch"]}),
        classes={name: traffic(0.5) for name in ("chat", "batch")},
        deployment_={"max_concurrency": 1, "latency": {"total": 5}},
    )

    def patient(transport):
        async def handle(request):
            return await transport.send(request, transport.deployments[0])

        return handle

    frame = run_one(spec, patient).log.attempts_frame().astype({"outcome": str})
    served_s = frame["start_s"] + frame["queued_s"]
    waited = (frame["queued_s"] > 0) & (served_s > 26) & (frame["outcome"] != "cancelled")
    for code, outcome in ((0, "ok"), (1, "unavailable")):
        mine = waited & (frame["request"] % 2 == code)
        assert set(frame["outcome"][mine]) == {outcome}


def test_a_window_meets_the_same_grey_failure_as_the_full_run():
    spec = world({"kind": "outage", "only": {"clients": 0.5}} | DRAWN)
    whole, later = (outcomes(spec, **options) for options in ({}, {"window": (60.0, 80.0)}))
    both = whole.merge(later, on="request", suffixes=("", "_later"))
    assert len(both) == len(later) > 100
    assert (both["outcome"] == both["outcome_later"]).all()
    assert digest(run_one(spec, once)) == digest(run_one(spec, once))


def test_a_deployment_without_grey_failures_is_left_alone():
    """The limit that hits nobody gives the very same logs as no fault at all."""
    nobody = scheduled("outage", 0, 300, only={"regions": ["there"]})
    only_here = {"chat": traffic(5, region="here")}
    assert digest(run_one(world(nobody, classes=only_here), once)) == digest(
        run_one(world(classes=only_here), once)
    )


# Options of time: flapping, windows, releases, common causes, crews


def test_flapping_gives_back_the_time_between():
    steady, flapping = (
        outcomes(world({"kind": "outage"} | DRAWN | more))
        for more in ({}, {"flapping": {"up": 3, "down": 1}})
    )
    assert steady["good"].mean() < flapping["good"].mean() < 1
    assert not (flapping["outcome"][steady["good"]] != "ok").any()


def test_maintenance_strikes_at_its_hours_alone():
    frame = outcomes(world({"kind": "outage", "schedule": [{"every": 50, "at": 20, "for": 10}]}))
    of_window_s = frame["start_s"] % 50
    assert (frame["good"] == ~((of_window_s >= 20) & (of_window_s < 30))).all()


def test_a_release_that_is_noticed_sooner_costs_less():
    shares = [
        availability(
            world(
                {
                    "kind": "brownout",
                    "severity": 0.5,
                    "schedule": [{"every": 50, "at": 10}],
                    "rollback": {"noticed": exp(noticed), "bad": bad},
                }
            )
        )
        for noticed, bad in ((30, 1), (8, 1), (8, 0.6))
    ]
    assert shares[0] < shares[1] < shares[2] < 1


def pair(beta):
    """Two models of one provider; a request asks one, and then the other."""
    model = {
        "parent": "p",
        "beta": beta,
        "faults": [{"kind": "outage", "uptime": exp(40), "repair": exp(10)}],
    }
    return scenario(
        {name: deployment(components=[name]) for name in ("a", "b")},
        {"chat": traffic(2)},
        components={"p": None, "a": model, "b": model},
        horizon=4000,
    )


def either(transport):
    async def handle(request):
        try:
            return await transport.send(request, transport.deployments[0])
        except ConnectError:
            return await transport.send(request, transport.deployments[1])

    return handle


def test_shared_fate_defeats_fail_over():
    failed = []
    for beta in (0.0, 0.3, 1.0):
        frame = run_one(pair(beta), either).log.requests_frame()
        failed.append(float((frame["outcome"] == "error").mean()))
    assert 0.02 < failed[0] < failed[1] < failed[2]
    assert failed[2] == pytest.approx(0.2, abs=0.05)


def test_a_busy_crew_makes_outages_longer():
    shares = []
    for size in (4, 1):
        faulty = {"crew": "ops", "faults": [{"kind": "outage", "uptime": exp(40), "repair": exp(20)}]}
        spec = world(component=faulty, components=dict.fromkeys("xyz", faulty), crews={"ops": size})
        shares.append(availability(spec.with_values({"horizon": 3000})))
    assert shares[1] < shares[0] - 0.05


# The schedule, and its verbs


def test_each_verb_changes_what_attempts_meet():
    base = world()
    fine = outcomes(base)
    failed = outcomes(base.world.fail("g", at=50, for_=20))
    assert (failed["good"] == ~failed["start_s"].between(50, 70, inclusive="left")).all()
    half = outcomes(base.world.fail("g", at=50, share=0.5))
    assert 0.3 < half["good"][half["start_s"] >= 50].mean() < 0.7
    slow = outcomes(base.world.slow("g", at=50, for_=20, factor=3))
    assert slow["took_s"][slow["start_s"].between(50, 70, inclusive="left")].to_numpy() == pytest.approx(3.3)
    assert slow["took_s"].sum() > fine["took_s"].sum()
    limited = outcomes(base.world.limit("g", at=50, for_=20, share=0.5))
    assert set(limited["outcome"]) == {"ok", "rate_limited"}
    grey = outcomes(base.world.fail("g", at=0, only={"regions": ["here"]}))
    assert 0.3 < grey["good"].mean() < 0.7
    repaired = outcomes(base.world.fail("g", at=50).world.repair("g", at=60))
    assert (repaired["good"] == ~repaired["start_s"].between(50, 60, inclusive="left")).all()


def test_a_repair_helps_against_drawn_faults():
    spec = world({"kind": "outage"} | DRAWN)
    before = outcomes(spec)
    first = float(before["start_s"][~before["good"]].min())
    after = outcomes(spec.world.repair("g", at=first + 0.5))
    assert after["good"].mean() > before["good"].mean()
    assert (before["good"] & ~after["good"]).sum() == 0


def test_a_region_goes_dark_at_3_am():
    spec = scenario(
        {"a": deployment(region="us-east-1")},
        {"chat": traffic("2/min")},
        horizon=86_400.0,
        regions={"us-east-1": None},
        schedule=[{"at": "03:00", "fail": "us-east-1", "for": "45min"}],
    )
    frame = outcomes(spec)
    bad = frame["start_s"][~frame["good"]]
    assert (bad.min() // 3600, bad.max() < 3.75 * 3600) == (3, True)
    assert len(bad) == frame["start_s"].between(10_800, 13_500, inclusive="left").sum() > 50


# Cascades


def test_a_failed_regions_traffic_overloads_the_others():
    """Capacity for two thirds of the load in each of two regions: together enough, alone not."""
    spec = scenario(
        {
            name: deployment(region=name, max_concurrency=7, latency={"total": 1.0})
            for name in ("east", "west")
        },
        {name: traffic(5, region=name, deadline=4) for name in ("east", "west")},
        horizon=300,
        regions={"east": None, "west": None},
        schedule=[{"at": 100, "fail": "east", "for": 100}],
    )

    def near_first(transport):
        async def handle(request):
            near = sorted(transport.deployments, key=lambda one: one.region != request.region)
            try:
                return await transport.send(request, near[0])
            except ConnectError:
                return await transport.send(request, near[1])

        return handle

    def bad_share(world_, of, begin, end):
        frame = run_one(world_, near_first).log.requests_frame()
        frame = frame.astype({"request_class": str, "outcome": str})
        mine = frame[(frame["request_class"] == of) & frame["arrival_s"].between(begin, end)]
        return float((mine["outcome"] != "ok").mean())

    assert bad_share(spec, "west", 20, 95) < 0.02
    assert bad_share(spec, "west", 120, 200) > 0.4, (
        "nothing is wrong with the west but its neighbour's traffic"
    )
    assert bad_share(spec, "west", 230, 300) < 0.02
    roomy = spec.with_values({"deployments.west.max_concurrency": 20})
    assert bad_share(roomy, "west", 120, 200) < 0.02
    without = spec.with_values({"schedule": []})
    assert bad_share(without, "west", 120, 200) < 0.02


def test_the_environment_of_every_kind_is_drawn_before_the_run():
    faults = [{"kind": kind} | options | DRAWN for kind, (options, _) in KINDS.items()]
    run = run_one(world(*faults), once)
    assert set(run.environment.frame()["kind"].astype(str)) == set(FAULT_KINDS)
    assert np.isfinite(run.environment.end_s).all()
