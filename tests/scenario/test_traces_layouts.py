"""Traces in other layouts than Azure's of 2023, and how a scenario replays them."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
from simulation.policies import first_only
from simulation.scenarios import scenario

from simsla.scenario import Scenario, ScenarioError, TraceError, load_trace
from simsla.simulation import run_one

MAPPING = {"time": "ts", "prompt": "in_tok", "output": "out_tok"}


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def found(trace):
    return trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist()


BURSTGPT_2 = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118.5,GPT-4,417,276,693,API log
"""
BURSTGPT_3 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,1,2.5,ChatGPT,472,18,490,Conversation log
45,1,0.1,ChatGPT,1087,0,1087,Conversation log
118.5,2,9,GPT-4,417,276,693,API log
"""


@pytest.mark.parametrize("text", [BURSTGPT_2, BURSTGPT_3])
def test_burstgpt_in_both_layouts(file, text):
    trace = load_trace(file("burst.csv", text))
    assert found(trace) == ([0, 113.5], [472, 417], [18, 276])
    assert trace.failures == 1


def test_mooncake(file):
    rows = [
        {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]},
        {"timestamp": 30535, "input_length": 6472, "output_length": 0, "hash_ids": []},
    ]
    trace = load_trace(file("mooncake.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n"))
    assert found(trace) == (pytest.approx([0, 3.053]), [6955, 6472], [52, 0])
    assert trace.failures == 0


def test_azure_2024_and_2025(file):
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n"
    trace = load_trace(file("a.csv", text + "2024-05-10 00:00:00.017335+00:00,2399,6\n"))
    assert trace.arrival_s == pytest.approx([0, 0.007405])
    text = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2025-01-01 00:00:01,0,20,5\n"
    assert load_trace(file("b.csv", text + "2025-01-01 00:00:00,3,40,6\n")).prompt_tokens.tolist() == [40, 20]


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("s", ["1700000000", "1700000002.5"]),
        ("ms", ["1700000000000", "1700000002500"]),
        ("iso", ["2023-11-14T22:13:20Z", "2023-11-14T22:13:22.5Z"]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_of_ones_own(file, unit, times, kind):
    rows = [{"ts": time, "in_tok": 10, "out_tok": 3, "who": "x"} for time in times]
    if kind == "csv":
        text = pd.DataFrame(rows).to_csv(index=False)
    else:
        if unit != "iso":
            rows = [row | {"ts": float(row["ts"]), "in_tok": 10.0} for row in rows]
        text = "\n".join(map(json.dumps, rows))
    trace = load_trace(file(f"own.{kind}", text), columns=MAPPING, time_unit=unit)
    assert found(trace) == (pytest.approx([0, 2.5]), [10, 10], [3, 3])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "ts,in_tok,out_tok\n1,2,3\nx,2,3\n",
            r"line 3, column ts: expected a number of seconds, got 'x'",
        ),
        ("a.csv", "ts,in_tokens,out_tok\n1,2,3\n", r"line 1: .* the column in_tok.* mean 'in_tokens'"),
        ("a.csv", "ts,in_tok,out_tok\n1,2,3\n-5,2,3\n", r"line 3, column ts: .* got '-5'"),
        (
            "a.jsonl",
            '{"ts": 1, "in_tok": 2, "out_tok": 3}\n{"ts": 2}\n',
            r"line 2, column in_tok: expected a value",
        ),
        ("a.jsonl", '{"ts": 1, "in_tok": 2, "out_tok": 3}\n{"ts": \n', r"line 2: expected JSON"),
        ("a.jsonl", '{"ts": 1, "in_tok": 2, "out_tok": 3}\n[1]\n', r"line 2: expected a JSON object"),
        (
            "a.jsonl",
            '{"ts": 1, "in_tok": 2.5, "out_tok": 3}\n',
            r"column in_tok: .* whole number >= 0, got 2.5",
        ),
        ("a.jsonl", '{"ts": true, "in_tok": 2, "out_tok": 3}\n', r"column ts: expected a number of seconds"),
        ("a.jsonl", "", r"expected a header with the column ts"),
    ],
)
def test_what_is_wrong_is_named(file, name, text, message):
    with pytest.raises(TraceError, match=message):
        load_trace(file(name, text), columns=MAPPING)


def test_parquet_needs_pyarrow_and_says_so(file, monkeypatch):
    def missing(path):
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(TraceError, match=r"expected pyarrow to be installed"):
        load_trace(file("a.parquet", ""), columns=MAPPING)


def test_the_columns_of_a_parquet_file(file, monkeypatch):
    """The frame is as pandas gives it; whether the engine reads the file is the engine's matter."""
    times = pd.to_datetime(["2024-05-10 00:00:00.500", "2024-05-10 00:00:02.000"])
    frame = pd.DataFrame({"ts": times, "in_tok": np.array([5, 6]), "out_tok": [1.0, 2.0]})
    monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    trace = load_trace(file("a.parquet", "x"), columns=MAPPING, time_unit="iso")
    assert found(trace) == ([0, 1.5], [5, 6], [1, 2])


needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow (simsla[parquet]) is not installed"
)

TOKENS = {"in_tok": [5, 6, 7], "out_tok": [1, 2, 3]}


@needs_pyarrow
@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (np.array([2.5, 1.0, 4.0]), "s"),
        (np.array([2500, 1000, 4000], dtype=np.int32), "ms"),
        (pd.to_datetime([2.5, 1.0, 4.0], unit="s"), "iso"),
        (pd.to_datetime([2.5, 1.0, 4.0], unit="s").as_unit("ms"), "iso"),
        (pd.to_datetime([2.5, 1.0, 4.0], unit="s", utc=True).tz_convert("Asia/Kolkata"), "iso"),
        (["1970-01-01 00:00:02.5", "1970-01-01T00:00:01", "1970-01-01 05:30:04+05:30"], "iso"),
    ],
    ids=["seconds", "milliseconds", "timestamps", "timestamps in ms", "with a zone", "texts"],
)
def test_real_parquet_files(tmp_path, times, unit):
    """Whatever the type of the times, and rows in any order; columns that are not named do not matter."""
    path = tmp_path / "a.parquet"
    pd.DataFrame({"who": ["x", "y", "z"], "ts": times, **TOKENS}).to_parquet(path)
    trace = load_trace(path, columns=MAPPING, time_unit=unit)
    assert found(trace) == ([0, 1.5, 3.0], [6, 5, 7], [2, 1, 3])


@needs_pyarrow
def test_a_published_layout_in_a_real_parquet_file(tmp_path):
    path = tmp_path / "azure.parquet"
    frame = {"TIMESTAMP": pd.to_datetime(["2024-05-10 00:00:00", "2024-05-10 00:00:02"])}
    pd.DataFrame(frame | {"ContextTokens": [5, 6], "GeneratedTokens": [1, 2]}).to_parquet(path)
    assert found(load_trace(path)) == ([0, 2], [5, 6], [1, 2])


@needs_pyarrow
@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"ts": [1.0, None, 2.0]}, "column ts: expected a number of seconds, got nan"),
        ({"in_tok": [5, None, 7]}, "column in_tok: expected a whole number >= 0, got nan"),
        ({"out_tok": [1, -2, 3]}, "column out_tok: expected a whole number >= 0, got -2"),
        ({"out_tok": [1, 2.5, 3]}, "column out_tok: expected a whole number >= 0, got 2.5"),
    ],
)
def test_what_is_wrong_in_a_real_parquet_file(tmp_path, columns, told):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"ts": [1.0, 2.0, 3.0], **TOKENS} | columns).to_parquet(path)
    with pytest.raises(TraceError, match=told):
        load_trace(path, columns=MAPPING)


