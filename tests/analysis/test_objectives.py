from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from analysis.logs import log_of
from pydantic import ValidationError

from simsla.analysis import (
    METRICS,
    MORE_IS_BETTER,
    Metrics,
    clopper_pearson,
    evaluate_objectives,
    summarise,
)
from simsla.analysis.definitions import RATIOS
from simsla.scenario.objectives import LESS_IS_BETTER, Objective
from simsla.scenario.objectives import MORE_IS_BETTER as DECLARED

DAY = 86_400.0


def day(good, failed, latency_s=1.0):
    rows = [{"latency_s": latency_s}] * good + [{"outcome": "error"}] * failed
    rows[0] = {**rows[0], "latency_s": 10.0}
    return summarise(
        log_of(rows, [{"request": i, "cost_usd": 0.01} for i in range(len(rows))]), start_s=0, end_s=DAY
    )


@pytest.fixture
def metrics():
    return Metrics([day(990, 10), day(996, 4), day(992, 8), day(994, 6)])


def evaluated(metrics, metric, target, **more):
    objective = SimpleNamespace(name="o", metric=metric, target=target, **more)
    (row,) = evaluate_objectives([objective], metrics)
    assert json.dumps(row, allow_nan=False)
    return row


def test_availability(metrics):
    row = evaluated(metrics, "availability", 0.993)
    assert row["value"] == pytest.approx(0.993)
    assert row["budget_spent"] == pytest.approx(1)
    assert row["breach_probability"] == 0.5
    assert (row["breach_ci_low"], row["breach_ci_high"]) == clopper_pearson(2, 4)[1:]
    assert row["breach_n"] == row["n"] == 4


def test_the_unfavourable_end_decides(metrics):
    estimate = metrics.estimate("availability")
    assert estimate.value > 0.992 > estimate.ci_low
    assert evaluated(metrics, "availability", 0.992)["met"] is False
    assert evaluated(metrics, "availability", estimate.ci_low)["met"] is True


def test_upper_limits(metrics):
    errors = metrics.estimate("error_share")
    assert evaluated(metrics, "error_share", errors.ci_high)["met"] is True
    assert evaluated(metrics, "error_share", errors.value)["met"] is False
    assert evaluated(metrics, "error_share", 0.014)["budget_spent"] == pytest.approx(0.5)
    cost = evaluated(metrics, "cost_usd_per_day", 20)
    assert cost["met"] is True
    assert cost["budget_spent"] == pytest.approx(0.5)
    assert cost["breach_probability"] == 0


def test_latency_spends_the_share_above_the_limit(metrics):
    # 4 of 3,972 answered requests take 10 s, and p99 allows 1 %.
    row = evaluated(metrics, "latency_p99_s", 2.0)
    assert row["value"] == 1
    assert row["met"] is True
    assert row["budget_spent"] == pytest.approx(4 / 3972 / 0.01)


def test_a_latency_equal_to_its_limit_meets_it():
    metrics = Metrics([day(500, 5, latency_s=3.4)] * 3)
    row = evaluated(metrics, "latency_p50_s", 3.4)
    assert row["met"] is True
    assert row["breach_probability"] == 0
    assert row["budget_spent"] < 0.01


def test_a_class_of_its_own(metrics):
    assert evaluated(metrics, "availability", 0.99, request_class="chat")["value"] == pytest.approx(0.993)
    row = evaluated(metrics, "availability", 0.99, request_class="batch")
    assert row["value"] is None
    assert row["met"] is False
    assert row["breach_probability"] is None


def test_a_target_that_allows_nothing(metrics):
    row = evaluated(metrics, "availability", 1.0)
    assert row["budget_spent"] is None
    assert row["met"] is False
    assert evaluated(metrics, "shed_share", 0.0)["budget_spent"] == 0


def test_one_replication_shows_nothing():
    row = evaluated(Metrics([day(1000, 0)]), "availability", 0.9)
    assert row["met"] is False
    assert row["ci_low"] is None
    assert row["breach_probability"] == 0


def test_objectives_of_a_scenario(metrics):
    objective = Objective(name="tail", metric="latency_all_p99_s", target=130)
    (row,) = evaluate_objectives([objective], metrics)
    assert (row["name"], row["target"], row["met"]) == ("tail", 130, True)


def test_which_way_is_better_agrees_with_the_scenario():
    assert set(DECLARED) == MORE_IS_BETTER
    assert set(LESS_IS_BETTER) | set(DECLARED) <= set(METRICS)


def test_every_metric_may_be_promised_and_what_is_none_may_not(metrics):
    for name in (*METRICS, *RATIOS, "latency_p90_s", "tail_p999_queueing_share"):
        objective = Objective(metric=name, target=0.5)
        assert objective.more_is_better == (name in MORE_IS_BETTER)
        assert evaluated(metrics, name, 0.5)["metric"] == name
    for name in ("latency_p0_s", "tail_p00_queueing_share", "cost_retries_usd_per_day", "latency_p9x_s"):
        with pytest.raises(ValidationError, match="expected a metric"):
            Objective(metric=name, target=0.5)
