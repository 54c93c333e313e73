"""LiteLLM configurations become scenarios, and what does not come along is said."""

from __future__ import annotations

import copy
import pickle

import pytest
import yaml

from simsla.scenario import Scenario, ScenarioError
from simsla.scenario.importers import litellm

CONFIG = """
model_list:
  - model_name: chat
    litellm_params:
      model: azure/my-gpt
      api_base: os.environ/AZURE_BASE
      api_key: os.environ/AZURE_KEY
      api_version: "2024-02-01"
      rpm: 900
      timeout: 20
    model_info: {base_model: azure/gpt-4o, id: eu, max_input_tokens: 128000, supports_vision: true}
  - model_name: chat
    litellm_params:
      model: openai/gpt-4o
      api_base: https://user:sk-SECRET@gw.example:8443/v1/?key=sk-SECRET
      api_key: sk-SECRET
  - model_name: claude
    litellm_params:
      model: bedrock/anthropic.claude-3
      aws_region_name: us-east-1
      aws_secret_access_key: sk-SECRET
      input_cost_per_token: 0.000003
      output_cost_per_token: 0.000015
    rpm: 50
  - {model_name: "*", litellm_params: {model: "openai/*"}}
  - {model_name: embed, litellm_params: {model: text-embedding-3-small}, model_info: {mode: embedding}}
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 2
  allowed_fails: 1
  cooldown_time: 30
  timeout: os.environ/TIMEOUT
  fallbacks: [{chat: [claude, {model: openai/gpt-4o, api_key: sk-SECRET}]}]
  redis_password: sk-SECRET
  retry_polcy: {}
litellm_settings: {request_timeout: 60, cooldown_time: 3, success_callback: [langfuse]}
general_settings: {master_key: sk-SECRET}
environment_variables: {OPENAI_API_KEY: sk-SECRET}
"""


@pytest.fixture(scope="module")
def imported():
    return litellm.from_config(yaml.safe_load(CONFIG))


@pytest.fixture(scope="module")
def scenario(imported) -> Scenario:
    return Scenario.from_dict(imported.scenario)


def said(remarks) -> dict[str, str]:
    return {path: remark.what for remark in remarks for path in remark.paths}


def test_each_entry_is_a_deployment(scenario):
    assert list(scenario.deployments) == ["eu", "chat-2", "claude"]
    eu, second, claude = scenario.deployments.values()
    assert (eu.model, eu.provider, eu.base_url) == ("gpt-4o", "azure", "https://azure-base.example/v1")
    assert (eu.api_key_env, eu.rpm, eu.context_window) == ("AZURE_KEY", 900, 128_000)
    assert eu.capabilities == ("vision",)
    assert (second.base_url, second.api_key_env, second.rpm) == ("https://gw.example:8443/v1/", None, None)
    assert (claude.region, claude.provider, claude.rpm) == ("us-east-1", "bedrock", 50)
    assert (claude.price.usd_per_mtok_in, claude.price.usd_per_mtok_out) == pytest.approx((3, 15))
    assert eu.price.source is not None  # a shipped card's
    assert eu.api_key is None


def test_clients_ask_for_what_is_no_fallback(scenario):
    assert list(scenario.traffic) == ["chat"]


def test_the_router_gets_its_settings(scenario):
    assert str(scenario.routing) == litellm.POLICY
    options = scenario.routing.options
    assert options["router_settings"] == {
        "routing_strategy": "latency-based-routing",
        "num_retries": 2,
        "allowed_fails": 1,
        "cooldown_time": 30,
        "fallbacks": [{"chat": ["claude", {"model": "openai/gpt-4o"}]}],
    }
    assert options["litellm_settings"] == {"request_timeout": 60}
    assert options["model_list"][0] == {
        "model_name": "chat",
        "litellm_params": {"model": "azure/my-gpt", "rpm": 900, "timeout": 20},
        "model_info": {"base_model": "azure/gpt-4o", "id": "eu", "max_input_tokens": 128_000},
    }
    assert options["model_list"][2]["litellm_params"]["rpm"] == 50


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("model_list[3]", "wildcard"),
        ("model_list[4]", "mode embedding"),
        ("model_list[0].litellm_params.api_version", "no part of routing"),
        ("model_list[0].litellm_params.model", "azure's own protocol"),
        ("model_list[1].litellm_params.api_key", "a key stands in the file"),
        ("model_list[1].litellm_params.api_base", "user, password and query"),
        ("model_list[2].litellm_params.aws_secret_access_key", "a credential"),
        ("router_settings.redis_password", "memory of one process"),
        ("router_settings.retry_polcy", "did you mean 'retry_policy'"),
        ("router_settings.timeout", "the environment variable TIMEOUT"),
        ("litellm_settings.cooldown_time", "in router_settings"),
        ("litellm_settings.success_callback", "nothing is told"),
        ("general_settings", "of the proxy"),
        ("environment_variables", "stay where they are"),
    ],
)
def test_what_is_left_out_is_said(imported, path, reason):
    assert reason in said(imported.left_out)[path]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("model_list[0].litellm_params.api_base", "AZURE_BASE"),
        ("model_list[2].litellm_params", "https://bedrock-us-east-1.example/v1"),
        ("deployments.chat-2.price", "the price of gpt-4o"),
        ("deployments.claude.latency", "no latencies"),
        ("traffic.chat", "no traffic"),
    ],
)
def test_what_is_assumed_is_said(imported, path, what):
    assert what in said(imported.assumed)[path]


