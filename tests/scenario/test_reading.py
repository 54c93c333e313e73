"""What a scenario file says is what the scenario holds."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from simsla.analysis.definitions import METRICS, MORE_IS_BETTER
from simsla.distributions import Constant, LogNormal, Weibull
from simsla.routing import RoutingPolicy
from simsla.scenario import Component, Scenario, ScenarioError, TraceArrivals

TEXT = """
name: small
horizon: 2d
warmup: 30min
replications: 3
components:
  acme:
    kind: provider
    faults:
      - {kind: brownout, severity: 0.18, source: measured,
         gap: {kind: weibull, shape: 0.65, scale: 92.5, unit: h},
         repair: {kind: lognormal, mu: 0.23, sigma: 1.17, unit: h}}
      - {kind: hang, uptime: {kind: exponential, mean: 9, unit: d}, repair: 600}
  gateway:
    kind: gateway
    faults:
      - {kind: outage, schedule: [{start: 3h, duration: 90s}, {start: 1d, duration: 1min, severity: 0.5}]}
regions:
  us-east-1:
  eu-west-1: {faults: [{kind: slowdown, severity: 3, schedule: [{start: 1h, duration: 1h}]}]}
deployments:
  small-us: &small
    model: small-v1
    provider: acme
    region: us-east-1
    tier: economy
    components: [gateway, acme]
    base_url: https://gateway.example/v1
    api_key_env: KEY_US
    context_window: 32000
    price: {usd_per_mtok_in: 0.27, usd_per_mtok_out: 1.10, source: a list, date: 2026-01-31}
    latency: {first_token: 0.2, per_token: {kind: lognormal, mean: 3, p99: 9, unit: ms}}
    errors: {429: 0.01, 503: 1e-3, connect: 0.0005}
    retry_after: 2s
    max_concurrency: 8
    queue_limit: 100
    billing: {cancelled: none}
  small-eu: {<<: *small, region: eu-west-1, latency: {total: 1.5}}
traffic:
  chat:
    arrivals: {kind: poisson, rate: 20000/d}
    prompt_tokens: {kind: lognormal, mean: 1500, p99: 6000}
    output_tokens: 750
    max_tokens: 4096
    complexity: 0.3
    patience: {kind: exponential, mean: 1, unit: min}
    region: {us-east-1: 3, eu-west-1: 1}
  batch:
    arrivals: {kind: poisson, rate: 0.5}
    prompt_tokens: 10
    output_tokens: 20
    tier: standard
    deadline: 10min
    region: eu-west-1
routing: {deadline_s: 90, breaker: null, tiers: {economy: [small-eu, small-us]}}
objectives:
  - {metric: availability, target: 0.9995}
  - {name: tail, metric: latency_p99_s, request_class: chat, target: 3.4}
