"""Traces in the Azure schema."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from simsla.scenario import Scenario, ScenarioError, TraceArrivals, TraceError, load_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
FIRST = "2023-11-16 18:15:46.6805900,374,44\n"


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    return tmp_path / "trace.csv"


def test_the_published_form(trace_file: Path) -> None:
    trace_file.write_text(HEADER + FIRST + "2023-11-16 18:15:50.9951690,396,109", newline="\r\n")
    trace = load_trace(trace_file)
    assert trace.arrival_s == pytest.approx([0.0, 4.314579], abs=1e-9)
    assert trace.prompt_tokens.tolist() == [374, 396]
    assert trace.output_tokens.tolist() == [44, 109]
    assert trace.span_s == pytest.approx(4.314579)
    assert len(trace) == 2
    assert repr(trace) == "<Trace trace.csv: 2 requests in 4.3 s>"


def test_columns_by_name_offsets_and_blank_lines(trace_file: Path) -> None:
    trace_file.write_text(
        "GeneratedTokens,NumImages,TIMESTAMP,ContextTokens\n"
        "44,0,2024-05-10 00:00:00.009930+00:00,374\n\n"
        "1,0,2024-05-10 02:00:03+02:00,7\n"
        "2,1,2024-05-09T19:30:01.5-04:30,8\n\n\n"
    )
    trace = load_trace(trace_file)
    assert trace.arrival_s == pytest.approx([0.0, 1.49007, 2.99007], abs=1e-9)
    assert trace.output_tokens.tolist() == [44, 2, 1]


def test_rows_are_sorted_stably(trace_file: Path) -> None:
    trace_file.write_text(
        HEADER + "2023-11-16 18:00:05,1,10\n2023-11-16 18:00:00,2,20\n2023-11-16 18:00:05,3,30\n"
    )
    trace = load_trace(trace_file)
    assert trace.arrival_s.tolist() == [0.0, 5.0, 5.0]
    assert trace.prompt_tokens.tolist() == [2, 1, 3]


def test_arrays_cannot_be_written_to(trace_file: Path) -> None:
    trace_file.write_text(HEADER + FIRST + "2023-11-16 18:15:50,396,109\n")
    for array in (load_trace(trace_file).arrival_s, load_trace(trace_file).prompt_tokens):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_changed_file_is_read_again(trace_file: Path) -> None:
    trace_file.write_text(HEADER + FIRST + "2023-11-16 18:15:50,396,109\n")
    first = load_trace(trace_file)
    assert load_trace(trace_file) is first
    trace_file.write_text(HEADER + FIRST + "2023-11-16 18:15:50,396,110\n")
    os.utime(trace_file, ns=(1, 1))
    assert load_trace(trace_file).output_tokens.tolist() == [44, 110]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"trace.csv, line 1: expected a header with the column TIMESTAMP"),
        (
            "TIMESTAMP,ContextTokens,GeneratedToken\n",
            r"column GeneratedTokens.*did you mean 'GeneratedToken'",
        ),
        (HEADER, r"trace.csv: expected at least two requests, got 0"),
        (HEADER + FIRST, r"at least two requests, got 1"),
        (HEADER + FIRST + FIRST, r"two different times"),
        (HEADER + FIRST + "now,1,2\n", r"line 3, column TIMESTAMP: expected a time such as .*, got 'now'"),
        (HEADER + FIRST + "2023-13-16 18:15:50,1,2\n", r"line 3, column TIMESTAMP: expected a possible time"),
        (HEADER + FIRST + "\n2023-11-16 18:15:50,x,2\n", r"line 4, column ContextTokens: .* got 'x'"),
        (HEADER + FIRST + "2023-11-16 18:15:50,1,-2\n", r"line 3, column GeneratedTokens: .* got '-2'"),
        (HEADER + FIRST + "2023-11-16 18:15:50,1,2.5\n", r"whole number >= 0, got '2.5'"),
        (HEADER + FIRST + "2023-11-16 18:15:50,1\n", r"line 3: expected 3 fields"),
        (HEADER + FIRST + "2023-11-16 18:15:50,1,2,3\n", r"line 3: expected 3 fields"),
    ],
)
def test_malformed_rows_are_named(trace_file: Path, text: str, message: str) -> None:
    trace_file.write_text(text)
    with pytest.raises(TraceError, match=message):
        load_trace(trace_file)


def test_missing_files_are_named_with_the_nearest(trace_file: Path) -> None:
    trace_file.write_text(HEADER)
    with pytest.raises(TraceError, match=r"No such file.*did you mean 'trace\.csv'"):
        load_trace(trace_file.with_name("trce.csv"))


def write_random_trace(path: Path, n: int) -> None:
    rng = random.Random(1)
    seconds = sorted(rng.uniform(0, 3500) for _ in range(n))
    rows = [
        f"2023-11-16 18:{int(s) // 60:02d}:{s % 60:010.7f},{rng.randrange(1, 4000)},{rng.randrange(1, 600)}"
        for s in seconds
    ]
    path.write_text(HEADER + "\n".join(rows))


def test_a_scenario_replays_a_trace(trace_file: Path) -> None:
    write_random_trace(trace_file, 2000)
    trace = load_trace(trace_file)
    playbook = Scenario.load("playbook")
    replay = playbook.with_trace(trace_file)
    assert replay.warmup_s == 0.0
    # The last request arrives at the very end of the span and still counts.
    assert replay.horizon_s == np.nextafter(trace.span_s, np.inf)
    edges = [0.0]
    for name, share in {"economy": 0.7, "standard": 0.25, "premium": 0.05}.items():
        request_class = replay.traffic[name]
        assert isinstance(request_class.arrivals, TraceArrivals)
        low, high = request_class.arrivals.share
        assert low == edges[-1]
        assert high - low == pytest.approx(share)
        assert request_class.prompt_tokens is None
        assert request_class.tier == playbook.traffic[name].tier
        edges.append(high)
    assert edges[-1] == 1.0
    assert sum(c.arrivals.mean_rate_per_s() for c in replay.traffic.values()) == pytest.approx(
        2000 / trace.span_s
    )
    again = replay.with_trace(trace_file)
    for name, request_class in again.traffic.items():
        assert request_class.arrivals.share == pytest.approx(replay.traffic[name].arrivals.share)


def test_a_pickled_scenario_does_not_carry_its_trace(trace_file: Path) -> None:
    write_random_trace(trace_file, 2000)
    replay = Scenario.load("playbook").with_trace(trace_file)
    plain = len(pickle.dumps(Scenario.load("playbook")))
    assert len(pickle.dumps(replay)) < plain + 4000
    assert pickle.loads(pickle.dumps(replay)) == replay


def test_a_bad_trace_is_a_bad_scenario(trace_file: Path) -> None:
    trace_file.write_text(HEADER + FIRST + "never,1,2\n")
    with pytest.raises(ScenarioError, match="line 3, column TIMESTAMP"):
        Scenario.load("playbook").with_trace(trace_file)


@pytest.mark.parametrize(
    ("name", "rows", "rate", "mean_in", "mean_out"),
    [("conv", 19366, 5.53, 1155, 211), ("code", 8819, 2.57, 2048, 28)],
)
def test_the_real_files(
    data_dir: Path, name: str, rows: int, rate: float, mean_in: float, mean_out: float
) -> None:
    path = data_dir / "azure" / f"AzureLLMInferenceTrace_{name}.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    trace = load_trace(path)
    assert len(trace) == rows
    assert rows / trace.span_s == pytest.approx(rate, rel=0.01)
    assert trace.prompt_tokens.mean() == pytest.approx(mean_in, rel=0.01)
    assert trace.output_tokens.mean() == pytest.approx(mean_out, rel=0.01)
    assert np.all(np.diff(trace.arrival_s) >= 0)
