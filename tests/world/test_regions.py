"""Regions: how far clients are from deployments, and what they cannot reach."""

from __future__ import annotations

import asyncio

import jsonschema
import numpy as np
import pytest
from simulation.policies import first_only, patient
from simulation.runs import arrivals, digest, draws, play
from simulation.scenarios import deployment, exp, scenario, traffic, varied
from world.scripts import NONE, now, sending, streaming

from simsla.routing import AttemptTimeout, ConnectError, Timeouts
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one

RTT = {"us": {"us": "2ms", "eu": "80ms"}, "eu": {"us": "80ms", "eu": "2ms"}}
PARTITION = {"from": "us", "to": "eu", "at": "20s", "for": "40s"}


def world(network=None, client="us", *, rate=2.0, horizon=100.0, **changes):
    """A deployment `near` in us and one `far` in eu; the clients are in us.

    Example:
        network:
          rtt: {us: {us: 2ms, eu: 80ms}}
          partitions: [{from: us, to: eu, at: 20s, for: 40s}]
    """
    return scenario(
        {"far": deployment(region="eu", **changes), "near": deployment(region="us", **changes)},
        {"chat": traffic(rate, region=client)},
        regions={"us": {}, "eu": {}},
        horizon=horizon,
        **({} if network is None else {"network": network}),
    )


# Distance


def test_a_round_trip_is_added_to_the_first_token_and_to_the_whole_answer():
    (_, took), run = play(world({"rtt": RTT}), sending())
    assert took == pytest.approx(1.1 + 0.08)
    frame = run.log.attempts_frame()
    assert (frame["first_token_s"] - frame["start_s"]).iloc[0] == pytest.approx(0.18)
    (chunks, _, took), _ = play(world({"rtt": RTT}), streaming())
    assert chunks[0][0] == pytest.approx(0.18)
    assert took == pytest.approx(1.18)


def test_a_round_trip_is_added_to_errors_and_to_refusals():
    for errors in ({503: 1}, {"connect": 1}):
        (_, took), _ = play(world({"rtt": RTT}, errors=errors), sending())
        assert took == pytest.approx(0.05 + 0.08)


def test_after_a_wait_for_a_slot_too():
    async def script(transport, request):
        far = transport.deployments[0]
        await asyncio.gather(*(transport.send(request, far, timeouts=NONE) for _ in range(2)))
        return now()

    begun = []

    async def timed(transport, request):
        begun.append(now())
        return await script(transport, request) - begun[0]

    took, _ = play(world({"rtt": RTT}, max_concurrency=1), timed)
    # The slot is free when the answer has arrived, and the next one travels as far.
    assert took == pytest.approx(2 * 1.18)


def test_a_round_trip_counts_towards_the_limits():
    (error, took), _ = play(world({"rtt": RTT}), sending(Timeouts(total_s=1.15)))
    assert type(error) is AttemptTimeout
    assert took == pytest.approx(1.15)


@pytest.mark.parametrize(("client", "seconds"), [("us", 1.18), ("eu", 1.102), (None, 1.1)])
def test_it_depends_on_where_the_client_is(client, seconds):
    (_, took), _ = play(world({"rtt": RTT}, client), sending())
    assert took == pytest.approx(seconds)


def test_without_distances_everything_is_as_before():
    assert digest(run_one(world({"rtt": {}}), patient)) == digest(run_one(world(), patient))


def test_the_nearer_deployment_answers_sooner():
    def nearest_first(transport):
        transport.deployments = transport.deployments[::-1]
        return first_only(transport)

    runs = [run_one(world({"rtt": RTT}), policy) for policy in (first_only, nearest_first)]
    took = [(run.requests["end_s"] - run.requests["arrival_s"]).mean() for run in runs]
    assert took[0] - took[1] == pytest.approx(0.078)


def test_distance_moves_no_draw():
    regions = {"us": {}, "eu": {}}
    data = varied(300, regions=regions).to_dict()
    for each in data["traffic"].values():
        each["region"] = {"us": 1, "eu": 1}
    for name, region in (("a", "us"), ("b", "eu")):
        data["deployments"][name]["region"] = region
    near, far = (
        run_one(Scenario.from_dict(data | more), patient) for more in ({}, {"network": {"rtt": RTT}})
    )
    assert arrivals(near).equals(arrivals(far))
    met, meant = draws(far), draws(near)
    both = met.index.intersection(meant.index)
    served = (met.loc[both, "outcome"] == "ok") & (meant.loc[both, "outcome"] == "ok")
    rows = both[served.to_numpy()]
    extra = (met.loc[rows, "took_s"] - meant.loc[rows, "took_s"]).to_numpy()
    assert len(rows) > 500
    # Nothing but the two distances.
    assert set(np.round(extra, 9)) == {0.002, 0.08}


JITTER = {"kind": "lognormal", "median": 80, "p99": 140, "unit": "ms"}


def test_round_trips_may_be_drawn_for_every_attempt():
    run = run_one(world({"rtt": {"us": {"eu": JITTER}}}, rate=20, horizon=300), first_only)
    frame = run.log.attempts_frame()
    extra = (frame["end_s"] - frame["start_s"]).to_numpy() - 1.1
    assert len(extra) > 5000
    assert np.median(extra) == pytest.approx(0.08, rel=0.01)
    assert np.quantile(extra, 0.99) == pytest.approx(0.14, rel=0.03)
    assert np.allclose(frame["first_token_s"] - frame["start_s"] - 0.1, extra)


