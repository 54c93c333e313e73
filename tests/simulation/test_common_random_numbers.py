"""Two policies, two windows and two almost equal scenarios meet the same luck."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest
from simulation.policies import patient
from simulation.runs import arrivals, draws
from simulation.scenarios import ERRORS, VARIED, deployment, exp, scenario, traffic, varied

from simsla.records import ColumnRecorder
from simsla.simulation import run_one
from simsla.world.faults import draw_environment

RETRIES = {
    "timeouts": {"total_s": 30},
    "max_attempts": 9,
    "breaker": None,
    "retry": {"max_attempts": 1, "backoff": {"base_s": 0.01, "cap_s": 0.02}},
}


def same_environment(one, other, components=("p", "q")):
    frames = []
    for run in (one, other):
        frame = run.environment.frame().astype({"component": str})
        frames.append(frame[frame["component"].isin(components)].reset_index(drop=True))
    assert len(frames[0]) > 2
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def same_draws(one, other, *, least):
    """Every attempt that both made under one address met the same luck.

    Its faults depend on when it was made: of attempts that met no fault the durations are those drawn.
    """
    first, second = draws(one), draws(other)
    both = first.index.intersection(second.index)
    assert len(both) >= least
    first, second = first.loc[both], second.loc[both]
    answered = (first["outcome"] == "ok") & (second["outcome"] == "ok")
    assert answered.sum() > 0.4 * len(both)
    first, second = first[answered], second[answered]
    for column in ("tokens_in", "tokens_out", "cost_usd"):
        assert (first[column] == second[column]).all(), column
    for column in ("took_s", "to_first_token_s"):
        np.testing.assert_allclose(first[column], second[column], rtol=0, atol=1e-9)
    return first.index


def test_more_retries_move_no_draw():
    world = varied(routing=RETRIES)
    one, three = (run_one(world.with_values({"routing.retry.max_attempts": most}), seed=3) for most in (1, 3))
    pd.testing.assert_frame_equal(arrivals(one), arrivals(three), check_exact=True)
    same_environment(one, three)
    shared = same_draws(one, three, least=1000)
    assert len(three.attempts["request"]) > len(one.attempts["request"])
    # Second calls too, which the one makes to the fall-back and the other to the same deployment first.
    assert set(shared.get_level_values("deployment")) == {"a", "b"}
    # An attempt's failure is the deployment's own luck, if it met no fault: first attempts meet the same.
    first, second = draws(one), draws(three)
    at_once = (slice(None), "a", 0, "answer")
    assert (first.loc[at_once, "outcome"] == second.loc[at_once, "outcome"]).all()


def test_seeds_and_replications_differ():
    world = varied(60)
    runs = [run_one(world, patient, seed, replication) for seed, replication in ((1, 0), (1, 1), (2, 0))]
    starts = [tuple(arrivals(run)["arrival_s"][:5]) for run in runs]
    assert len(set(starts)) == 3


def changed(change):
    data = varied().to_dict()
    change(data)
    return varied().from_dict(data)


def test_a_deployment_added_moves_no_draw():
    def add(data):
        new = deployment(latency=VARIED, errors=ERRORS, provider="p")
        data["deployments"] = {"new": new, **data["deployments"]}

    def old_ones(transport):
        handle = patient(transport)
        transport.deployments = tuple(d for d in transport.deployments if d.name != "new")
        return handle

    base, more = run_one(varied(), patient), run_one(changed(add), old_ones)
    pd.testing.assert_frame_equal(arrivals(base), arrivals(more), check_exact=True)
    same_environment(base, more)
    same_draws(base, more, least=1000)
    assert (draws(base)["outcome"] == draws(more)["outcome"]).all()

    used = run_one(changed(add), patient)
    pd.testing.assert_frame_equal(arrivals(base), arrivals(used), check_exact=True)
    same_draws(base, used, least=100)


def test_a_component_added_moves_no_draw():
    def add(data):
        new = {"faults": [{"kind": "outage", "gap": exp(50), "repair": exp(5)}]}
        data["components"] = {"new": new, **data["components"]}

    base, more = run_one(varied(), patient), run_one(changed(add), patient)
    pd.testing.assert_frame_equal(arrivals(base), arrivals(more), check_exact=True)
    same_environment(base, more)
    assert len(more.environment) > len(base.environment)
    pd.testing.assert_frame_equal(draws(base), draws(more), check_exact=True)


def test_a_fault_of_another_kind_moves_no_episode():
    def add(data):
        faults = data["components"]["p"]["faults"]
        data["components"]["p"]["faults"] = [{"kind": "hang", "gap": exp(50), "repair": exp(5)}, *faults]

    base, more = (draw_environment(world, 1, 0, 300).frame() for world in (varied(), changed(add)))
    more = more[more["kind"] != "hang"].reset_index(drop=True)
    pd.testing.assert_frame_equal(base, more, check_exact=True)


def test_a_request_class_added_moves_no_draw():
    """Numbers are shared out among the classes; what was drawn for a class stays its own."""

    def add(data):
        data["traffic"] = {"new": traffic(2), **data["traffic"]}

    base, more = run_one(varied(), patient), run_one(changed(add), patient)
    same_environment(base, more)
    frames = []
    for run in (base, more):
        requests = run.log.requests_frame().astype({"request_class": str, "deployment": str})
        requests = requests[requests["request_class"] != "new"].sort_values(["request_class", "arrival_s"])
        frames.append(requests.drop(columns="request").reset_index(drop=True))
    pd.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.mark.parametrize("environment", ["given", "drawn"])
@pytest.mark.parametrize("start", [150.0, 512.5, 999.0])
def test_a_later_window_meets_the_same_requests_and_the_same_luck(environment, start):
    world = varied(1200)
    full = run_one(world, patient)
    part = run_one(
        world,
        patient,
        window=(start, 180.0),
        environment=full.environment if environment == "given" else None,
    )
    assert (part.epoch_s, part.start_s, part.end_s) == (start, 0.0, 180.0)
    expected = arrivals(full).query("@start <= arrival_s < @start + 180").reset_index(drop=True)
    found = arrivals(part)
    assert len(found) > 500
    pd.testing.assert_frame_equal(
        found.drop(columns="arrival_s"), expected.drop(columns="arrival_s"), check_exact=True
    )
    np.testing.assert_allclose(found["arrival_s"], expected["arrival_s"], rtol=0, atol=1e-9)
    met, meant = draws(part), draws(full)
    meant = meant[meant.index.get_level_values("request").isin(found["request"])]
    assert met.index.equals(meant.index)
    assert (met["outcome"] == meant["outcome"]).all()
    same_draws(part, full, least=len(met))
    ends = [run.log.requests_frame().set_index("request")["outcome"].astype(str) for run in (part, full)]
    assert (ends[0] == ends[1].loc[ends[0].index]).all()


def test_a_window_has_its_warm_up_before_it():
    world = varied(600, warmup=50)
    part = run_one(world, patient, window=(200.0, 100.0))
    assert (part.epoch_s, part.start_s, part.end_s) == (150.0, 50.0, 150.0)
    assert part.requests["arrival_s"].min() < 5
    early = run_one(world, patient, window=(20.0, 100.0))
    assert (early.epoch_s, early.start_s, early.end_s) == (0.0, 20.0, 120.0)


def test_a_longer_warm_up_moves_no_draw():
    world = varied(600)
    short, long = (
        run_one(world.with_values({"warmup": warmup}), patient, window=(300.0, 200.0)) for warmup in (10, 150)
    )
    frames = []
    for run in (short, long):
        frame = arrivals(run)
        frames.append(frame[frame["arrival_s"] >= 300].drop(columns="arrival_s").reset_index(drop=True))
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert len(frames[0]) > 500
    same_draws(short, long, least=len(frames[0]))
    assert len(long.requests["request"]) > len(short.requests["request"])


def test_a_longer_horizon_only_appends():
    short, long = run_one(varied(300), patient), run_one(varied(900), patient)
    expected = arrivals(long).query("arrival_s < 300").reset_index(drop=True)
    pd.testing.assert_frame_equal(arrivals(short), expected, check_exact=True)
    met = draws(short)
    pd.testing.assert_frame_equal(met, draws(long).loc[met.index], check_exact=True)
    assert len(long.requests["request"]) > 2 * len(short.requests["request"])


def test_a_recorder_of_ones_own_and_keeping_columns_agree():
    recorder = ColumnRecorder()
    given = run_one(varied(60), patient, recorder=recorder)
    default = run_one(varied(60), patient)
    pd.testing.assert_frame_equal(draws(given), draws(default), check_exact=True)


def test_many_calls_by_one_request_meet_the_same_luck_however_they_are_made():
    def one_by_one(transport):
        async def handle(request):
            for _ in range(100):
                await transport.send(request, transport.deployments[0])

        return handle

    def all_at_once(transport):
        async def handle(request):
            await asyncio.gather(*(transport.send(request, transport.deployments[0]) for _ in range(100)))

        return handle

    world = scenario({"a": deployment(latency=VARIED)}, {"chat": traffic(1, deadline=1000)}, horizon=10)
    first, second = (run_one(world, policy) for policy in (one_by_one, all_at_once))
    assert len(first.attempts["request"]) >= 500
    same_draws(first, second, least=len(first.attempts["request"]))
    took = draws(first)["took_s"]
    assert took.nunique() > 0.99 * len(took)


def test_no_two_requests_share_their_luck():
    """Numbers are drawn in blocks of 1,024: a request in a later block meets luck of its own."""
    world = scenario({"a": deployment(latency=VARIED)}, {"chat": traffic(10)}, horizon=400)
    frame = run_one(world, patient).log.attempts_frame()
    assert len(frame) > 3 * 1024
    assert (frame["end_s"] - frame["start_s"]).round(7).nunique() > 0.99 * len(frame)
