"""The warning that something happens to what nobody depends on."""

from __future__ import annotations

import pytest
from simulation.policies import patient
from simulation.scenarios import deployment, scenario, traffic

import simsla
from simsla.analysis import UnusedWarning
from simsla.analysis.unused import unused

OUTAGE = {"kind": "outage", "schedule": [{"at": 10, "for": 20}]}


def world(components=None, deployment_of=(), **others):
    return scenario(
        {"a": deployment(**dict(deployment_of))},
        components={} if components is None else components,
        **others,
    )


@pytest.mark.parametrize(
    ("others", "path"),
    [
        ({"components": {"gw": {"faults": [OUTAGE]}}}, "components.gw"),
        ({"components": {"gw": {}}, "schedule": [{"at": 5, "fail": "gw", "for": 5}]}, "components.gw"),
        ({"regions": {"eu": {"faults": [OUTAGE]}}}, "regions.eu"),
        ({"accounts": {"team": {"rpm": 1}}}, "accounts.team"),
    ],
)
def test_what_nobody_depends_on_is_told_in_the_result(others, path):
    result = simsla.simulate(world(**others), patient, replications=2, progress=False)
    (caveat,) = [each for each in result.caveats if isinstance(each, UnusedWarning)]
    assert f"changes nothing: {path}." in str(caveat)


@pytest.mark.parametrize(
    "used",
    [
        world({"gw": {"faults": [OUTAGE]}}, {"components": ["gw"]}),
        world({"gw": {"faults": [OUTAGE]}}, {"provider": "gw"}),
        world({"idle": {}}),
        world(
            {
                "p": {},
                "one": {"parent": "p", "beta": 0.5, "faults": [OUTAGE]},
                "other": {"parent": "p", "beta": 0.5},
            },
            {"components": ["other"]},
        ),
        world(
            {"redis": {"faults": [OUTAGE]}},
            traffic={"chat": traffic(topics={"count": 9})},
            routing={"cache": {"threshold": 0.8}},
            cache={"components": ["redis"]},
        ),
    ],
    ids=["component", "provider", "without faults", "sibling", "cache"],
)
def test_what_somebody_depends_on_is_not(used):
    assert unused(used) is None


def test_no_shipped_scenario_has_any():
    for name in simsla.scenario.files.shipped("scenarios"):
        assert unused(simsla.Scenario.load(name)) is None, name


def test_a_component_is_not_its_own_parent():
    with pytest.raises(
        simsla.ScenarioError, match=r"components\.gw\.parent: expected another component than itself"
    ):
        world({"gw": {"parent": "gw"}})
