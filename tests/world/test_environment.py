"""Drawing the environment: long-run shares, the state at time 0, prefixes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulation.scenarios import deployment, exp, scenario

from simsla.world.conditions import Conditions, condition
from simsla.world.environment import FAULT_KINDS, Environment
from simsla.world.faults import draw_environment

OUTAGE, HANG, BROWNOUT, SLOWDOWN = range(4)


def world(*faults):
    return scenario({"a": deployment(components=["g"])}, components={"g": {"faults": list(faults)}})


def drawn(kind, between, repair):
    return world({"kind": "outage", kind: between, "repair": repair})


def covered(environment, start, end):
    """The share of [start, end) that episodes cover; episodes of one fault never overlap."""
    begins, ends = np.maximum(environment.start_s, start), np.minimum(environment.end_s, end)
    return float(np.maximum(ends - begins, 0).sum() / (end - start))


CLUSTERED = {"kind": "weibull", "shape": 0.65, "scale": 100}
VERY_CLUSTERED = {"kind": "weibull", "shape": 0.4, "scale": 100}
LONG_TAILED = {"kind": "lognormal", "mean": 12, "sigma": 1.17}

# For start to start with exponential gaps, repairs see an M/G/inf queue: it is up for exp(-E[R] / E[gap]).
PROCESSES = [
    ("uptime", exp(90), exp(10), 0.1),
    ("uptime", CLUSTERED, LONG_TAILED, 12 / (12 + 100 * math.gamma(1 + 1 / 0.65))),
    ("uptime", VERY_CLUSTERED, exp(30), 30 / (30 + 100 * math.gamma(1 + 1 / 0.4))),
    ("uptime", 30, 10, 0.25),
    ("gap", exp(100), exp(10), 1 - math.exp(-0.1)),
    ("gap", exp(20), LONG_TAILED, 1 - math.exp(-0.6)),
    ("gap", 40, 10, 0.25),
]


@pytest.mark.parametrize(("kind", "between", "repair", "share"), PROCESSES)
def test_the_long_run_share_of_time_at_fault(kind, between, repair, share):
    environment = draw_environment(drawn(kind, between, repair), 2, 0, 1e7)
    assert covered(environment, 0, 1e7) == pytest.approx(share, rel=0.06)


def test_clustered_gaps_with_overlaps_united_cover_less_than_mean_over_mean():
    gap_s = 100 * math.gamma(1 + 1 / 0.65)
    environment = draw_environment(drawn("gap", CLUSTERED, LONG_TAILED), 1, 0, 3e6)
    assert 0.6 * 12 / gap_s < covered(environment, 0, 3e6) < 0.98 * 12 / gap_s
    assert (environment.start_s[1:] > environment.end_s[:-1]).all()


@pytest.mark.parametrize(("kind", "between", "repair", "share"), PROCESSES)
def test_time_0_is_met_in_the_long_run_state(kind, between, repair, share):
    """The share of time at fault just after time 0, over many replications, is the long-run share."""
    spec = drawn(kind, between, repair)
    shares = [covered(draw_environment(spec, 1, replication, 20.0), 0, 20) for replication in range(1500)]
    error = np.std(shares) / math.sqrt(len(shares))
    assert abs(np.mean(shares) - share) < 4 * error
    assert error < 0.15 * share


def test_time_0_of_clustered_gaps_with_overlaps_is_met_in_the_long_run_state():
    spec = drawn("gap", CLUSTERED, LONG_TAILED)
    share = covered(draw_environment(spec, 1, 0, 1e7), 0, 1e7)
    shares = [covered(draw_environment(spec, 2, replication, 20.0), 0, 20) for replication in range(2000)]
    assert abs(np.mean(shares) - share) < 4 * np.std(shares) / math.sqrt(len(shares))


def test_repairs_much_longer_than_the_gaps_are_met_at_time_0_too():
    """One incident in 50 lasts a hundred times the gap: those that began long ago still count."""
    parts = [{"weight": w, "kind": "constant", "value": value} for w, value in ((0.98, 0.01), (0.02, 100))]
    repair = {"kind": "mixture", "parts": parts}
    spec = drawn("gap", exp(1), repair)
    share = 1 - math.exp(-(0.98 * 0.01 + 0.02 * 100))
    shares = [covered(draw_environment(spec, 1, replication, 1.0), 0, 1) for replication in range(800)]
    assert abs(np.mean(shares) - share) < 4 * np.std(shares) / math.sqrt(len(shares))


@pytest.mark.parametrize("kind", ["gap", "uptime"])
def test_a_longer_run_meets_the_same_episodes_first(kind):
    spec = drawn(kind, exp(30), exp(10))
    for until in (500.0, 40_000.0, 90_000.0):
        short, long = (draw_environment(spec, 1, 0, end) for end in (until, 200_000.0))
        same = len(short)
        assert same > 5
        assert (long.start_s[:same] == short.start_s).all()
        # An episode that reaches beyond the end may still be united with later ones.
        assert (np.minimum(long.end_s[:same], until) == np.minimum(short.end_s, until)).all()
        assert long.start_s[same] >= until


def test_scheduled_episodes_are_kept_as_they_are():
    fault = {
        "kind": "brownout",
        "severity": 0.5,
        "error": 429,
        "schedule": [{"start": 30, "duration": 5, "severity": 0.9}, {"start": 10, "duration": 5}],
    }
    frame = draw_environment(world(fault), 1, 0, 100).frame()
    assert list(frame["start_s"]) == [10, 30]
    assert list(frame["end_s"]) == [15, 35]
    assert list(frame["severity"]) == [0.5, 0.9]
    assert set(frame["kind"]) == {"brownout"}
    assert set(frame["component"]) == {"g"}
    assert len(draw_environment(world(fault), 1, 0, 20)) == 1


def test_components_of_the_same_process_fail_independently():
    faults = {"faults": [{"kind": "outage", "uptime": exp(80), "repair": exp(20)}]}
    spec = scenario({"a": deployment(components=["p", "q"])}, components={"p": faults, "q": faults})
    environment = draw_environment(spec, 1, 0, 2e6)
    moments = np.linspace(0, 2e6, 200_000)
    down = []
    for code in (0, 1):
        mine = environment.component == code
        at = np.searchsorted(environment.start_s[mine], moments, side="right") - 1
        down.append((at >= 0) & (moments < environment.end_s[mine][at]))
    assert np.mean(down[0]) == pytest.approx(0.2, rel=0.05)
    assert np.mean(down[0] & down[1]) == pytest.approx(0.04, rel=0.15)


# Conditions


def test_independent_causes_combine():
    met = condition({}, [(OUTAGE, 0.5, 0), (OUTAGE, 0.4, 0), (HANG, 0.2, 0), (BROWNOUT, 0.1, 500)])
    assert met.refused == pytest.approx(1 - 0.5 * 0.6)
    assert met.failing == pytest.approx(1 - 0.5 * 0.6 * 0.8 * 0.9)
    assert met.slowdown == 1
    assert condition({}, [(SLOWDOWN, 2, 0), (SLOWDOWN, 3, 0)]).slowdown == 6


def test_nothing_wrong_and_everything_wrong():
    well = condition({}, [])
    assert (well.refused, well.failing, well.slowdown) == (0, 0, 1)
    assert condition({}, [(OUTAGE, 1.0, 0), (BROWNOUT, 0.3, 503)]).refused == 1
    assert condition({"429": 0.7, "500": 0.3}, []).failing == 1


def test_the_condition_at_a_time_is_that_of_the_episodes_then():
    episodes = [
        (0, BROWNOUT, 10.0, 30.0, 0.5, 503),
        (0, OUTAGE, 20.0, 40.0, 0.5, 0),
        (1, OUTAGE, 0.0, 100.0, 1.0, 0),
    ]
    environment = Environment.of(episodes, ("mine", "another's"))
    for begin in (0.0, 15.0):
        conditions = Conditions({}, ["mine"], environment, begin, 100.0)
        moments = [m - begin for m in (15, 20, 29.9, 30, 39.9, 40, 90)]
        failing = [conditions.at(moment).failing for moment in moments]
        assert failing == pytest.approx([0.5, 0.75, 0.75, 0.5, 0.5, 0, 0])
    assert Conditions({}, ["mine"], environment, 0.0, 100.0).at(9.9).failing == 0


def test_an_environment_can_be_cut_and_shown():
    rows = [(0, BROWNOUT, 50.0, 60.0, 0.5, 503), (1, OUTAGE, 5.0, 10.0, 1.0, 0)]
    environment = Environment.of(rows, ("p", "q"))
    assert list(environment.start_s) == [5, 50]
    assert len(environment.between(10, 50)) == 0
    assert len(environment.between(9, 51)) == 2
    frame = environment.frame()
    assert list(frame["component"]) == ["q", "p"]
    assert set(frame["kind"].cat.categories) == set(FAULT_KINDS)
    assert len(Environment.of([], ("p",))) == 0
