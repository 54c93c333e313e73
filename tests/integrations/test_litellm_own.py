"""Routers that users make themselves, and the configurations that litellm ships."""

from __future__ import annotations

from importlib import resources

import pytest
from integrations import own_routers

from simsla.scenario import Scenario, ScenarioError
from simsla.scenario.importers import litellm as importer
from simsla.simulation import run_one


@pytest.mark.parametrize("policy", [own_routers.asyncio_router, own_routers.blocking_router])
def test_a_router_of_ones_own_is_simulated(world, policy):
    scenario = world(
        {"main": {"errors": {"500": 1.0}}, "spare": {}}, {"unused": ["main"]}, rate="30/min", horizon="1min"
    )
    run = run_one(scenario, policy)
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    assert len(requests) > 15
    assert (requests.outcome == "ok").all()
    assert (requests.deployment == "spare").all()
    assert len(attempts) == 3 * len(requests)
    assert run.unowned == 0
    # Two attempts of 0.2 s, the sleep after each (0.5 and 1 s, and up to 0.75 s more), and the answer.
    taken = requests.end_s - requests.arrival_s
    assert taken.min() >= 2 * 0.2 + 1.5 + 0.5 - 1e-6
    assert taken.max() <= 2 * 0.2 + 1.5 + 1.5 + 0.5 + 1e-3


def test_the_configurations_that_litellm_ships_can_be_imported():
    folder = resources.files("litellm") / "proxy" / "example_config_yaml"
    files = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    read = 0
    for file in files:
        if "model_list" not in file.read_text():
            continue
        try:
            imported = importer.load(str(file))
        except ScenarioError:
            continue  # of wildcards only, or no list of models after all
        Scenario.from_dict(imported.scenario)
        read += 1
    assert read >= 15
