from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of, random_log
from hypothesis import given
from hypothesis import strategies as st
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, traffic

import simsla
from simsla.analysis import ExactTiesWarning
from simsla.analysis.ties import exact_ties, find_ties

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


def ties_of(result):
    return [str(caveat) for caveat in result.caveats if isinstance(caveat, ExactTiesWarning)]


def replayed(tmp_path, seconds, latency):
    """A trace whose clock has a resolution of `seconds`, answered after a latency."""
    rng = np.random.default_rng(3)
    times = np.sort(np.floor(rng.uniform(0, 600, 1200) / seconds) * seconds)
    path = tmp_path / "trace.jsonl"
    path.write_text(
        "".join(f'{{"timestamp": {1000 * t}, "input_length": 5, "output_length": 5}}\n' for t in times)
    )
    world = scenario(
        {"a": deployment(latency={"total": latency})},
        {"chat": {"arrivals": {"kind": "trace", "path": str(path)}}},
        horizon=601,
    )
    return simsla.simulate(world, patient, replications=2)


def test_a_trace_with_a_coarse_clock_and_constant_latencies_is_on_a_grid(tmp_path):
    (told,) = ties_of(replayed(tmp_path, 1.0, 2.0))
    assert "requests arrive together" in told
    assert "as another one's answer ends" in told


def test_with_latencies_that_vary_only_the_arrivals_tie(tmp_path):
    (told,) = ties_of(replayed(tmp_path, 1.0, exp(2)))
    assert "requests arrive together" in told
    assert "ends" not in told.replace("answer ends", "", 0)
    assert "end together" not in told


def test_a_trace_with_a_fine_clock_does_not_warn(tmp_path):
    assert ties_of(replayed(tmp_path, 1e-7, 2.0)) == []


def test_answers_that_start_apart_and_end_together_are_told():
    rows = [{"arrival_s": 10.0 * i + j, "latency_s": 9.0 - j} for i in range(40) for j in (0, 1)]
    calls = [
        {"request": i, "start_s": r["arrival_s"], "latency_s": r["latency_s"]} for i, r in enumerate(rows)
    ]
    ties = find_ties(log_of(rows, calls))
    assert (ties.arrivals.ties, ties.answers.ties, ties.mixed.ties) == (0, 40, 0)
    assert "40 of 80 answers end together" in str(exact_ties([ties]))


def test_what_starts_together_may_end_together():
    """A breaker lets ten waiting requests go at once, and a pod that crashes ends them at once."""
    rows = [{"arrival_s": i + 0.1 * i * i, "latency_s": 200.0 - i - 0.1 * i * i} for i in range(10)]
    released = [{"request": i, "start_s": 150.0, "latency_s": 50.0} for i in range(10)]
    crashed = [
        {"request": i, "start_s": r["arrival_s"], "latency_s": r["latency_s"], "outcome": "interrupted"}
        for i, r in enumerate(rows)
    ]
    for calls in (released, crashed):
        assert exact_ties([find_ties(log_of(rows, calls))]) is None


@pytest.mark.parametrize("policy", ["queue", "retries", "hedging"])
def test_real_runs_with_shared_causes_do_not_warn(policy):
    """Slots that are handed over, retries after constant waits, hedges after a constant delay."""
    slots = {"max_concurrency": 2} if policy == "queue" else {}
    errors = {} if policy == "queue" else {503: 0.3}
    world = scenario(
        {name: deployment(latency={"total": 0.5}, errors=errors, **slots) for name in ("a", "b")},
        {"chat": traffic(3.0)},
        horizon=300,
        routing={"retry": {"max_attempts": 3}, "hedge": {"delay_s": 0.1, "budget": {"ratio": 0.5}}}
        if policy == "hedging"
        else {"retry": {"max_attempts": 3}},
    )
    assert ties_of(simsla.simulate(world, replications=2)) == []


def test_coarse_floats_excuse_ties():
    """Late in time, floats are so far apart that ties are chance."""
    rng = np.random.default_rng(5)
    log = random_log(rng, 10_000, 1000)
    for column in ("arrival_s", "end_s"):
        log.requests[column] += 2.0**40
    for column in ("start_s", "end_s"):
        log.attempts[column] += 2.0**40
    ties = find_ties(log)
    assert ties.arrivals.ties > 5
    assert exact_ties([ties]) is None


def test_continuous_times_do_not_warn():
    rng = np.random.default_rng(6)
    for _ in range(100):
        assert exact_ties([find_ties(random_log(rng, 2000, 1000)) for _ in range(3)]) is None


@given(st.integers(0, 1000), st.integers(1, 60))
def test_every_tie_is_counted(seed, count):
    rng = np.random.default_rng(seed)
    arrivals = rng.integers(0, 40, count).astype(float)
    log = log_of([{"arrival_s": t} for t in arrivals])
    assert find_ties(log).arrivals.ties == count - len(set(arrivals.tolist()))


def test_nothing_at_all_is_no_error():
    assert exact_ties([]) is None
    assert exact_ties([find_ties(log_of([]))]) is None