def test_each_call_of_a_request_has_a_round_trip_of_its_own_however_many_there_are():
    async def script(transport, request):
        took = []
        for _ in range(20):
            begin = now()
            await transport.send(request, transport.deployments[0], timeouts=NONE)
            took.append(now() - begin)
        return took

    took, _ = play(world({"rtt": {"us": {"eu": JITTER}}}), script)
    assert len(set(np.round(took, 9))) == 20
    again, _ = play(world({"rtt": {"us": {"eu": JITTER}}}), script)
    assert took == again


def test_jitter_moves_no_other_draw_and_a_distribution_of_one_value_is_that_value():
    still = run_one(world({"rtt": RTT}), patient)
    value = {"rtt": {"us": {"us": 0.002, "eu": {"kind": "constant", "value": 80, "unit": "ms"}}}}
    assert digest(run_one(world(value), patient)) == digest(still)
    moving = run_one(world({"rtt": {"us": {"us": "2ms", "eu": JITTER}}}), patient)
    assert arrivals(moving).equals(arrivals(still))


def test_distances_are_read_and_written():
    spec = world({"rtt": {"us": {"us": "2ms", "eu": JITTER}}})
    assert Scenario.from_dict(spec.to_dict()) == spec
    jsonschema.validate(spec.to_dict(), Scenario.json_schema())
    with pytest.raises(ScenarioError, match=r"network\.rtt\.us\.eu"):
        world({"rtt": {"us": {"eu": "80 leagues"}}})


# Partitions


def test_a_partition_fails_the_connections_of_one_pair_for_its_time():
    run = run_one(world({"partitions": [PARTITION]}), first_only)
    frame = run.log.attempts_frame()
    during = (frame["start_s"] >= 20) & (frame["start_s"] < 60)
    assert during.sum() > 30
    assert set(frame["outcome"][during]) == {"connect"}
    assert set(frame["outcome"][~during]) == {"ok"}


@pytest.mark.parametrize("client", ["eu", None])
def test_other_clients_do_not_notice(client):
    run = run_one(world({"partitions": [PARTITION]}, client), first_only)
    assert set(run.log.attempts_frame()["outcome"]) == {"ok"}


def test_other_deployments_are_reached():
    run = run_one(world({"partitions": [PARTITION]}), patient)
    requests = run.log.requests_frame()
    assert set(requests["outcome"]) == {"ok"}
    assert set(requests["deployment"]) == {"near", "far"}


def test_a_partition_in_which_nothing_comes_back_takes_the_connect_limit():
    async def script(transport, request):
        await asyncio.sleep(30 - now())
        begin = now()
        with pytest.raises((ConnectError, AttemptTimeout)):
            await transport.send(request, transport.deployments[0], timeouts=Timeouts(connect_s=3))
        return now() - begin

    took, _ = play(world({"partitions": [PARTITION | {"hang": True}]}), script)
    assert took == pytest.approx(3)


def test_a_drawn_partition_takes_its_share_of_time():
    drawn = {"from": "us", "to": "eu", "uptime": exp(90), "repair": exp(30)}
    run = run_one(world({"partitions": [drawn]}, rate=0.5, horizon=40_000.0), first_only)
    refused = (run.log.attempts_frame()["outcome"] == "connect").mean()
    assert refused == pytest.approx(0.25, abs=0.04)


def test_a_partition_adds_to_a_regions_own_faults_and_moves_none():
    own = {"faults": [{"kind": "outage", "uptime": exp(200), "repair": exp(20)}]}
    data = world(horizon=2000.0).to_dict()
    data["regions"]["eu"] = own
    base = run_one(Scenario.from_dict(data))
    more = run_one(Scenario.from_dict(data | {"network": {"partitions": [PARTITION]}}))
    kept = more.environment.frame().query("kind == 'outage'").reset_index(drop=True)
    columns = ["component", "start_s", "end_s"]
    assert base.environment.frame()[columns].astype(str).equals(kept[columns].astype(str))
    assert len(more.environment) == len(base.environment) + 1


def test_distance_behind_a_gateway():
    """An attempt travels, and passes a pod on its way."""
    data = world({"rtt": RTT, "partitions": [PARTITION]}).to_dict()
    data["components"] = {"g": {"kind": "gateway"}}
    data["gateway"] = {"service": "250ms", "concurrency": 1}
    for each in data["deployments"].values():
        each["components"] = ["g"]
    spec = Scenario.from_dict(data)
    (_, took), _ = play(spec, sending())
    assert took == pytest.approx(0.25 + 1.1 + 0.08)
    run = run_one(spec, patient)
    assert "connect" in set(run.log.attempts_frame()["outcome"])


@pytest.mark.parametrize(
    ("network", "path", "expected"),
    [
        ({"rtt": {"us": {"euu": "80ms"}}}, "network.rtt.us.euu", "'eu'"),
        ({"rtt": {"uss": {"eu": "80ms"}}}, "network.rtt.uss", "'us'"),
        ({"rtt": {"us": {"eu": "-1"}}}, "network.rtt.us.eu", "a duration"),
        (
            {"partitions": [{"from": "us", "to": "asia", "at": 1, "for": 2}]},
            "partitions[0].to",
            "a declared region",
        ),
        ({"partitions": [{"from": "us", "to": "eu", "at": 1}]}, "network.partitions[0]", "at and for"),
        (
            {"partitions": [{"from": "us", "to": "eu", "at": 1, "for": 2, "repair": 3}]},
            "partitions[0]",
            "repair",
        ),
        ({"round_trips": {}}, "network.round_trips", "rtt"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(network, path, expected):
    with pytest.raises(ScenarioError) as caught:
        world(network)
    assert path in str(caught.value)
    assert expected in str(caught.value)


def test_a_network_is_written_as_it_was_read():
    spec = world({"rtt": RTT, "partitions": [PARTITION | {"at": "03:00"}]})
    assert Scenario.from_dict(spec.to_dict()) == spec
