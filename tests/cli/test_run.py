"""What `simsla run` prints, writes and exits with."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from simsla.scenario import Scenario

RUN = ("run", "small.yaml", "--jobs", "1")


def test_json_has_the_keys_of_the_contract(simsla):
    result = simsla(*RUN, "--json", "--seed", "7")
    data = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert result.exit_code == 0
    assert {key: data[key] for key in ("schema", "scenario", "policy", "seed", "replications")} == {
        "schema": "simsla.result/1",
        "scenario": "small",
        "policy": "routing",
        "seed": 7,
        "replications": 2,
    }
    promised = {
        "availability",
        "latency_p50_s",
        "latency_p95_s",
        "latency_p99_s",
        "latency_p999_s",
        "latency_mean_s",
        "ttft_p99_s",
        "cost_usd_per_day",
        "cost_usd_per_1k_requests",
        "amplification",
        "degraded_share",
        "cache_hit_share",
    }
    assert promised <= set(data["metrics"])
    for estimate in data["metrics"].values():
        assert {"value", "ci_low", "ci_high", "n"} <= set(estimate)
    assert data["attempts"] >= sum(data["outcomes"].values()) == data["requests"] > 0
    assert set(data["by"]["request_class"]) == {"chat", "batch"}
    assert set(data["by"]["deployment"]) == {"main", "spare"}
    assert set(data["by"]["deployment"]["main"]["cost_usd_per_day"]) == {"value", "ci_low", "ci_high", "n"}
    for objective in data["objectives"]:
        assert {"name", "target", "value", "met", "budget_spent", "breach_probability"} <= set(objective)
        assert isinstance(objective["met"], bool)


def test_undefined_numbers_are_null_in_json(simsla, here):
    (here / "never.py").write_text(
        "def policy(transport):\n    async def handle(request):\n        raise RuntimeError('no')\n"
        "    return handle\n"
    )
    result = simsla(*RUN, "--json", "--policy", "never:policy")
    data = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["policy"] == "never:policy"
    assert data["metrics"]["latency_p99_s"]["value"] is None
    assert data["outcomes"]["error"] == data["requests"]


def test_caveats_are_plain_notes_on_standard_error_beside_json(simsla):
    result = simsla(*RUN, "--json", "--replications", "1")
    assert "note: One replication gives no interval" in result.stderr
    assert ".py" not in result.stderr
    assert "SingleReplicationWarning" in json.loads(result.stdout)["warnings"][0]


def test_any_number_of_jobs_prints_the_same(simsla):
    assert simsla("run", "small.yaml", "--json", "--jobs", "2").stdout == simsla(*RUN, "--json").stdout


def test_the_report_is_plain_narrow_and_complete(simsla):
    result = simsla(*RUN, "--replications", "1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in result.stdout
    starts = ("small, policy routing, seed 1", "availability ", "latency p99.9 ", "first token p99 ")
    starts += ("cost per day ", "attempts per request ", "degraded ", "outcomes: ok ", "chat ", "batch ")
    starts += ("main ", "spare ", "promise ", "tail (chat) ", "note: One replication")
    for start in starts:
        assert any(line.startswith(start) for line in lines), start
    assert result.stderr == ""


def test_options_change_the_scenario(simsla):
    data = json.loads(simsla(*RUN, "--json", "--horizon", "600", "--warmup", "5min").stdout)
    # Five minutes of 0.3 requests a second, twice.
    assert 100 < data["requests"] < 270


def test_a_trace_replaces_the_traffic(simsla, here):
    rows = "".join(f"2024-01-01 00:00:{second:02},100,{second + 1}\n" for second in range(50))
    (here / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    data = json.loads(simsla(*RUN, "--json", "--trace", "trace.csv").stdout)
    assert data["requests"] == 2 * 50


def test_check_passes_when_every_bound_meets_its_target(simsla):
    result = simsla(*RUN, "--check", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")


def test_check_names_the_objective_that_is_missed(simsla, here):
    text = (here / "small.yaml").read_text().replace("target: 60", "target: 0.1")
    (here / "small.yaml").write_text(text)
    result = simsla(*RUN, "--check", "--json")
    assert result.exit_code == 1
    assert "objective missed: tail (chat): latency_p99_s" in result.stderr
    assert "promise" not in result.stderr
    assert json.loads(result.stdout)["objectives"][1]["met"] is False
    assert simsla(*RUN).exit_code == 0


def test_check_takes_the_bound_and_not_the_value(simsla):
    result = simsla(*RUN, "--check", "--replications", "1")  # no interval: nothing was shown
    assert result.exit_code == 1
    assert "promise" in result.stderr
    assert "tail" in result.stderr


def test_check_without_objectives_is_bad_usage(simsla, here):
    text = (here / "small.yaml").read_text()
    (here / "small.yaml").write_text(text[: text.index("objectives:")])
    result = simsla(*RUN, "--check")
    assert result.exit_code == 2
    assert "no objectives" in result.stderr


def test_out_writes_a_result_that_can_be_read_and_run_again(simsla, here):
    first = simsla(*RUN, "--json", "--seed", "3", "--horizon", "20min", "--out", "a/b")
    assert first.exit_code == 0
    folder = here / "a" / "b"
    names = {"result.json", "summary.csv", "scenario.yaml", "requests.npz", "attempts.npz"}
    assert {path.name for path in folder.iterdir()} == names
    data = json.loads((folder / "result.json").read_text())
    assert data == json.loads(first.stdout)

    summary = pd.read_csv(folder / "summary.csv", index_col="metric")
    assert summary.loc["availability", "value"] == data["metrics"]["availability"]["value"]

    with np.load(folder / "requests.npz") as requests, np.load(folder / "attempts.npz") as attempts:
        assert len(requests["request"]) == data["requests"]
        assert len(attempts["request"]) == data["attempts"]
        ended = requests["outcome_names"][requests["outcome"]]
        assert {name: int((ended == name).sum()) for name in data["outcomes"]} == data["outcomes"]
        assert set(attempts["deployment_names"][attempts["deployment"]]) == {"main", "spare"}

    assert Scenario.load(folder / "scenario.yaml").horizon_s == 1200
    again = simsla("run", "a/b/scenario.yaml", "--jobs", "1", "--json", "--seed", "3")
    assert json.loads(again.stdout) == data


def test_out_keeps_the_policy_that_was_run(simsla, here):
    (here / "first.py").write_text(
        "from simsla.routing import Timeouts\n"
        "def policy(transport):\n"
        "    first = transport.deployments[0]\n"
        "    async def handle(request):\n"
        "        return await transport.send(request, first, timeouts=Timeouts(total_s=9))\n"
        "    return handle\n"
    )
    ran = simsla(*RUN, "--json", "--policy", "first:policy", "--out", "kept")
    again = simsla("run", "kept/scenario.yaml", "--json", "--jobs", "1")
    assert json.loads(ran.stdout)["policy"] == "first:policy"
    assert again.stdout == ran.stdout


def test_out_does_not_overwrite(simsla, here):
    assert simsla(*RUN, "--out", "kept").exit_code == 0
    before = (here / "kept" / "result.json").read_bytes()
    result = simsla(*RUN, "--out", "kept", "--seed", "2")
    assert result.exit_code == 2
    assert "kept holds a result already" in result.stderr
    assert (here / "kept" / "result.json").read_bytes() == before


def test_a_failure_while_writing_leaves_nothing(simsla, here, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    result = simsla(*RUN, "--out", "kept")
    assert result.exit_code == 3
    assert "No space left on device" in result.stderr
    assert list((here / "kept").iterdir()) == []


def test_out_refuses_a_file(simsla):
    result = simsla(*RUN, "--out", "small.yaml")
    assert result.exit_code == 2
    assert "small.yaml: expected a folder" in result.stderr


def test_validate_says_what_is_in_it(simsla):
    result = simsla("validate", "small.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("small.yaml: valid.")
    assert "2 deployments" in result.stdout


def test_schema_is_a_json_schema(simsla):
    import jsonschema

    schema = json.loads(simsla("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "deployments" in schema["properties"]


def test_version(simsla):
    import simsla as package

    assert simsla("--version").stdout == f"simsla {package.__version__}\n"
