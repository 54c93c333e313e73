"""`simsla.timeline`: the environment alone, for as many years as it takes."""

from __future__ import annotations

import pytest
from simulation.policies import first_only
from simulation.scenarios import exp, scenario

import simsla
from simsla.simulation import run_one
from simsla.world.faults import YEAR_S

MACHINE = {"faults": [{"kind": "outage", "uptime": exp(9e5), "repair": exp(1e5)}]}


def test_it_is_at_hand_and_a_frame():
    spec = scenario(components={"m": MACHINE, "n": MACHINE})
    found = simsla.timeline(spec, years=100).frame()
    assert set(found["component"]) == {"m", "n"}
    down_s = (found["end_s"].clip(upper=100 * YEAR_S) - found["start_s"]).groupby(
        found["component"], observed=True
    )
    assert (down_s.sum() / (100 * YEAR_S)).to_numpy() == pytest.approx([0.1, 0.1], rel=0.1)


def test_a_replication_meets_the_same_episodes():
    spec = scenario(components={"m": MACHINE}, horizon=5e6)
    drawn = simsla.timeline(spec, years=1, seed=3, replication=2)
    run = run_one(spec.with_values({"traffic.chat.arrivals.rate": 1e-6}), first_only, 3, 2)
    met = run.environment.frame()
    assert len(met) > 2
    expected = drawn.frame()["start_s"]
    assert met["start_s"].tolist() == expected[expected < 5e6].tolist()[: len(met)]


@pytest.mark.parametrize("years", [0, -1, float("nan"), float("inf")])
def test_how_long_must_be_said(years):
    with pytest.raises(ValueError, match="years must be above 0 and finite"):
        simsla.timeline(scenario(), years=years)
