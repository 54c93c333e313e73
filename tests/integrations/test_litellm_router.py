"""The policy around the Router: entries, model groups, identity, and what is refused."""

from __future__ import annotations

import pytest

from simsla.run import simulate
from simsla.scenario import Scenario
from simsla.scenario.importers import litellm as importer
from simsla.simulation import PolicyFactoryError, run_one

CONFIG = {
    "model_list": [
        {
            "model_name": "chat",
            "litellm_params": {"model": "azure/eu", "api_base": "os.environ/B"},
        },
        {
            "model_name": "chat",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/SOME_KEY"},
        },
        {
            "model_name": "chat",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/OTHER_KEY"},
        },
        {"model_name": "claude", "litellm_params": {"model": "anthropic/claude-3"}},
    ],
    "router_settings": {"num_retries": 1, "fallbacks": [{"chat": ["claude"]}]},
}


def changed(scenario, **options):
    data = scenario.to_dict()
    data["routing"]["options"] |= options
    return Scenario.from_dict(data)


def test_an_imported_configuration_runs():
    """Deployments that share address and model are told apart, and nobody needs a key."""
    scenario = Scenario.from_dict(
        importer.from_config(CONFIG).scenario | {"horizon": "3min", "replications": 2}
    )
    result = simulate(scenario, progress=False)
    assert result.availability.value == 1.0
    assert {"chat-1", "chat-2", "chat-3"} == set(result.attempts.deployment)
    assert result.metrics["amplification"].value == 1.0


def test_requests_at_once_are_not_mixed_up(world):
    scenario = world(
        {"main": {"latency": {"total": {"kind": "lognormal", "mean": 5, "p99": 20}}, "errors": {"500": 0.2}}},
        {"chat": ["main"]},
        rate="20/s",
        horizon="15s",
        num_retries=1,
    )
    run = run_one(scenario)
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    assert len(requests) > 200
    assert run.unowned == 0
    counts = attempts.groupby("request").size()
    assert (requests.set_index("request").attempts.sort_index() == counts).all()
    # The last attempt of an answered request ends with it.
    last = attempts.groupby("request").end_s.max()
    answered = requests[requests.outcome == "ok"].set_index("request")
    assert (answered.end_s - last[answered.index]).abs().max() < 1e-6


def test_any_scenario_runs_with_a_group_for_each_tier(world):
    scenario = world({"a": {"tier": "economy"}, "b": {"tier": "premium"}}, {"unused": ["a"]}, horizon="1min")
    data = scenario.to_dict()
    data["routing"] = {"policy": "simsla.integrations.litellm_router:policy"}
    data["traffic"]["best"] = data["traffic"]["chat"] | {"tier": "premium"}
    data["traffic"]["chat"]["tier"] = "economy"
    attempts = run_one(Scenario.from_dict(data)).log.requests_frame()
    assert set(attempts[attempts.request_class == "chat"].deployment) == {"a"}
    assert set(attempts[attempts.request_class == "best"].deployment) == {"b"}


def test_models_say_what_a_class_asks_for(world):
    scenario = world({"a": {}, "b": {}}, {"one": ["a"], "two": ["b"]}, horizon="1min")
    run = run_one(changed(scenario, models={"chat": "two"}))
    assert set(run.log.requests_frame().deployment) == {"b"}


def test_an_alias_is_a_group(world):
    scenario = world(
        {"a": {}, "b": {}}, {"one": ["a"], "two": ["b"]}, horizon="1min", model_group_alias={"chat": "two"}
    )
    assert set(run_one(scenario).log.requests_frame().deployment) == {"b"}


def test_a_class_without_a_group_fails_and_says_why(world):
    run = run_one(world({"a": {}, "b": {}}, {"one": ["a"], "two": ["b"]}, horizon="1min"))
    assert "does not say which model group it asks for (one, two)" in run.failures["ValueError"].first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": {"chat": "chatt"}}, "models: 'chat' asks for 'chatt', .* did you mean 'chat'"),
        ({"litellm_settings": {"num_retry": 1}}, "reads no 'num_retry'; did you mean 'num_retries'"),
        (
            {
                "model_list": [
                    {"model_name": "m", "litellm_params": {"model": "x"}, "model_info": {"id": "mian"}}
                ]
            },
            r"model_list\[0\].model_info.id: the scenario has no deployment 'mian'; did you mean 'main'",
        ),
        ({"router_settings": {"routing_strategy": "fastest"}}, "fastest"),
        ({"model_lst": []}, "unexpected keyword argument 'model_lst'"),
    ],
)
def test_what_has_no_place_is_refused(world, options, message):
    with pytest.raises(PolicyFactoryError, match=message):
        run_one(changed(world({"main": {}}, {"chat": ["main"]}), **options))
