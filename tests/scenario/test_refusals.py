"""Bad scenarios: one clear message with the path, the value, what was expected and the nearest name."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.scenario import Scenario, ScenarioError


def good() -> dict[str, Any]:
    return {
        "horizon": "1d",
        "components": {
            "acme": {
                "kind": "provider",
                "faults": [{"kind": "brownout", "severity": 0.2, "gap": 3600, "repair": 60}],
            },
            "gateway": {"faults": [{"kind": "outage", "schedule": [{"start": 0, "duration": 5}]}]},
        },
        "regions": {"us-east-1": {}, "eu-west-1": {}},
        "deployments": {
            "small": {
                "model": "m",
                "provider": "acme",
                "region": "us-east-1",
                "components": ["gateway"],
                "latency": {"total": 1},
                "price": {"usd_per_mtok_in": 1},
                "max_concurrency": 2,
                "queue_limit": 3,
            }
        },
        "traffic": {
            "chat": {
                "arrivals": {"kind": "poisson", "rate": 1},
                "prompt_tokens": 10,
                "output_tokens": 10,
                "region": "us-east-1",
            }
        },
        "routing": {"retry": {"max_attempts": 2}},
        "objectives": [{"metric": "availability", "target": 0.99}],
    }


FAULT = ("components", "acme", "faults", 0)
SMALL = ("deployments", "small")
CHAT = ("traffic", "chat")

CASES = [
    # unknown keys
    (("horizn",), 1, "horizn", "horizon"),
    ((*FAULT, "repairs"), 1, "components.acme.faults[0].repairs", "repair"),
    ((*SMALL, "provder"), "x", "deployments.small.provder", "provider"),
    ((*SMALL, "latency"), {"totl": 1}, "deployments.small.latency.totl", "total"),
    ((*CHAT, "prompt_token"), 1, "traffic.chat.prompt_token", "prompt_tokens"),
    ((*CHAT, "arrivals"), {"kind": "poisson", "rate": 1, "rte": 1}, "traffic.chat.arrivals.rte", "rate"),
    (("routing", "retri"), {}, "routing.retri", "retry"),
    (("routing", "retry", "max_atempts"), 1, "routing.retry.max_atempts", "max_attempts"),
    # names that are not declared, or chosen from a list
    ((*SMALL, "provider"), "acne", "deployments.small.provider", "acme"),
    ((*SMALL, "region"), "us-east", "deployments.small.region", "us-east-1"),
    ((*SMALL, "components"), ["gatway"], "deployments.small.components[0]", "gateway"),
    ((*SMALL, "tier"), "premum", "deployments.small.tier", "premium"),
    ((*SMALL, "errors"), {502: 0.1}, "deployments.small.errors.502", "503"),
    ((*SMALL, "price"), "playbok/gpt-4o", "deployments.small.price", "playbook"),
    ((*SMALL, "price"), "playbook/gpt-4", "deployments.small.price", "playbook/gpt-4o"),
    ((*CHAT, "region"), "eu-west", "traffic.chat.region", "eu-west-1"),
    ((*CHAT, "region"), {"eu-west": 1}, "traffic.chat.region.eu-west", "eu-west-1"),
    ((*CHAT, "arrivals"), {"kind": "poison", "rate": 1}, "traffic.chat.arrivals.kind", "poisson"),
    ((*CHAT, "prompt_tokens"), {"kind": "lognorml"}, "traffic.chat.prompt_tokens.kind", "lognormal"),
    ((*FAULT, "kind"), "brownot", "components.acme.faults[0].kind", "brownout"),
    (("routing", "tiers"), {"economy": ["smal"]}, "routing.tiers.economy[0]", "small"),
    (("objectives", 0, "metric"), "avalability", "objectives[0].metric", "availability"),
    (("objectives", 0, "request_class"), "chta", "objectives[0].request_class", "chat"),
    # impossible numbers
    ((*CHAT, "arrivals"), {"kind": "poisson", "rate": -1}, "traffic.chat.arrivals.rate", None),
    ((*CHAT, "arrivals"), {"kind": "poisson", "rate": "3/fortnight"}, "traffic.chat.arrivals.rate", None),
    ((*SMALL, "errors"), {"429": 1.5}, "deployments.small.errors.429", None),
    ((*SMALL, "errors"), {"429": 0.6, "500": 0.6}, "deployments.small.errors", None),
    ((*SMALL, "errors"), {"429": True}, "deployments.small.errors.429", None),
    ((*SMALL, "errors"), {"429": "0.1"}, "deployments.small.errors.429", None),
    ((*SMALL, "latency"), {"total": -1}, "deployments.small.latency.total", None),
    ((*SMALL, "latency"), {"total": 1, "per_token": 1}, "deployments.small.latency", None),
    ((*SMALL, "max_concurrency"), 0, "deployments.small.max_concurrency", None),
    ((*SMALL, "max_concurrency"), 2.5, "deployments.small.max_concurrency", None),
    ((*SMALL, "max_concurrency"), None, "deployments.small.queue_limit", None),
    ((*SMALL, "price"), {"usd_per_mtok_in": -1}, "deployments.small.price.usd_per_mtok_in", None),
    ((*SMALL, "price"), {"usd_per_mtok_in": math.nan}, "deployments.small.price.usd_per_mtok_in", None),
    ((*SMALL, "price"), {"date": "yesterday"}, "deployments.small.price.date", None),
    ((*FAULT, "severity"), 1.5, "components.acme.faults[0].severity", None),
    ((*FAULT, "severity"), 0, "components.acme.faults[0].severity", None),
    ((*FAULT, "kind"), "slowdown", "components.acme.faults[0].severity", None),
    ((*FAULT, "error"), 418, "components.acme.faults[0].error", None),
    ((*FAULT, "gap"), 0, "components.acme.faults[0].gap", None),
    ((*FAULT, "uptime"), 5, "components.acme.faults[0]", None),
    (
        (*FAULT, "repair"),
        {"kind": "lognormal", "mu": 0, "sigma": 99},
        "components.acme.faults[0].repair",
        None,
    ),
    (
        ("components", "acme", "faults"),
        [{"kind": "outage", "gap": 5}],
        "components.acme.faults[0].repair",
        None,
    ),
    (("components", "acme", "faults"), [{"kind": "outage"}], "components.acme.faults[0]", None),
    (
        ("components", "acme", "faults"),
        [{"kind": "brownout", "schedule": [{"start": 1, "duration": 1, "severity": 0.3}]}],
        "components.acme.faults[0].severity",
        None,
    ),
    (
        ("components", "gateway", "faults", 0, "schedule", 0, "severity"),
        2,
        "components.gateway.faults[0].schedule[0].severity",
        None,
    ),
    ((*CHAT, "complexity"), 1.5, "traffic.chat.complexity", None),
    ((*CHAT, "complexity"), {"kind": "exponential", "mean": 0.1}, "traffic.chat.complexity", None),
    ((*CHAT, "deadline"), 0, "traffic.chat.deadline", None),
    ((*CHAT, "region"), {"us-east-1": -1}, "traffic.chat.region.us-east-1", None),
    ((*CHAT, "region"), {"us-east-1": 0}, "traffic.chat.region", None),
    ((*CHAT, "stream"), "yes", "traffic.chat.stream", None),
    (("horizon",), -5, "horizon", None),
    (("horizon",), True, "horizon", None),
    (("horizon",), math.inf, "horizon", None),
    (("horizon",), "30 parsecs", "horizon", None),
    (("warmup",), "1d", "warmup", None),
    (("replications",), 0, "replications", None),
    (("objectives", 0, "target"), 99.95, "objectives[0].target", None),
    (("routing", "retry", "max_attempts"), 0, "routing.retry.max_attempts", None),
    # the wrong kind of thing
    (("traffic",), {}, "traffic", None),
    (("traffic",), [], "traffic", None),
    (("deployments",), {}, "deployments", None),
    (("deployments",), None, "deployments", None),
    (("components", 7), {}, "components[7]", None),
    (("components", "us-east-1"), {}, "regions.us-east-1", None),
    (("components", "acme", "faults"), {}, "components.acme.faults", None),
    ((*SMALL, "latency"), 3, "deployments.small.latency", None),
    ((*CHAT, "arrivals"), {"rate": 1}, "traffic.chat.arrivals.kind", None),
    ((*CHAT, "prompt_tokens"), None, "traffic.chat.prompt_tokens", None),
    (("routing",), 3, "routing", None),
    (("routing",), {"policy": "os.system('x')"}, "routing.policy", None),
    (("routing",), {"policy": "a:b", "retry": {}}, "routing.retry", None),
    (("name",), 5, "name", None),
]


def replaced(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    data = good()
    node: Any = data
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return data


def test_the_good_one_is_good() -> None:
    assert Scenario.from_dict(good()).name == "scenario"


@pytest.mark.parametrize(("path", "value", "reported", "suggestion"), CASES, ids=str)
def test_one_mistake_is_one_problem(
    path: tuple[Any, ...], value: object, reported: str, suggestion: str | None
) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(replaced(path, value), origin="my.yaml")
    (problem,) = caught.value.problems
    assert problem.path == reported
    assert problem.suggestion == suggestion
    message = str(caught.value)
    assert message.startswith(f"my.yaml: {reported}: expected ")
    assert "\n" not in message
    if suggestion:
        assert message.endswith(f"; did you mean {suggestion!r}?")


def test_every_problem_is_reported_at_once() -> None:
    data = good()
    data["surplus"] = 1
    data["deployments"]["small"]["region"] = "mars"
    data["traffic"]["chat"]["arrivals"]["rate"] = -1
    data["components"]["acme"]["faults"][0]["gap"] = {"kind": "weibul"}
    data["routing"]["retry"]["max_attempts"] = "three"
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data)
    assert {problem.path for problem in caught.value.problems} == {
        "surplus",
        "deployments.small.region",
        "traffic.chat.arrivals.rate",
        "components.acme.faults[0].gap.kind",
        "routing.retry.max_attempts",
    }
    assert str(caught.value).startswith("scenario: 5 problems\n  ")
    assert len(str(caught.value).splitlines()) == 6


def test_two_classes_cannot_replay_the_same_rows(tmp_path: Path) -> None:
    rows = "2023-11-16 18:00:00,1,2\n2023-11-16 18:00:01,3,4\n"
    (tmp_path / "t.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    data = good()
    trace = {"kind": "trace", "path": "t.csv"}
    data["traffic"] = {
        "a": {"arrivals": {**trace, "share": [0, 0.6]}},
        "b": {"arrivals": {**trace, "share": [0.5, 1]}},
    }
    with pytest.raises(ScenarioError, match=r"traffic.b.arrivals.share: expected no overlap .* of a"):
        Scenario.from_dict(data, base_dir=tmp_path)


def test_malformed_trace_rows_are_named(tmp_path: Path) -> None:
    rows = "2023-11-16 18:00:00,1,2\n2023-11-16 18:00:01,3,x\n"
    (tmp_path / "t.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    data = good()
    data["traffic"] = {"a": {"arrivals": {"kind": "trace", "path": "t.csv"}}}
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data, base_dir=tmp_path)
    assert str(caught.value) == (
        "scenario: traffic.a.arrivals.path: expected a whole number >= 0 "
        "in t.csv, line 3, column GeneratedTokens, got 'x'"
    )


YAML_CASES = [
    ("", "expected a mapping", None),
    ("- 1\n- 2\n", "expected a mapping", None),
    ("just text", "expected a mapping", None),
    ("name: x\nhorizon: [1\n", "plain YAML", 3),
    ("name: x\nname: y\n", "the key 'name' stands here twice", 2),
    ("a:\n  b: 1\n  c: 2\n  b: 3\n", "the key 'b' stands here twice", 4),
    ("name: x\nhorizon: *nothing\n", "undefined alias", 2),
    ("name: x\n---\nname: y\n", "single document", 2),
    ("? [1]\n: 2\n", "unhashable key", 1),
    ("a: 2026-13-45\n", "plain YAML", None),
    ("a: \0\n", "plain YAML", None),
    ("a: &x [*x]\n", "levels", None),
    ("[" * 5000, "plain YAML", 1),
]


@pytest.mark.parametrize(("text", "message", "line"), YAML_CASES, ids=range(len(YAML_CASES)))
def test_bad_yaml_is_refused_with_its_line(tmp_path: Path, text: str, message: str, line: int | None) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=message) as caught:
        Scenario.load(tmp_path / "bad.yaml")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert str(caught.value).startswith(str(tmp_path / "bad.yaml"))


def test_aliases_cannot_blow_up(tmp_path: Path) -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    (tmp_path / "bad.yaml").write_text("\n".join(["l0: &l0 [1]", *levels]))
    with pytest.raises(ScenarioError, match="values"):
        Scenario.load(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch PWNED']",
        "!!python/object/new:os.system ['touch PWNED']",
        "!!python/name:os.system ''",
        "!!python/module:os ''",
        "!!python/object/apply:subprocess.check_call [[touch, PWNED]]",
        "!include PWNED",
    ],
)
def test_a_file_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(f"name: x\nhorizon: {tag}\n")
    with pytest.raises(ScenarioError, match="could not determine a constructor") as caught:
        Scenario.load("bad.yaml")
    assert caught.value.problems[0].line == 2
    assert os.listdir(tmp_path) == ["bad.yaml"]  # noqa: PTH208 - what a listing shows, names alone


def test_problems_in_a_file_carry_their_lines(tmp_path: Path) -> None:
    text = """\
