"""Arrivals: a Poisson process that can be entered anywhere, and replayed traces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulation.scenarios import exp, scenario, traffic

from simsla.scenario import Scenario
from simsla.world.streams import BLOCK
from simsla.world.traffic import ClassTraffic


def source(rate=1.0, replication=0, name="chat", **changes):
    spec = scenario(None, {name: traffic(rate, **changes)}).traffic[name]
    return ClassTraffic(spec, 1, replication, 1)


def times(rate=1.0, begin=0.0, end=1000.0, replication=0):
    """Arrivals in a window, on absolute time, with their numbers."""
    found = [
        (block.arrival_s[place] + begin, block.index * BLOCK + place)
        for block, places in source(rate, replication).blocks(begin, end)
        for place in places
    ]
    return np.array([at for at, _ in found]), [number for _, number in found]


def test_the_times_between_arrivals_are_exponential():
    at, _ = times(2.0, 0, 20_000)
    gaps = np.diff(at)
    assert len(gaps) > 39_000
    assert (gaps >= 0).all()
    assert gaps.mean() == pytest.approx(0.5, rel=0.02)
    assert stats.kstest(gaps, "expon", args=(0, 0.5)).pvalue > 1e-3
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("length", [1.0, 50.0, 768.0, 5000.0])
def test_counts_have_the_mean_and_the_variance_of_a_poisson_distribution(length):
    """Windows shorter and longer than the cells in which arrivals are drawn, none of them aligned."""
    if length <= 50:
        at, _ = times(1.0, 0, 100_000)
        counts = np.bincount((at // length).astype(int), minlength=int(100_000 / length))
    else:
        counts = np.array(
            [len(times(1.0, 333.3, 333.3 + length, replication)[0]) for replication in range(800)]
        )
    n = len(counts)
    assert abs(counts.mean() - length) < 4 * np.sqrt(length / n)
    dispersion = counts.var(ddof=1) / counts.mean()
    assert abs(dispersion - 1) < 4 * np.sqrt(2 / (n - 1))


def test_arrivals_are_uniform_over_the_window():
    at, _ = times(1.0, 500, 10_500)
    assert stats.kstest((at - 500) / 10_000, "uniform").pvalue > 1e-3


@settings(max_examples=50, deadline=None)
@given(begin=st.floats(0, 5000), length=st.floats(0.1, 3000), rate=st.sampled_from([0.01, 0.7, 5.0]))
def test_any_window_is_a_part_of_the_whole(begin, length, rate):
    whole, numbers = times(rate, 0, 8100)
    part, part_numbers = times(rate, begin, begin + length)
    inside = (whole >= begin + 1e-6) & (whole < begin + length - 1e-6)
    clear = (part >= begin + 1e-6) & (part < begin + length - 1e-6)
    np.testing.assert_allclose(part[clear], whole[inside], rtol=0, atol=1e-6)
    assert [n for n, c in zip(part_numbers, clear, strict=True) if c] == [
        n for n, i in zip(numbers, inside, strict=True) if i
    ]


def test_a_window_after_many_years_loses_no_precision():
    begin = 3e9
    found = [
        (block.arrival_s[place], block.index)
        for block, places in source(1.0).blocks(begin, begin + 1000)
        for place in places
    ]
    at = np.array([at for at, _ in found])
    assert 850 < len(at) < 1150
    # The spacing of floats at 3e9 is 5e-7: the clock of the run is finer.
    assert np.any(at[at > 1] % 2**-24 != 0)


def test_numbers_are_unique_and_increase_with_time():
    _, numbers = times(3.0, 100, 3000)
    assert len(set(numbers)) == len(numbers) > 8000
    assert numbers == sorted(numbers)


def test_lengths_and_traits_have_their_distributions():
    it = source(
        5.0,
        prompt_tokens={"kind": "lognormal", "mean": 900, "p99": 3230},
        output_tokens=exp(200),
        complexity={"kind": "uniform", "low": 0.2, "high": 0.6},
        patience=exp(30),
    )
    blocks = [(block, place) for block, places in it.blocks(0, 4000) for place in places]
    prompt, output, complexity, patience = (
        np.array([getattr(block, name)[place] for block, place in blocks])
        for name in ("prompt_tokens", "output_tokens", "complexity", "patience_s")
    )
    assert len(prompt) > 19_000
    assert prompt.mean() == pytest.approx(900, rel=0.03)
    assert np.quantile(prompt, 0.99) == pytest.approx(3230, rel=0.08)
    assert output.mean() == pytest.approx(200, rel=0.03)
    assert output.min() >= 1
    assert stats.kstest(complexity, "uniform", args=(0.2, 0.4)).pvalue > 1e-3
    assert stats.kstest(patience, "expon", args=(0, 30)).pvalue > 1e-3
    drawn = np.corrcoef([prompt, output, complexity, patience])
    assert np.abs(drawn - np.eye(4)).max() < 0.04


def test_regions_have_their_weights():
    spec = scenario(
        None,
        {"chat": traffic(5.0, region={"eu": 3, "us": 1, "ap": 0})},
        regions={"eu": {}, "us": {}, "ap": {}},
    ).traffic["chat"]
    blocks = ClassTraffic(spec, 1, 0, 1).blocks(0, 4000)
    regions = [block.region[place] for block, places in blocks for place in places]
    count = regions.count("eu")
    assert stats.binomtest(count, len(regions), 0.75).pvalue > 1e-3
    assert set(regions) == {"eu", "us"}


def test_classes_are_independent():
    counts, prompts = [], []
    for name in ("chat", "batch"):
        it = source(1.0, name=name, prompt_tokens=exp(5000))
        found = [
            (block.arrival_s[place], block.prompt_tokens[place])
            for block, places in it.blocks(0, 50_000)
            for place in places
        ]
        at, lengths = np.array(found).T
        counts.append(np.bincount((at // 10).astype(int), minlength=5000))
        prompts.append(lengths[:45_000])
    assert abs(np.corrcoef(counts)[0, 1]) < 0.06
    assert abs(np.corrcoef(prompts)[0, 1]) < 0.02


# Traces

ROWS = [("18:00:00.5", 100, 10), ("18:00:01.0", 200, 20), ("18:00:01.0", 250, 25), ("18:00:03.5", 300, 30)]


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    lines = [f"2023-11-16 {at},{prompt},{output}" for at, prompt, output in ROWS]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    return path


def replayed(path, *shares):
    return Scenario.from_dict(
        scenario().to_dict()
        | {
            "traffic": {
                f"part{number}": {"arrivals": {"kind": "trace", "path": str(path), "share": share}}
                for number, share in enumerate(shares)
            }
        }
    )


def test_a_trace_is_replayed_row_by_row(trace):
    spec = replayed(trace, [0.0, 1.0]).traffic["part0"]
    [(block, places)] = ClassTraffic(spec, 1, 0, 1).blocks(0, 100)
    assert places == [0, 1, 2, 3]
    assert [block.arrival_s[place] for place in places] == pytest.approx([0, 0.5, 0.5, 3.0])
    assert [block.prompt_tokens[place] for place in places] == [100, 200, 250, 300]
    assert [block.output_tokens[place] for place in places] == [10, 20, 25, 30]


def test_a_window_of_a_trace_keeps_the_numbers(trace):
    spec = replayed(trace, [0.0, 1.0]).traffic["part0"]
    [(block, places)] = ClassTraffic(spec, 1, 0, 1).blocks(0.5, 2.0)
    assert places == [1, 2]
    assert [block.arrival_s[place] for place in places] == pytest.approx([0, 0])


def test_classes_divide_the_rows_of_a_trace(tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"2023-11-16 18:{n // 60:02}:{n % 60:02},{n + 1},5" for n in range(3000)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    world = replayed(path, [0.0, 0.7], [0.7, 1.0])
    parts = []
    for spec in world.traffic.values():
        blocks = ClassTraffic(spec, 1, 0, 1).blocks(0, 4000)
        parts.append({block.prompt_tokens[place] for block, places in blocks for place in places})
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == set(range(1, 3001))
    assert stats.binomtest(len(parts[0]), 3000, 0.7).pvalue > 1e-3
