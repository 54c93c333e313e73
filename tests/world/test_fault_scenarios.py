"""What a scenario may say of faults, and what it is told when it cannot be."""

from __future__ import annotations

import pickle

import jsonschema
import pytest
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

from simsla.scenario import Scenario, ScenarioError

TEXT = """
horizon: 10d
start: 2026-01-05T08:00
crews: {ops: 1}
components:
  openai:
    kind: provider
    crew: ops
    faults:
      - {kind: outage, schedule: [{every: 7d, at: 03:00, for: 30min}, {at: 1d 13:30, for: 5min}]}
      - {kind: rate_limit_storm, severity: .6, retry_after: 20s, uptime: 9e4, repair: 60}
      - kind: connect
        hang: true
        only: {regions: [eu], classes: [chat], clients: .3}
        schedule: [{at: 1h, for: 1h}]
      - {kind: outage, flapping: {up: 20s, down: 10s}, uptime: {kind: exponential, mean: 9e4}, repair: 600}
      - kind: brownout
        severity: .3
        schedule: [{every: 1d, at: 14:00}]
        rollback: {bad: .05, noticed: {kind: lognormal, mean: 900, sigma: 1}}
  gpt: {kind: model, parent: openai, beta: .2, faults: [{kind: hang, uptime: 9e4, repair: 60}]}
  mini: {kind: model, parent: openai}
regions: {eu: null}
schedule:
  - {at: 03:00, fail: eu, for: 45min}
  - {at: 1h, slow: openai, factor: 3, for: 10min}
  - {at: 2h, limit: openai, share: .5, retry_after: 2s, only: {clients: .5}}
  - {at: 3h, repair: openai}
deployments:
  a: {model: gpt, provider: openai, region: eu, components: [gpt], latency: {total: 1}}
traffic:
  chat: {arrivals: {kind: poisson, rate: 1}, prompt_tokens: 10, output_tokens: 10, region: eu}
"""


@pytest.fixture
def full(tmp_path):
    path = tmp_path / "full.yaml"
    path.write_text(TEXT)
    return Scenario.load(path)


def test_it_is_read_and_written_back(full):
    assert Scenario.from_dict(full.to_dict()) == full
    assert pickle.loads(pickle.dumps(full)) == full
    jsonschema.validate(full.to_dict(), Scenario.json_schema())
    assert full.components["gpt"].beta == 0.2
    assert [event.verb for event in full.schedule] == ["fail", "slow", "limit", "repair"]
    assert full.schedule[2].retry_after_s == 2


def test_times_of_day_count_from_the_start_of_the_scenario(full):
    window, once = full.components["openai"].faults[0].schedule
    assert (window.start_s, window.every_s, window.duration_s) == (19 * 3600, 7 * 86400, 1800)
    assert once.start_s == 86400 + 5.5 * 3600
    assert full.schedule[0].at_s == 19 * 3600
    # Unquoted, in the way that YAML 1.1 takes for a number to the base of 60.
    assert full.components["openai"].faults[4].schedule[0].start_s == 6 * 3600
    later = full.with_values({"start": "2026-01-05T02:00Z"})
    assert later.schedule[0].at_s == 3600
    assert later.to_dict()["schedule"][0]["at"] == "03:00"


def test_verbs_give_new_scenarios(full):
    changed = (
        full.world.fail("eu", at="04:00", for_="20min", share=0.5)
        .world.slow("gpt", at=10, for_=20, factor=2)
        .world.limit("mini", at="5min", share=0.1, retry_after=3, only={"classes": ["chat"]})
        .world.repair("mini", at="10min")
    )
    assert len(full.schedule) == 4
    fail, slow, limit, repair = changed.schedule[4:]
    assert (fail.verb, fail.component, fail.at_s, fail.for_s, fail.share) == ("fail", "eu", 72_000, 1200, 0.5)
    assert (slow.verb, slow.component, slow.factor) == ("slow", "gpt", 2)
    assert (limit.verb, limit.for_s, limit.only.classes) == ("limit", None, ("chat",))
    assert (repair.verb, repair.component, repair.at_s) == ("repair", "mini", 600)
    with pytest.raises(ScenarioError, match=r"schedule\[4\]\.fail: .*'opnai'; did you mean 'openai'\?"):
        full.world.fail("opnai", at="03:00")
    with pytest.raises(ScenarioError, match=r"schedule\[4\]\.at: expected a moment: .*'25:00'"):
        full.world.repair("openai", at="25:00")
    with pytest.raises(ScenarioError, match=r"schedule\[4\]\.factor"):
        full.world.slow("openai", at=0, factor=0.5)


def faulty(**fault):
    return {"components": {"g": {"faults": [{"kind": "outage"} | fault]}}}


ONCE = [{"at": 1, "for": 1}]
DRAWN = {"uptime": exp(9), "repair": exp(1)}