@needs_pyarrow
def test_what_is_no_parquet_file_and_a_column_that_is_not_there(file, tmp_path):
    with pytest.raises(TraceError, match="expected a readable Parquet file"):
        load_trace(file("no.parquet", "ts,in_tok,out_tok"), columns=MAPPING)
    pd.DataFrame({"ts": [1.0, 2.0], "in_tok": [1, 2], "out_tk": [1, 2]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(TraceError, match=r"a header with the column out_tok.*did you mean 'out_tk'"):
        load_trace(tmp_path / "b.parquet", columns=MAPPING)


@needs_pyarrow
def test_a_real_parquet_file_is_replayed(tmp_path):
    path = tmp_path / "own.parquet"
    pd.DataFrame({"ts": [0.0, 1.0, 4.0], **TOKENS}).to_parquet(path)
    run = run_one(world(path, columns=MAPPING), first_only)
    assert run.requests["arrival_s"].tolist() == [0, 1, 4]
    assert run.requests["prompt_tokens"].tolist() == [5, 6, 7]


# In a scenario


def world(path, **arrivals):
    return Scenario.from_dict(
        scenario().to_dict()
        | {"traffic": {"chat": {"arrivals": {"kind": "trace", "path": str(path)} | arrivals}}}
    )


@pytest.fixture
def own(file):
    return file("own.csv", "ts,in_tok,out_tok\n0,5,1\n1000,6,2\n4000,7,3\n")


def test_a_scenario_names_the_columns(own):
    spec = world(own, columns=MAPPING, time_unit="ms").traffic["chat"].arrivals
    assert spec.load().arrival_s.tolist() == [0, 1, 4]
    assert spec.mean_rate_per_s() == 3 / 4
    assert Scenario.from_dict(world(own, columns=MAPPING).to_dict()) == world(own, columns=MAPPING)


def test_rates_of_factor_loop_and_thinning(own):
    def rate(**changes):
        return (
            world(own, columns=MAPPING, time_unit="ms", **changes).traffic["chat"].arrivals.mean_rate_per_s()
        )

    assert rate(rate_factor=2) == 1.5
    assert rate(thin=0.5) == 0.375
    assert rate(loop=True) == 0.5  # a round is 4 s and a mean gap of 2 s


def test_a_scenario_refuses(own):
    with pytest.raises(ScenarioError, match=r"arrivals.time_unit: expected no time_unit without columns"):
        world(own, time_unit="ms")
    with pytest.raises(ScenarioError, match=r"arrivals.path: expected a header with the column TIMESTAMP"):
        world(own)
    with pytest.raises(ScenarioError, match=r"arrivals.columns.promt: .*mean 'prompt'"):
        world(own, columns={"time": "ts", "promt": "in_tok", "output": "out_tok"})
    for key, value in (("rate_factor", 0), ("thin", 0), ("thin", 1.5), ("time_unit", "us")):
        with pytest.raises(ScenarioError, match=rf"arrivals.{key}: expected"):
            world(own, columns=MAPPING, **{key: value})


def test_lengths_from_a_trace_are_checked(own):
    def lengths(**changes):
        data = scenario().to_dict()
        data["traffic"]["chat"] |= {"lengths": {"from_trace": str(own)} | changes}
        for name in ("prompt_tokens", "output_tokens"):
            data["traffic"]["chat"].pop(name)
        return Scenario.from_dict(data)

    assert lengths(columns=MAPPING).traffic["chat"].lengths.load().prompt_tokens.tolist() == [5, 6, 7]
    with pytest.raises(ScenarioError, match=r"chat.lengths.from_trace: expected a header"):
        lengths()


def test_replay_of_burstgpt_by_name(file):
    replay = scenario().with_trace(file("burst.csv", BURSTGPT_3))
    assert replay.horizon_s == pytest.approx(113.5)


def test_the_real_azure_files_keep_their_numbers(data_dir):
    path = data_dir / "azure" / "AzureLLMInferenceTrace_conv.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    spec = world(path, rate_factor=2, thin=0.1).traffic["chat"].arrivals
    assert spec.mean_rate_per_s() == pytest.approx(2 * 0.1 * 5.53, rel=0.01)
