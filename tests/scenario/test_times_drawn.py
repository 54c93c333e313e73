"""Wherever a time may be drawn it may be written as a duration, a number of seconds or a distribution."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from simsla.scenario import Scenario, ScenarioError

TEXT = """
horizon: 1h
components:
  acme:
    kind: provider
    faults: [{kind: outage, uptime: 30d, repair: 10min}, {kind: hang, gap: 1w, repair: 5s}]
  gw: {kind: gateway}
gateway: {service: 4ms, start_up: 45s, crash: {uptime: 30d, repair: 20s}}
deployments:
  a:
    model: m
    provider: acme
    components: [gw]
    error_latency: 250ms
    latency: {first_token: 400ms, per_token: 12ms}
  b: {model: m, latency: {total: 2s}}
traffic:
  chat:
    arrivals: {kind: sessions, users: 2, think: 30s, requests_per_session: 8, pause: 1h}
    prompt_tokens: 10
    output_tokens: 10
    patience: 1min
    client: {retries: 1, timeout: 10s}
"""

TIMES = {
    "components.acme.faults[0].uptime": 30 * 86400,
    "components.acme.faults[0].repair": 600,
    "components.acme.faults[1].gap": 7 * 86400,
    "gateway.service": 0.004,
    "gateway.crash.repair": 20,
    "deployments.a.error_latency": 0.25,
    "deployments.a.latency.first_token": 0.4,
    "deployments.a.latency.per_token": 0.012,
    "deployments.b.latency.total": 2,
    "traffic.chat.arrivals.think": 30,
    "traffic.chat.arrivals.pause": 3600,
    "traffic.chat.patience": 60,
    "traffic.chat.client.timeout": 10,
}


@pytest.fixture(scope="module")
def world():
    return Scenario.from_dict(yaml.safe_load(TEXT))


def test_it_is_read_and_written_back(world):
    assert Scenario.from_dict(world.to_dict()) == world
    for data in (yaml.safe_load(TEXT), world.to_dict()):
        jsonschema.validate(data, Scenario.json_schema())


@pytest.mark.parametrize(("path", "seconds"), TIMES.items())
def test_a_duration_is_so_many_seconds(world, path, seconds):
    assert world.with_values({path: seconds}) == world
    assert world.with_values({path: seconds * 2}) != world
    drawn = world.with_values({path: {"kind": "exponential", "mean": seconds}})
    assert drawn != world


@pytest.mark.parametrize("path", TIMES)
@pytest.mark.parametrize("wrong", ["5 parsecs", "soon", ""])
def test_what_is_no_duration_is_refused_where_it_stands(world, path, wrong):
    with pytest.raises(ScenarioError) as caught:
        world.with_values({path: wrong})
    (problem,) = caught.value.problems
    assert problem.path == path
    assert problem.value == wrong
    assert "a duration such as" in problem.expected