horizon: 1d
components:
  acme:
    faults:
      - {kind: outage, gap: 5, repair: 1}
      - kind: brownout
        severity: 1.5
        gap: 5
        repair: 1
deployments:
  small:
    model: m
    latency: {total: 1}
trafic: {}
"""
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(tmp_path / "bad.yaml")
    assert {problem.path: problem.line for problem in caught.value.problems} == {
        "components.acme.faults[1].severity": 7,
        "traffic": None,
        "trafic": 14,
    }
    assert "components.acme.faults[1].severity (line 7): expected a share" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("playbok", "did you mean 'playbook'"),
        ("playbook.yml", "did you mean 'playbook'"),
        ("nowhere/else.yaml", "an existing file"),
        (".", "not a folder"),
    ],
)
def test_missing_files_are_refused_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError, match=message):
        Scenario.load(name)


def test_a_near_miss_among_files_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1")
    with pytest.raises(ScenarioError, match=r"did you mean '.*mine\.yaml'"):
        Scenario.load(tmp_path / "mine.yml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ScenarioError, match="readable UTF-8"):
        Scenario.load(tmp_path / "bad.yaml")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
paths = st.sampled_from([path for path, *_ in CASES])


@settings(deadline=None, max_examples=300)
@given(paths, values)
def test_whatever_stands_there_is_read_or_refused(path: tuple[Any, ...], value: object) -> None:
    refusal = None
    try:
        scenario = Scenario.from_dict(replaced(path, value))
    except ScenarioError as error:
        refusal = error
    if refusal is None:
        assert Scenario.from_dict(scenario.to_dict()) == scenario
    else:
        assert refusal.problems
        assert all("expected" in str(problem) for problem in refusal.problems)


def test_a_folder_is_not_suggested_in_its_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").mkdir()
    with pytest.raises(ScenarioError, match="not a folder") as refused:
        Scenario.load("mine.yaml")
    assert "did you mean 'mine.yaml'" not in str(refused.value)