REFUSED = [
    (faulty(schedule=[{"at": 1}]), "components.g.faults[0].schedule[0].duration", "a value"),
    (faulty(schedule=[{"for": 1}]), "components.g.faults[0].schedule[0].start", "a value"),
    (faulty(schedule=[{"at": "1x", "for": 1}]), "components.g.faults[0].schedule[0].at", "a moment"),
    (faulty(schedule=[{"at": 1, "for": "1x"}]), "components.g.faults[0].schedule[0].for", "a duration"),
    (faulty(schedule=[{"at": 1, "for": 1, "start": 1}]), "components.g.faults[0].schedule[0].at", "not both"),
    (
        faulty(schedule=[{"at": 1, "for": 5, "every": 5}]),
        "components.g.faults[0].schedule[0].every",
        "longer",
    ),
    (
        faulty(schedule=ONCE, rollback={"noticed": 5}),
        "components.g.faults[0].schedule[0].duration",
        "no duration beside a rollback",
    ),
    (faulty(rollback={"noticed": 5}, **DRAWN), "components.g.faults[0].repair", "no repair beside"),
    (faulty(uptime=exp(9)), "components.g.faults[0].repair", "with repair"),
    (faulty(uptime=exp(9), rollback={"noticed": 0}), "components.g.faults[0].rollback.noticed", "above 0"),
    (faulty(flapping={"up": 1, "down": 0}, **DRAWN), "components.g.faults[0].flapping.down", "above 0"),
    (faulty(retry_after=3, **DRAWN), "components.g.faults[0].retry_after", "rate_limit_storm"),
    (faulty(hang=True, **DRAWN), "components.g.faults[0].hang", "connect"),
    (faulty(kind="rate_limit_storm", **DRAWN), "components.g.faults[0].severity", "required"),
    (faulty(only={}, **DRAWN), "components.g.faults[0].only", "classes, regions"),
    (faulty(only={"classes": ["chta"]}, **DRAWN), "components.g.faults[0].only.classes[0]", "request class"),
    (faulty(only={"regions": ["mars"]}, **DRAWN), "components.g.faults[0].only.regions[0]", "region"),
    ({"components": {"g": {"beta": 0.1}}}, "components.g.beta", "without a parent"),
    ({"components": {"g": {"parent": "g"}}}, "components.g.parent", "another component than itself"),
    ({"components": {"g": {"crew": "ops"}}}, "components.g.crew", "a declared crew"),
    ({"crews": {"ops": 0}}, "crews.ops", ">= 1"),
    ({"schedule": [{"at": 1}]}, "schedule[0]", "found none of them"),
    ({"schedule": [{"at": 1, "fail": "r", "slow": "r"}]}, "schedule[0]", "found fail and slow"),
    ({"schedule": [{"at": 1, "slow": "r"}]}, "schedule[0].factor", "required"),
    ({"schedule": [{"at": 1, "repair": "r", "for": 3}]}, "schedule[0].for", "no for with repair"),
    ({"schedule": [{"at": 1, "fail": "r", "factor": 3}]}, "schedule[0].factor", "no factor with fail"),
    ({"schedule": [{"at": 1, "fial": "r"}]}, "schedule[0].fial", "one of at, fail"),
    ({"schedule": [{"fail": "r"}]}, "schedule[0].at", "a value"),
]


@pytest.mark.parametrize(("parts", "path", "expected"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_is_refused_with_its_place(parts, path, expected):
    with pytest.raises(ScenarioError) as caught:
        scenario({"a": deployment()}, {"chat": traffic()}, regions={"r": None}, **parts)
    assert any(p.path == path and expected in p.expected for p in caught.value.problems), str(caught.value)


def test_a_name_meant_is_suggested():
    fault = scheduled("outage", 1, 1, only={"classes": ["chta"]})
    with pytest.raises(ScenarioError, match="did you mean 'chat'"):
        scenario(components={"g": {"faults": [fault]}})
    with pytest.raises(ScenarioError, match="did you mean 'openai'"):
        scenario(components={"openai": None}, schedule=[{"at": 1, "repair": "opneai"}])


@pytest.mark.parametrize("name", ["openai-api", "anthropic-api"])
def test_measured_incidents_are_those_of_the_playbook(name):
    provider = {"openai-api": "openai", "anthropic-api": "alibaba"}[name]
    expected = Scenario.load("playbook").components[provider].faults[0]
    spec = scenario(components={"g": {"faults": [{"kind": "brownout", "measured": name}]}})
    (fault,) = spec.components["g"].faults
    assert (fault.gap, fault.repair, fault.severity) == (expected.gap, expected.repair, expected.severity)
    assert "arXiv" in fault.source
    assert Scenario.from_dict(spec.to_dict()) == spec
    assert faulty_of(kind="outage", measured=name).severity == expected.severity
    assert faulty_of(kind="outage", measured=name, severity=1).severity == 1
    assert faulty_of(kind="slowdown", measured=name, severity=4).severity == 4


def faulty_of(**fault):
    return scenario(components={"g": {"faults": [fault]}}).components["g"].faults[0]


@pytest.mark.parametrize(
    ("fault", "path", "expected"),
    [
        ({"measured": "openai"}, "measured", "one of anthropic-api, openai-api"),
        ({"measured": "openai-api", "repair": 3}, "repair", "no repair beside measured"),
        ({"kind": "slowdown", "measured": "openai-api"}, "severity", "required"),
    ],
)
def test_a_measured_process_is_whole(fault, path, expected):
    with pytest.raises(ScenarioError) as caught:
        faulty_of(**({"kind": "outage"} | fault))
    (problem,) = caught.value.problems
    assert problem.path == f"components.g.faults[0].{path}"
    assert expected in problem.expected
