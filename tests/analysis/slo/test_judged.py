"""What counts, when, and from which log."""

from __future__ import annotations

import pandas as pd
import pytest
from analysis.logs import log_of
from simulation.policies import patient
from simulation.scenarios import deployment, scenario, scheduled, traffic

import simsla
from simsla.analysis import slo


def test_valid_requests_count_when_they_end():
    log = log_of(
        [
            {"arrival_s": 0, "latency_s": 9, "outcome": "ok"},
            {"arrival_s": 1, "latency_s": 1, "outcome": "error"},
            {"arrival_s": 2, "latency_s": 1, "outcome": "degraded"},
            {"arrival_s": 3, "latency_s": 1, "outcome": "timeout"},
            {"arrival_s": 4, "latency_s": 1, "outcome": "cached"},
            {"arrival_s": 5, "latency_s": 1, "outcome": "error", "valid": False},
        ]
    )
    for source in (log, log.requests_frame()):
        judged = slo.Judged.requests(source)
        assert judged.time_s.tolist() == [2, 3, 4, 5, 9]
        assert judged.good.tolist() == [False, True, False, True, True]
        assert (len(judged), judged.bad) == (5, 2)
        by_arrival = slo.Judged.requests(source, by="arrival_s")
        assert by_arrival.good.tolist() == [True, False, True, False, True]


def test_attempts_are_what_a_provider_answers_for():
    outcomes = ["ok", "server_error", "rate_limited", "cancelled", "bad_request", "context_length", "timeout"]
    frame = pd.DataFrame(
        {"outcome": outcomes, "deployment": ["a"] * 6 + ["b"], "end_s": range(7), "replication": 0}
    )
    assert slo.Judged.attempts(frame).good.tolist() == [True, False, False, False]
    mine = slo.Judged.attempts(frame, deployments=["a"], leave_out=["rate_limited"])
    assert mine.time_s.tolist() == [0, 1]
    assert mine.good.tolist() == [True, False]


def test_replications_are_not_mixed():
    log = log_of([{}, {}]).requests_frame()
    log.insert(0, "replication", [0, 1])
    with pytest.raises(ValueError, match="one replication, got 2"):
        slo.Judged.requests(log)


@pytest.mark.parametrize(("time_s", "good"), [([1, 2], [True]), ([float("nan")], [True]), ([[1]], [[True]])])
def test_what_makes_no_sense_is_refused(time_s, good):
    with pytest.raises(ValueError, match="one time"):
        slo.Judged.of(time_s, good)


def test_windows_are_open_to_the_left():
    judged = slo.Judged.of([3, 1, 2], [True, False, False])
    total, bad = judged.counts([0, 1, 3], [1, 3, 9])
    assert total.tolist() == [1, 2, 0]
    assert bad.tolist() == [1, 1, 0]


@pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")
def test_a_simulated_outage_pages():
    """A quarter of an hour without the only deployment, three hours in: the fast page fires and ends."""
    fault = {"faults": [scheduled("outage", 3 * 3600, 900)]}
    world = scenario(
        {"a": deployment(provider="p")}, {"chat": traffic(0.5)}, horizon=6 * 3600, components={"p": fault}
    )
    result = simsla.simulate(world, patient, seed=1, replications=1)
    judged = slo.Judged.requests(result.requests)
    fired = slo.alerts(judged, 0.999, start_s=0, end_s=6 * 3600)
    (page,) = [alert for alert in fired if alert.rule is slo.WORKBOOK_RULES[0]]
    assert 3 * 3600 < page.start_s <= 3 * 3600 + 120
    assert 3 * 3600 + 900 < page.end_s <= 3 * 3600 + 900 + 360
    spent = slo.error_budget(judged, 0.999).spent
    assert spent == pytest.approx((1 - result.availability.value) / 0.001)
    # The attempts tell the same: nothing but refused connections fails.
    attempts = slo.Judged.attempts(result.attempts, deployments=["a"])
    assert attempts.bad >= judged.bad > 300
