from __future__ import annotations

import pickle

import numpy as np
import pytest
from analysis.logs import log_of, random_log
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import summarise
from simsla.analysis.sample import Sample
from simsla.records import OUTCOMES
from simsla.world.environment import Environment


def test_only_requests_that_arrive_in_the_measured_time_count():
    log = log_of(
        [{"arrival_s": t, "latency_s": 50} for t in (0, 9.9, 10, 19.9, 20)],
        [{"request": i, "start_s": t, "cost_usd": 1} for i, t in enumerate((0, 9.9, 10, 19.9, 20))],
    )
    summary = summarise(log, start_s=10, end_s=20)
    assert summary.requests.requests.tolist() == [2, 0]
    assert summary.attempts.cost_usd.tolist() == [2, 0]
    assert summary.seconds == 10


def test_an_attempt_counts_with_its_request_even_when_it_starts_later():
    log = log_of(
        [{"arrival_s": 5, "latency_s": 10}, {"arrival_s": 9, "latency_s": 10}],
        [
            {"request": 1, "start_s": 15, "cost_usd": 3},
            {"request": 0, "start_s": 12, "cost_usd": 1},
            {"request": -1, "start_s": 12, "cost_usd": 10},
            {"request": -1, "start_s": 8, "cost_usd": 100, "deployment": 1},
        ],
    )
    summary = summarise(log, start_s=7, end_s=10)
    assert summary.attempts.cost_usd.tolist() == [3, 100]
    assert summary.requests.cost_usd.tolist() == [3, 0]
    assert summary.unattributed == 1


def test_requests_are_counted_by_the_state_they_arrive_in():
    environment = Environment.of([(0, 0, 10, 20, 1.0, 0), (0, 0, 30, 40, 1.0, 0)], ("provider",))
    log = log_of(
        [
            {"arrival_s": 5},
            {"arrival_s": 12, "outcome": "error"},
            {"arrival_s": 15, "outcome": "degraded"},
            {"arrival_s": 25},
            {"arrival_s": 35, "outcome": "error"},
            {"arrival_s": 36, "valid": False, "outcome": "error"},
        ]
    )
    summary = summarise(log, start_s=0, end_s=50, environment=environment)
    quiet, first, second = (np.flatnonzero(summary.cells.spell == spell)[0] for spell in (-1, 0, 1))
    counts = summary.valid.sum(axis=1)
    assert counts[quiet].tolist() == [2, 0, 0, 0, 0, 0, 0]
    assert counts[first].tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert counts[second].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert summary.cells.seconds[[quiet, first, second]].tolist() == [30, 10, 10]
    assert summary.cells.state[first] == summary.cells.state[second]
    assert summary.latency.above(0, 3).tolist() == counts[:, :3].sum(axis=1).tolist()


def test_failed_requests_are_kept_at_their_deadline():
    log = log_of([{"outcome": "error", "latency_s": 1, "deadline_s": 30}, {"latency_s": 2}])
    summary = summarise(log, start_s=0, end_s=1)
    assert summary.lost.values.tolist() == [30]
    assert summary.latency.values.tolist() == [2]
    assert summary.requests.latency_all_s.tolist() == [32, 0]


def test_nothing_measured_is_no_error():
    summary = summarise(log_of([{"arrival_s": 5}]), start_s=10, end_s=20)
    assert summary.valid.sum() == 0
    assert len(summary.latency.values) == 0


def test_an_empty_time_is_refused():
    with pytest.raises(ValueError, match=r"end_s \(5\) must be greater than start_s \(5\)"):
        summarise(log_of([{}]), start_s=5, end_s=5)


def test_a_summary_is_small_and_travels():
    rng = np.random.default_rng(1)
    summary = summarise(random_log(rng, 50_000, 1000), start_s=0, end_s=1000)
    packed = pickle.dumps(summary)
    assert len(packed) < 50_000 * 16
    again = pickle.loads(packed)
    assert np.array_equal(again.latency.values, summary.latency.values)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.floats(0, 50, width=32)), max_size=60),
    st.floats(0, 50, width=32),
    st.booleans(),
)
def test_a_sample_counts_what_a_loop_counts(rows, limit, inclusive):
    group, cell, value = (np.array([r[i] for r in rows], dtype=t) for i, t in enumerate((int, int, float)))
    sample = Sample.of(value, group, cell, 5)
    for chosen in (None, 0, 1, 2):
        part = sample.only(chosen)
        expected = [0] * 5
        for g, c, v in rows:
            expected[c] += (chosen is None or g == chosen) and (v > limit or (inclusive and v == limit))
        assert part.above(limit, 5, inclusive=inclusive).tolist() == expected
        assert part.sizes(5).sum() == len(part.values) == sum(chosen in (None, g) for g, _, _ in rows)


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_every_valid_request_is_counted_once(seed, count):
    rng = np.random.default_rng(seed)
    log = random_log(rng, count, 100, failing=0.3)
    cut = float(rng.uniform(1, 99))
    parts = [summarise(log, start_s=a, end_s=b) for a, b in ((0, cut), (cut, 100))]
    outcomes = np.bincount(log.requests["outcome"], minlength=len(OUTCOMES))
    assert sum(p.valid.sum(axis=(0, 1)) for p in parts).tolist() == outcomes.tolist()
    assert sum(p.attempts.cost_usd.sum() for p in parts) == pytest.approx(log.attempts["cost_usd"].sum())
    assert sum(len(p.latency.values) + len(p.lost.values) for p in parts) == count
