"""What arrivals, clients and lengths may say, and how a mistake in them is named."""

from __future__ import annotations

import pytest
from simulation.scenarios import scenario, traffic

from simsla.scenario import Scenario, ScenarioError

EVERYTHING = """
horizon: 1d
start: 2026-03-06T18:00Z
deployments:
  a:
    model: m
    latency: {total: 1}
    price: {usd_per_mtok_in: 1, usd_per_mtok_out: 2}
traffic:
  office:
    arrivals:
      kind: poisson
      rate: 20000/d
      profile:
        daily: {"04:00": .3, "14:00": 1.6}
        weekly: {sat: .6, sun: .5}
      surges: [{at: 2h, for: 10min, factor: 8, ramp: 1min}, {at: "03:00", for: 1h, factor: 0}]
      dispersion: {index: 16, window: 60s}
    prompt_tokens: {kind: lognormal, mean: 900, p99: 3230}
    output_tokens: {kind: lognormal, mean: 320, p99: 960}
    length_correlation: 0.5
    client:
      retries: 3
      on: [error, timeout]
      backoff: {base: 500ms, cap: 20s, jitter: equal}
      timeout: {kind: lognormal, median: 20, p99: 60}
      cancels: false
  bots:
    arrivals: {kind: mmpp, states: [{rate: 12/min, mean: 10min}, {rate: 0, mean: 1min}]}
    prompt_tokens: 10
    output_tokens: 5
  batch:
    arrivals: {kind: gamma, rate: 5/s, cv: 3}
    prompt_tokens: 10
    output_tokens: 5
  people:
    arrivals:
      kind: sessions
      users: 200
      think: {kind: exponential, mean: 30}
      requests_per_session: {kind: uniform, low: 1, high: 9}
      pause: 3600
    prompt_tokens: 10
    output_tokens: 5
"""


def test_everything_is_read_and_written(tmp_path):
    path = tmp_path / "everything.yaml"
    path.write_text(EVERYTHING)
    world = Scenario.load(path)
    assert Scenario.from_dict(world.to_dict()) == world
    rates = {name: spec.arrivals.mean_rate_per_s() for name, spec in world.traffic.items()}
    assert rates["office"] == pytest.approx(20_000 / 86_400)
    assert rates["bots"] == pytest.approx(0.2 * 10 / 11)
    assert rates["batch"] == 5
    assert rates["people"] == pytest.approx(200 * 5 / (4 * 30 + 3600))
    changed = world.with_values({"traffic.office.arrivals.profile.daily.14:00": 3})
    assert dict(changed.traffic["office"].arrivals.profile.daily)["14:00"] == 3
    assert {name: spec.arrivals.steady for name, spec in world.traffic.items()} == {
        "office": False,
        "bots": True,
        "batch": True,
        "people": True,
    }
    assert "200 users" in world._repr_html_()


def test_the_schema_accepts_what_is_read(tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    path = tmp_path / "everything.yaml"
    path.write_text(EVERYTHING)
    jsonschema.validate(Scenario.load(path).to_dict(), Scenario.json_schema())


POISSON = {"kind": "poisson", "rate": 1}


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        (POISSON | {"profile": {}}, r"profile: expected daily or weekly factors"),
        (POISSON | {"profile": {"daily": {"25:00": 1}}}, r"profile.daily.25:00: expected a time of day"),
        (POISSON | {"profile": {"daily": {840: 1}}}, r"profile.daily.840: expected a time of day .*quoted"),
        (POISSON | {"profile": {"daily": {"00:00": -1}}}, r"profile.daily.00:00: expected a factor >= 0"),
        (POISSON | {"profile": {"daily": {"00:00": 0}}}, r"profile.daily: expected a factor above 0"),
        (POISSON | {"profile": {"weekly": {"sta": 1}}}, r"profile.weekly.sta: .* mean 'sat'"),
        (
            POISSON | {"surges": [{"at": 0, "for": 10, "factor": -1}]},
            r"surges\[0\].factor: expected a number >= 0",
        ),
        (
            POISSON | {"surges": [{"at": 0, "for": 10, "factor": 2, "ramp": 6}]},
            r"surges\[0\].ramp: expected at most half",
        ),
        (POISSON | {"dispersion": {"index": 1, "window": 60}}, r"dispersion.index: expected a number > 1"),
        ({"kind": "mmpp", "states": [{"rate": 1, "mean": 5}]}, r"arrivals.states: expected"),
        (
            {"kind": "mmpp", "states": [{"rate": 0, "mean": 5}] * 2},
            r"states: expected a state with a rate above 0",
        ),
        (
            {"kind": "mmpp", "states": [{"rate": -1, "mean": 5}] * 2},
            r"states\[0\].rate: expected a rate above 0",
        ),
        ({"kind": "gamma", "rate": 1, "cv": 0}, r"arrivals.cv: expected a number > 0"),
        ({"kind": "gamma", "rate": 1, "cv": 3, "profile": {}}, r"arrivals.profile: expected daily or weekly"),
        (
            {"kind": "gamma", "rate": 1, "cv": 3, "dispersion": {"index": 2, "window": 60}},
            r"arrivals.dispersion: expected one of",
        ),
        (
            {"kind": "sessions", "users": 0, "think": 1, "requests_per_session": 1},
            r"arrivals.users: expected",
        ),
        ({"kind": "sessions", "users": 1, "think": 0, "requests_per_session": 1}, r"think: .* mean above 0"),
        (
            {"kind": "posson", "rate": 1},
            r"arrivals.kind: expected one of poisson, mmpp, gamma, sessions, trace",
        ),
    ],
)
def test_mistakes_in_arrivals_are_named(arrivals, message):
    with pytest.raises(ScenarioError, match=r"traffic.chat.*" + message):
        scenario(None, {"chat": traffic(arrivals=arrivals)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": {}}, r"client: expected retries, a timeout or cancels"),
        ({"client": {"retries": -1}}, r"client.retries: expected a number >= 0"),
        ({"client": {"retries": 1, "on": []}}, r"client.on: expected at least one"),
        ({"client": {"retries": 1, "on": ["shed", "shed"]}}, r"client.on: expected each outcome once"),
        ({"client": {"retries": 1, "on": ["timout"]}}, r"client.on\[0\]: .* mean 'timeout'"),
        (
            {"client": {"retries": 1, "backoff": {"jitter": "half"}}},
            r"client.backoff.jitter: expected one of full, equal, none",
        ),
        ({"length_correlation": 1.5}, r"length_correlation: expected a number <= 1"),
    ],
)
def test_mistakes_in_clients_and_lengths_are_named(changes, message):
    with pytest.raises(ScenarioError, match=r"traffic.chat." + message):
        scenario(None, {"chat": traffic(**changes)})
