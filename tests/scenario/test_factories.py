"""A policy by name, with the options of its factory."""

from __future__ import annotations

import pickle

import jsonschema
import pytest

from simsla.scenario import Scenario, ScenarioError
from simsla.scenario.factories import FactoryName

DATA = {
    "horizon": "1h",
    "deployments": {"d": {"model": "m", "latency": {"total": 1}}},
    "traffic": {
        "chat": {"arrivals": {"kind": "poisson", "rate": "1/min"}, "prompt_tokens": 1, "output_tokens": 1}
    },
}


def scenario(**routing) -> Scenario:
    return Scenario.from_dict(DATA | {"routing": routing})


def test_options_are_kept_and_written():
    made = scenario(policy="m:f", options={"retries": 2, "hosts": ["a"]})
    assert made.routing == FactoryName("m:f", {"retries": 2, "hosts": ["a"]})
    assert made.to_dict()["routing"] == {"policy": "m:f", "options": {"retries": 2, "hosts": ["a"]}}
    assert type(made.to_dict()["routing"]["policy"]) is str
    assert Scenario.from_dict(made.to_dict()) == made == pickle.loads(pickle.dumps(made))
    jsonschema.validate(made.to_dict(), Scenario.json_schema())


def test_without_options_it_is_its_name():
    for made in (
        scenario(policy="m:f"),
        scenario(policy="m:f", options=None),
        scenario(policy="m:f", options={}),
    ):
        assert made.routing == "m:f"
        assert made.to_dict()["routing"] == {"policy": "m:f"}


def test_names_with_other_options_differ():
    one, other = FactoryName("m:f", {"a": 1}), FactoryName("m:f", {"a": 2})
    assert one != other
    assert one != "m:f"
    assert one == FactoryName("m:f", {"a": 1})
    assert {one, FactoryName("m:f", {"a": 1})} == {one}
    assert scenario(policy="m:f", options={"a": 1}) != scenario(policy="m:f", options={"a": 2})


def test_an_option_is_swept_by_path():
    made = scenario(policy="m:f", options={"deep": {"a": 1}})
    assert made.with_values({"routing.options.deep.a": 3}).routing.options == {"deep": {"a": 3}}


def test_options_do_not_change():
    with pytest.raises(TypeError, match="does not change"):
        scenario(policy="m:f", options={"a": 1}).routing.options["a"] = 2


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        ({"policy": "m:f", "option": {}}, "routing.option: .*did you mean 'options'"),
        ({"policy": "m:f", "options": [1]}, "routing.options: expected a mapping"),
        (
            {"policy": "m:f", "options": {"not a name": 1}},
            "expected the name of an argument, got 'not a name'",
        ),
        ({"policy": "m:f", "options": {"class": 1}}, "expected the name of an argument, got 'class'"),
        ({"policy": "m.f", "options": {}}, "routing.policy: expected package.module:factory"),
    ],
)
def test_mistakes_are_refused(routing, message):
    with pytest.raises(ScenarioError, match=message):
        scenario(**routing)
