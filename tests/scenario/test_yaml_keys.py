"""Keys that YAML 1.1 would read as true or false are names."""

from __future__ import annotations

import pytest

from simsla.routing import RoutingPolicy
from simsla.scenario import Scenario, ScenarioError
from simsla.scenario.yaml_reader import read_yaml

SCENARIO = """
horizon: 1h
deployments: {a: {model: m, latency: {total: 1}}}
traffic:
  chat:
    arrivals: {kind: poisson, rate: 1/s}
    prompt_tokens: 1
    output_tokens: 1
    client:
      retries: 1
      on: [timeout]
"""


def test_a_setting_may_be_called_on(tmp_path):
    path = tmp_path / "on.yaml"
    path.write_text(SCENARIO)
    chat = Scenario.load(path).traffic["chat"]
    assert chat.client.on == ("timeout",)


def test_a_wrong_value_under_it_is_found_by_line(tmp_path):
    path = tmp_path / "on.yaml"
    path.write_text(SCENARIO.replace("[timeout]", "[timeouts]"))
    with pytest.raises(ScenarioError, match=r"client\.on.*line 11"):
        Scenario.load(path)


def test_in_a_policy_too():
    data, _ = read_yaml("hedge: {budget: {ratio: .1}, on: first_token}", "policy")
    assert RoutingPolicy.from_dict(data).hedge.on == "first_token"


def test_given_twice_it_is_refused():
    with pytest.raises(ScenarioError, match="the key 'on' stands here twice"):
        read_yaml('on: 1\n"on": 2', "twice")
