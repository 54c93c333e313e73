"""What is planned for after the horizon is told: a slip with times of day in short runs."""

from __future__ import annotations

import pytest
from simulation.policies import patient
from simulation.scenarios import deployment, scenario, traffic

import simsla
from simsla.analysis import NeverHappensWarning
from simsla.analysis.too_late import never_happens

OUTAGE = {"kind": "outage", "schedule": [{"at": "1min", "for": "1min"}, {"at": "03:00", "for": "1min"}]}
SURGE = {"kind": "poisson", "rate": 1, "surges": [{"at": "2d", "for": "1h", "factor": 2}]}
REGIONS = {"us": {}, "eu": {"faults": [OUTAGE]}}
PARTITIONS = [{"from": "us", "to": "eu", "at": "01:00", "for": "1min"}]


def world(**others):
    return scenario(
        {"a": deployment(region="eu")}, {"chat": traffic()}, horizon=600, **({"regions": REGIONS} | others)
    )


@pytest.mark.parametrize(
    ("others", "path"),
    [
        ({"schedule": [{"at": "10min", "fail": "eu", "for": 5}]}, "schedule[0] (at 10 min)"),
        ({}, "regions.eu.faults[0].schedule[1] (at 3 h)"),
        ({"components": {"p": {"faults": [OUTAGE]}}}, "components.p.faults[0].schedule[1] (at 3 h)"),
        ({"accounts": {"p": {"faults": [OUTAGE]}}}, "accounts.p.faults[0].schedule[1] (at 3 h)"),
        ({"network": {"partitions": PARTITIONS}}, "network.partitions[0] (at 1 h)"),
        ({"traffic": {"chat": traffic(arrivals=SURGE)}}, "traffic.chat.arrivals.surges[0] (at 2 d)"),
    ],
)
def test_each_is_named_by_its_path(others, path):
    data = world().to_dict() | {"regions": REGIONS if not others else {"us": {}, "eu": {}}} | others
    warning = never_happens(simsla.Scenario.from_dict(data))
    assert warning is not None
    assert f"so it never happens: {path}." in str(warning)


def test_a_result_carries_it_and_a_longer_run_does_not():
    early = world(start="2026-01-05T02:55Z")
    (told,) = [
        c for c in simsla.simulate(world(), patient, replications=2).caveats if type(c) is NeverHappensWarning
    ]
    assert "the horizon of 10 min" in str(told)
    assert never_happens(early) is None
    assert never_happens(world().with_values({"horizon": "4h"})) is None


def test_many_are_counted():
    late = [{"at": f"{hours}h", "fail": "us", "for": 5} for hours in range(1, 8)]
    told = str(never_happens(world(schedule=late, regions={"us": {}, "eu": {}})))
    assert "schedule[2] (at 3 h) and 4 more." in told