"""


@pytest.fixture
def data() -> dict[str, Any]:
    return yaml.safe_load(TEXT.replace("1e-3", "0.001"))


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "small.yaml").write_text(TEXT)
    return Scenario.load(tmp_path / "small.yaml")


def test_times_rates_and_numbers(scenario: Scenario) -> None:
    assert (scenario.horizon_s, scenario.warmup_s, scenario.replications) == (172800.0, 1800.0, 3)
    assert scenario.traffic["chat"].arrivals.rate_per_s == pytest.approx(20000 / 86400)
    assert scenario.traffic["chat"].deadline_s == 120.0
    assert scenario.traffic["batch"].deadline_s == 600.0
    assert scenario.deployments["small-us"].errors == {"429": 0.01, "503": 0.001, "connect": 0.0005}


def test_faults(scenario: Scenario) -> None:
    brownout, hang = scenario.components["acme"].faults
    assert (brownout.severity, brownout.error, brownout.source) == (0.18, 503, "measured")
    assert brownout.gap == Weibull(0.65, 92.5, unit="h")
    assert brownout.repair == LogNormal(0.23, 1.17, unit="h")
    assert (hang.severity, hang.error, hang.gap, hang.repair) == (1.0, None, None, Constant(600.0))
    (outage,) = scenario.components["gateway"].faults
    assert [(e.start_s, e.duration_s, e.severity) for e in outage.schedule] == [
        (10800.0, 90.0, 1.0),
        (86400.0, 60.0, 0.5),
    ]


def test_regions_are_components(scenario: Scenario) -> None:
    everything = scenario.all_components
    assert list(everything) == ["acme", "gateway", "us-east-1", "eu-west-1"]
    assert everything["us-east-1"] == Component(kind="region")
    assert everything["eu-west-1"].faults[0].severity == 3.0


def test_deployments_know_what_they_depend_on(scenario: Scenario) -> None:
    us, eu = scenario.deployment_specs
    assert (us.name, eu.name) == ("small-us", "small-eu")
    assert us.dependencies == ("acme", "us-east-1", "gateway")
    assert eu.latency.total == Constant(1.5)
    deployment = us.to_deployment()
    assert deployment.name == "small-us"
    assert deployment.components == us.dependencies
    assert deployment.usd_per_mtok_out == 1.10
    assert us.billing.cancelled == "none"
    assert us.billing.timed_out == "generated"


def test_classes(scenario: Scenario) -> None:
    chat, batch = scenario.traffic.values()
    assert (chat.name, batch.name) == ("chat", "batch")
    assert chat.region == (("us-east-1", 3.0), ("eu-west-1", 1.0))
    assert batch.region == (("eu-west-1", 1.0),)
    assert chat.complexity == Constant(0.3)
    assert chat.patience is not None
    assert chat.patience.mean() == 60.0


def test_routing_is_the_routing_packages_own(scenario: Scenario, data: dict[str, Any]) -> None:
    assert scenario.routing == RoutingPolicy.from_dict(data["routing"])
    assert isinstance(scenario.routing, RoutingPolicy)
    assert scenario.routing.breaker is None


def test_objectives(scenario: Scenario) -> None:
    availability, tail = scenario.objectives
    assert (availability.name, availability.more_is_better) == ("availability", True)
    assert (tail.name, tail.more_is_better, tail.target) == ("tail", False, 3.4)
    assert (availability.request_class, tail.request_class) == (None, "chat")


def test_every_reported_metric_can_be_promised(data: dict[str, Any]) -> None:
    data["objectives"] = [{"metric": metric, "target": 0.5} for metric in METRICS]
    objectives = Scenario.from_dict(data).objectives
    assert {o.metric for o in objectives if o.more_is_better} == set(MORE_IS_BETTER)


def test_defaults() -> None:
    bare = Scenario.from_dict(
        {
            "horizon": 10,
            "deployments": {"d": {"model": "m", "latency": {"total": 1}}},
            "traffic": {
                "t": {"arrivals": {"kind": "poisson", "rate": 1}, "prompt_tokens": 1, "output_tokens": 1}
            },
        }
    )
    assert (bare.replications, bare.warmup_s, bare.objectives) == (20, 0.0, ())
    assert bare.routing == RoutingPolicy()
    spec = bare.deployments["d"]
    assert spec.error_latency.mean() == pytest.approx(0.25)
    assert spec.error_latency.quantile(0.99) == pytest.approx(1.0)
    assert spec.price.usd_per_mtok_in == 0.0


def test_round_trips(scenario: Scenario, data: dict[str, Any]) -> None:
    written = json.loads(json.dumps(scenario.to_dict()))
    assert Scenario.from_dict(written) == scenario
    assert Scenario.from_dict(written).to_dict() == written
    assert Scenario.from_dict(yaml.safe_load(yaml.safe_dump(written, sort_keys=False))) == scenario
    assert Scenario.from_dict(data) == scenario
    assert written["deployments"]["small-us"]["latency"]["per_token"]["p99"] == 9.0
    assert written["routing"]["breaker"] is None


def test_pickles_and_copies_are_equal(scenario: Scenario) -> None:
    copied = pickle.loads(pickle.dumps(scenario))
    assert copied == scenario == copy.deepcopy(scenario)
    assert copied.deployments["small-eu"].name == "small-eu"


def test_scenarios_do_not_change(scenario: Scenario) -> None:
    with pytest.raises(ValueError, match="frozen"):
        scenario.name = "other"  # type: ignore[misc]
    for mapping in (scenario.components, scenario.regions, scenario.deployments, scenario.traffic):
        with pytest.raises(TypeError, match="with_values"):
            mapping["x"] = mapping.popitem()  # type: ignore[index]
        with pytest.raises(TypeError, match="with_values"):
            mapping.clear()


def test_values_can_be_changed_by_path(scenario: Scenario) -> None:
    changed = scenario.with_values(
        {
            "components.acme.faults.0.severity": 0.5,
            "components.acme.faults[1].repair": 30,
            "components.gateway.faults.0.severity": 0.25,
            "deployments.small-us.latency.per_token.p99": 12,
            "deployments.small-us.errors.500": 0.1,
            "deployments.small-us.billing.cancelled": "full",
            "routing.retry.max_attempts": np.int64(3),
            "horizon": "3d",
        }
    )
    assert [fault.severity for fault in changed.components["acme"].faults] == [0.5, 1.0]
    assert changed.components["acme"].faults[1].repair == Constant(30.0)
    # An episode with a severity of its own keeps it.
    assert [e.severity for e in changed.components["gateway"].faults[0].schedule] == [0.25, 0.5]
    per_token = changed.deployments["small-us"].latency.per_token
    assert per_token is not None
    assert per_token.quantile(0.99) == pytest.approx(0.012)
    assert changed.deployments["small-us"].errors["500"] == 0.1
    assert isinstance(changed.routing, RoutingPolicy)
    assert changed.routing.retry.max_attempts == 3
    assert changed.horizon_s == 3 * 86400
    assert scenario.horizon_s == 2 * 86400


def test_names_with_dots_can_be_on_a_path(data: dict[str, Any]) -> None:
    data["deployments"]["gpt-4.1.us"] = data["deployments"]["small-us"]
    changed = Scenario.from_dict(data).with_values({"deployments.gpt-4.1.us.tier": "premium"})
    assert changed.deployments["gpt-4.1.us"].tier == "premium"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("routing.retri.max_attempts", "did you mean 'routing.retry.max_attempts'"),
        ("routing.retry.max_attempt", "did you mean 'max_attempts'"),
        ("components.acme.faults.7.severity", "components.acme.faults: expected an index below 2"),
        ("components.acme.faults.0.severity.deep", "components.acme.faults.0..severity: expected the end"),
        ("deployments.small-us.latency.per_token.q99", "did you mean 'p99'"),
        ("", "expected one of name"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(scenario: Scenario, path: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario.with_values({path: 1})


def test_a_policy_by_name_is_kept_and_not_imported(data: dict[str, Any], tmp_path: Path) -> None:
    data["routing"] = {"policy": "a_module_that_must_not_be_imported.sub:factory"}
    scenario = Scenario.from_dict(data, base_dir=tmp_path)
    assert scenario.routing == "a_module_that_must_not_be_imported.sub:factory"
    assert scenario.to_dict()["routing"] == data["routing"]
    assert "a_module_that_must_not_be_imported" not in sys.modules


def test_the_name_of_a_file_is_the_scenarios_unless_it_has_one(tmp_path: Path) -> None:
    (tmp_path / "nameless.yaml").write_text(TEXT.replace("name: small\n", ""))
    assert Scenario.load(str(tmp_path / "nameless.yaml")).name == "nameless"


def test_schema_accepts_the_file_and_refuses_mistakes(data: dict[str, Any], scenario: Scenario) -> None:
    schema = Scenario.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    data["deployments"]["small-us"]["errors"] = {"429": 0.01}
    data["deployments"]["small-eu"]["errors"] = {"429": 0.01}
    for deployment in data["deployments"].values():
        deployment["price"]["date"] = "2026-01-31"
    data["regions"]["us-east-1"] = {}
    validator.validate(data)
    validator.validate(scenario.to_dict())
    for path, value in {
        ("horizn",): 1,
        ("horizon",): "30 fortnights",
        ("traffic",): {},
        ("deployments", "small-us", "tier"): "premum",
        ("deployments", "small-us", "latency", "total"): {"kind": "lognorml"},
        ("components", "acme", "faults"): [{"kind": "meltdown"}],
        ("routing", "retri"): {},
        ("routing", "deadline_s"): True,
    }.items():
        wrong = copy.deepcopy(data)
        node = wrong
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
        assert not validator.is_valid(wrong), path


def test_text_form(scenario: Scenario) -> None:
    assert repr(scenario) == (
        "<Scenario small: 2 d × 3 replications; 2 deployments of 1 model in 2 regions; "
        "2 request classes, 63,200 requests a day; availability ≥ 0.9995; latency_p99_s of chat ≤ 3.4>"
    )


def test_notebook_form_is_escaped(scenario: Scenario) -> None:
    html = scenario.with_values({"description": "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for part in ("small-us", "acme", "chat", "built-in router", "2 d"):
        assert part in html


def test_a_replayed_class_takes_no_lengths(data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,2\n2023-11-16 18:00:01,3,4\n"
    )
    chat = data["traffic"]["chat"]
    chat["arrivals"] = {"kind": "trace", "path": "t.csv", "share": [0.25, 1]}
    with pytest.raises(ScenarioError, match="no prompt_tokens beside a trace"):
        Scenario.from_dict(data, base_dir=tmp_path)
    del chat["prompt_tokens"], chat["output_tokens"]
    scenario = Scenario.from_dict(data, base_dir=tmp_path)
    arrivals = scenario.traffic["chat"].arrivals
    assert isinstance(arrivals, TraceArrivals)
    assert arrivals.path == str(tmp_path / "t.csv")
    assert arrivals.share == (0.25, 1.0)
    assert arrivals.mean_rate_per_s() == pytest.approx(1.5)
    assert scenario.to_dict()["traffic"]["chat"]["arrivals"]["path"] == str(tmp_path / "t.csv")
    assert Scenario.from_dict(scenario.to_dict()) == scenario