def test_no_key_comes_along(imported):
    assert "SECRET" not in imported.to_yaml()
    assert "SECRET" not in repr(imported)


def test_the_file_reads_back(imported, scenario, tmp_path):
    file = tmp_path / "litellm.yaml"
    file.write_text(imported.to_yaml(), encoding="utf-8")
    assert Scenario.load(file) == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_settings_can_be_swept(scenario):
    other = scenario.with_values({"routing.options.router_settings.cooldown_time": 5})
    assert other.routing.options["router_settings"]["cooldown_time"] == 5
    assert other != scenario
    assert other.routing != scenario.routing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model_list"), "model_list: expected a list with at least one model"),
        (lambda c: c.update(model_list=[]), "model_list: expected a list with at least one model"),
        (lambda c: c.update(model_list=c["model_list"][3:]), "model_list: expected at least one chat model"),
        (lambda c: c["model_list"].append("gpt-4o"), r"model_list\[5\]: expected a mapping with model_name"),
        (
            lambda c: c["model_list"][0]["litellm_params"].update(model=""),
            r"model_list\[0\].litellm_params: ",
        ),
        (lambda c: c["model_list"][0].pop("model_name"), r"model_list\[0\].model_name: expected a name"),
        (
            lambda c: c["model_list"][0].update(model_info=[1]),
            r"model_list\[0\].model_info: expected a mapping",
        ),
        (
            lambda c: c["model_list"][0]["litellm_params"].update(api_base="gw.example"),
            r"model_list\[0\].litellm_params.api_base: expected a URL",
        ),
        (lambda c: c.update(router_settings=["x"]), "router_settings: expected a mapping"),
    ],
)
def test_what_is_no_configuration_is_refused(change, message):
    config = copy.deepcopy(yaml.safe_load(CONFIG))
    change(config)
    with pytest.raises(ScenarioError, match=message) as caught:
        litellm.from_config(config)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("config", [None, [], "text", 3])
def test_nothing_is_no_configuration(config):
    with pytest.raises(ScenarioError, match="expected a mapping with a model_list"):
        litellm.from_config(config)


def test_a_mistake_in_a_file_has_its_line(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("model_list:\n  - model_name: x\n    litellm_params: {}\n")
    with pytest.raises(ScenarioError, match=r"config.yaml: model_list\[0\].litellm_params \(line 3\)"):
        litellm.load(file)
    with pytest.raises(ScenarioError, match="expected a LiteLLM configuration file"):
        litellm.load(tmp_path / "absent.yaml")


def test_included_files_are_joined(tmp_path):
    (tmp_path / "models.yaml").write_text("model_list: [{model_name: b, litellm_params: {model: gpt-4o}}]\n")
    main = tmp_path / "config.yaml"
    main.write_text(
        "include: [models.yaml]\nmodel_list: [{model_name: a, litellm_params: {model: claude-3}}]\n"
        "router_settings: {num_retries: 1}\n"
    )
    imported = litellm.load(main)
    deployments = imported.scenario["deployments"]
    assert {name: each["provider"] for name, each in deployments.items()} == {"a": "anthropic", "b": "openai"}
    assert list(imported.scenario["traffic"]) == ["a", "b"]
    main.write_text("include: [gone.yaml]\nmodel_list: []\n")
    with pytest.raises(ScenarioError, match=r"include\[0\]: expected an existing file, got 'gone.yaml'"):
        litellm.load(main)


def test_credentials_by_name_tell_where_to_call():
    imported = litellm.from_config(
        {
            "model_list": [
                {
                    "model_name": "a",
                    "litellm_params": {"model": "openai/x", "litellm_credential_name": "team"},
                }
            ],
            "credential_list": [
                {
                    "credential_name": "team",
                    "credential_values": {"api_base": "https://h.example", "api_key": "os.environ/TEAM_KEY"},
                }
            ],
        }
    )
    deployment = imported.scenario["deployments"]["a"]
    assert (deployment["base_url"], deployment["api_key_env"]) == ("https://h.example", "TEAM_KEY")


def test_equal_ids_become_different_names():
    entry = {"model_name": "a", "litellm_params": {"model": "openai/x"}, "model_info": {"id": "same"}}
    imported = litellm.from_config({"model_list": [entry, entry]})
    assert list(imported.scenario["deployments"]) == ["same", "same'"]
    Scenario.from_dict(imported.scenario)


def test_every_group_is_asked_for_where_all_are_fallbacks():
    models = [{"model_name": name, "litellm_params": {"model": "openai/x"}} for name in "ab"]
    chains = {"fallbacks": [{"a": ["b"]}, {"b": ["a"]}]}
    imported = litellm.from_config({"model_list": models, "router_settings": chains})
    assert list(imported.scenario["traffic"]) == ["a", "b"]


def test_default_fallbacks_are_fallbacks():
    models = [{"model_name": name, "litellm_params": {"model": "openai/x"}} for name in "ab"]
    imported = litellm.from_config(
        {"model_list": models, "litellm_settings": {"default_fallbacks": ["b"]}, "router_settings": None}
    )
    assert list(imported.scenario["traffic"]) == ["a"]
