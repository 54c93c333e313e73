"""Latency that moves with time: part of the environment, whoever calls and wherever a run begins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from simulation.policies import patient
from simulation.runs import digest, draws
from simulation.scenarios import VARIED, deployment, scenario, scheduled, traffic

from simsla.scenario import Latency, Scenario, ScenarioError
from simsla.scenario.instants import DEFAULT_START
from simsla.simulation import run_one
from simsla.world.latent import LatencyLevel, OrnsteinUhlenbeck
from simsla.world.streams import Stream

TAU = 160.0
CELL = TAU / 16
WANDER = {"sigma": 0.4, "time_constant": TAU}


def constant(**changes):
    """A deployment whose answers take 1 s, but for what moves in time."""
    return deployment(latency={"total": 1.0} | changes)


def world(*, rate=2, horizon=600.0, **changes):
    return scenario({"a": constant(**changes)}, {"chat": traffic(rate)}, horizon=horizon)


def took(run):
    return run.attempts["end_s"] - run.attempts["start_s"]


def starts(run):
    return run.epoch_s + run.attempts["start_s"]


def process(points, sigma=0.4, seed=1, replication=0, name="a"):
    stream = Stream(seed, replication, "deployment", name, "latency level")
    found = OrnsteinUhlenbeck(sigma, stream)
    return np.array([found.at(k) for k in range(points)])


# The process


def test_it_is_normal_with_the_given_deviation():
    # One point in eight time constants, so that they are nearly independent.
    x = process(16 * 8 * 2000)[:: 16 * 8]
    assert stats.kstest(x / 0.4, "norm").pvalue > 1e-4


def test_its_autocorrelation_is_exponential():
    x = process(400_000)
    x = x / 0.4
    for lag in (1, 8, 16, 32):
        found = float(np.mean(x[:-lag] * x[lag:]))
        # 25,000 time constants: the error of a correlation is about sqrt(2 / 25,000).
        assert found == pytest.approx(math.exp(-lag / 16), abs=0.04), lag


def test_the_seam_between_blocks_is_not_seen():
    x = process(1024 * 40) / 0.4
    a = math.exp(-1 / 16)
    steps = (x[1:] - a * x[:-1]) / math.sqrt(1 - a * a)
    seams = steps[1023::1024]
    assert len(seams) == 39
    assert np.abs(seams).max() < 4
    assert stats.kstest(steps, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1]) < 0.02


def test_any_part_can_be_had_alone():
    stream = Stream(1, 0, "deployment", "a", "latency level")
    alone = OrnsteinUhlenbeck(0.4, stream)
    far = 3 * 10**12
    assert process(3000)[2999] == alone.at(2999) != alone.at(2998)
    assert alone.at(far) == OrnsteinUhlenbeck(0.4, stream).at(far)


def test_seeds_replications_and_deployments_wander_apart():
    paths = [process(20_000, **which) for which in ({}, {"seed": 2}, {"replication": 1}, {"name": "b"})]
    for i, one in enumerate(paths):
        for other in paths[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


# What attempts meet


def test_attempts_near_in_time_take_about_as_long_and_the_mean_stays():
    run = run_one(world(correlation=WANDER, horizon=400_000, rate=0.1), patient)
    order = np.argsort(run.attempts["start_s"])
    seconds, at = took(run)[order], run.attempts["start_s"][order]
    assert seconds.mean() == pytest.approx(1.0, rel=0.05)
    logs = np.log(seconds)
    assert logs.std() == pytest.approx(0.4, rel=0.05)
    gaps = np.diff(at)
    near = gaps < CELL
    together = np.corrcoef(logs[:-1][near], logs[1:][near])[0, 1]
    assert together > 0.9
    shift = 300  # about 3,000 s: 19 time constants
    assert abs(np.corrcoef(logs[:-shift], logs[shift:])[0, 1]) < 0.1


def test_without_it_latencies_are_independent():
    run = run_one(scenario({"a": deployment(latency=VARIED)}, horizon=3000), patient)
    first = run.attempts["first_token_s"] - run.attempts["start_s"]
    logs = np.log(first[np.argsort(run.attempts["start_s"])])
    assert abs(np.corrcoef(logs[:-1], logs[1:])[0, 1]) < 0.05


@pytest.mark.parametrize("start", [150.0, 1234.5])
def test_a_window_meets_the_level_of_a_full_run(start):
    spec = world(correlation=WANDER, profile={"00:10": 1, "00:20": 3}, drift_per_day=0.5, horizon=2400)
    full, part = run_one(spec, patient), run_one(spec, patient, window=(start, 300))
    met, meant = draws(part), draws(full)
    assert len(met) > 400
    np.testing.assert_allclose(met["took_s"], meant.loc[met.index, "took_s"], rtol=0, atol=1e-9)


def test_it_does_not_depend_on_who_calls_in_which_order():
    def twice(transport):
        async def handle(request):
            await transport.send(request, transport.deployments[0])
            return await transport.send(request, transport.deployments[0])

        return handle

    spec = world(correlation=WANDER)
    once, more = run_one(spec, patient), run_one(spec, twice)

    def by_cell(run):
        return {
            (int(at // CELL), round(float(seconds), 9))
            for at, seconds in zip(starts(run), took(run), strict=True)
        }

    few, many = by_cell(once), by_cell(more)
    assert len(few) == len({cell for cell, _ in few}) > 50
    assert len(many) == len({cell for cell, _ in many})
    assert few <= many


def test_it_moves_no_draw():
    """Latencies are those without it, times a factor."""
    base = scenario({"a": deployment(latency=VARIED)}, horizon=300)
    wandering = scenario({"a": deployment(latency=VARIED | {"correlation": WANDER})}, horizon=300)
    plain, moved = (draws(run_one(each, patient)) for each in (base, wandering))
    factor = moved["took_s"] / plain["took_s"]
    assert factor.std() > 0.05
    np.testing.assert_allclose(factor, moved["to_first_token_s"] / plain["to_first_token_s"], rtol=1e-6)


def test_a_fault_that_slows_comes_on_top():
    spec = scenario(
        {"a": constant(profile={"12:00": 3}) | {"components": ["g"]}},
        components={"g": {"faults": [scheduled("slowdown", 50, 20, severity=4)]}},
    )
    run = run_one(spec, patient)
    inside = (run.attempts["start_s"] >= 50) & (run.attempts["start_s"] < 70)
    assert took(run)[inside] == pytest.approx(12)
    assert took(run)[~inside] == pytest.approx(3)


def test_some_who_meet_a_grey_fault_meet_the_level_too():
    only = {"only": {"classes": ["slow"]}}
    spec = scenario(
        {"a": constant(profile={"12:00": 3}) | {"components": ["g"]}},
        {"chat": traffic(1), "slow": traffic(1)},
        components={"g": {"faults": [scheduled("slowdown", 0, 1000, severity=4) | only]}},
    )
    frame = run_one(spec, patient).log.requests_frame()
    lasted = (frame["end_s"] - frame["arrival_s"]).groupby(frame["request_class"].astype(str)).mean()
    assert lasted.to_dict() == pytest.approx({"chat": 3.0, "slow": 12.0})


# Time of day, and drift


def level(start=DEFAULT_START, **changes):
    return LatencyLevel(Latency(total=1.0, **changes), start, (1, 0, "a"))


def test_the_profile_is_made_of_straight_lines_round_the_clock():
    found = level(profile={"06:00": 1.0, "12:00": 2.0, "18:00": 1.5})

    def at(hours):
        return found.factor(int(hours * 3600 / found.cell_s))

    close = pytest.approx
    assert at(6) == close(1.0, abs=0.02)
    assert at(9) == close(1.5, abs=0.02)
    assert at(12) == close(2.0, abs=0.02)
    assert at(0) == close(1.25, abs=0.02)  # half way from 18:00 to 06:00
    assert at(24 + 9) == at(9)
    assert level(profile={"15:00": 1.7}).factor(5) == 1.7


def test_the_time_of_day_is_that_of_the_start():
    profile = {"06:00": 1.0, "12:00": 2.0}
    noon = level(start=DEFAULT_START.replace(hour=12), profile=profile)
    assert noon.factor(0) == pytest.approx(2.0, abs=0.02)
    spec = world(profile=profile, horizon=60).to_dict()
    at_midnight, at_noon = (
        run_one(Scenario.from_dict(spec | {"start": start}), patient)
        for start in ("2026-01-05", "2026-01-05T14:00+02:00")
    )
    assert took(at_midnight).mean() == pytest.approx(1.333, abs=0.02)
    assert took(at_noon).mean() == pytest.approx(2.0, abs=0.02)


def test_drift_compounds_by_the_day():
    found = level(drift_per_day=0.01)
    cells_a_day = 86_400 / found.cell_s
    assert found.factor(0) == pytest.approx(1.0, abs=1e-4)
    assert found.factor(int(30 * cells_a_day)) == pytest.approx(1.01**30, rel=1e-4)


def test_a_slow_wander_still_follows_the_clock():
    found = level(profile={"00:00": 1, "12:00": 2}, correlation={"sigma": 0.1, "time_constant": "30d"})
    assert found.cell_s <= 300
    values = np.array([found.factor(cell) for cell in range(int(86_400 / found.cell_s))])
    assert values.max() / values.min() == pytest.approx(2, rel=0.15)


def test_the_same_seed_gives_the_same_logs():
    spec = world(correlation=WANDER, profile={"00:00": 1, "12:00": 2}, drift_per_day=0.1)
    assert digest(run_one(spec, patient)) == digest(run_one(spec, patient))


# The scenario


def test_it_is_read_and_written():
    spec = world(correlation={"sigma": 0.3, "time_constant": "10min"}, profile={"9:00": 1, "14:30": 1.4})
    latency = spec.deployments["a"].latency
    assert latency.correlation.time_constant_s == 600
    assert dict(latency.profile) == {9 * 3600.0: 1.0, 14.5 * 3600: 1.4}
    assert spec.to_dict()["deployments"]["a"]["latency"]["profile"] == {"09:00": 1.0, "14:30": 1.4}
    assert Scenario.from_dict(spec.to_dict()) == spec
    assert world().to_dict()["start"] == DEFAULT_START.isoformat()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"correlation": {"sigma": 0, "time_constant": 5}}, "correlation.sigma"),
        ({"correlation": {"sigma": 1, "time_constant": 0}}, "correlation.time_constant"),
        ({"correlation": {"sigma": 1}}, "correlation.time_constant"),
        ({"profile": {"25:00": 1}}, "profile.25:00"),
        ({"profile": {"noon": 1}}, "profile.noon"),
        ({"profile": {"09:00": 0}}, "profile.09:00"),
        ({"profile": {"00:00": 1, "24:00": 2}}, "profile"),
        ({"drift_per_day": -1}, "drift_per_day"),
    ],
)
def test_what_cannot_be_is_refused(change, path):
    with pytest.raises(ScenarioError) as caught:
        world(**change)
    assert [problem.path for problem in caught.value.problems] == [f"deployments.a.latency.{path}"]


@pytest.mark.parametrize("start", ["yesterday", 5, "2026-13-01"])
def test_a_start_is_a_moment(start):
    with pytest.raises(ScenarioError, match="start: expected a date or a moment"):
        Scenario.from_dict(world().to_dict() | {"start": start})
