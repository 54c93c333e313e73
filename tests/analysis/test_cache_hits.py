"""The shares of answers out of a cache, and of false ones among them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from analysis.logs import log_of

from simsla.analysis import MORE_IS_BETTER, Metrics, evaluate_objectives, share_interval, summarise
from simsla.scenario import Objective


def day(ok=0, unknown=0, true=0, false=0, invalid=0):
    """A summary of one day with so many answers of each kind; false ones are of the class batch."""
    cached = {"outcome": "cached", "deployment": -1}
    rows = [{}] * ok
    rows += [{**cached, "cache_hit": "unknown"}] * unknown
    rows += [{**cached, "cache_hit": "true"}] * true
    rows += [{**cached, "cache_hit": "false", "request_class": "batch"}] * false
    rows += [{**cached, "cache_hit": "false", "valid": False}] * invalid
    return summarise(log_of(rows), start_s=0, end_s=86_400)


def test_false_hits_are_a_share_of_the_hits_of_known_truth():
    metrics = Metrics([day(ok=4, unknown=2, true=3, false=1), day(ok=2, true=6, false=4, invalid=7)])
    hits, false = metrics.estimate("cache_hit_share"), metrics.estimate("cache_false_hit_share")
    assert hits.value == 16 / 22
    assert false.value == 5 / 14
    assert (false.ci_low, false.ci_high) == share_interval(np.array([1.0, 4.0]), np.array([4.0, 10.0]))[1:]
    assert (false.n, false.unit, false.method) == (2, "share", "t across replications")
    assert str(false).startswith("35.7 %")
    assert metrics.per_replication("cache_false_hit_share").tolist() == [1 / 4, 4 / 10]
    assert metrics.estimate("cache_false_hit_share", "chat").value == 0
    assert metrics.estimate("cache_false_hit_share", "batch").value == 1


def test_without_a_false_hit_the_interval_is_the_rule_of_three():
    false = Metrics([day(true=100), day(true=300)]).estimate("cache_false_hit_share")
    assert (false.value, false.ci_low) == (0, 0)
    assert false.ci_high == pytest.approx(3.7 / 400, rel=0.01)
    assert false.method.endswith("rule of three")


@pytest.mark.parametrize("hits", [{}, {"unknown": 3}])
def test_without_hits_of_known_truth_the_share_is_undefined(hits):
    false = Metrics([day(ok=5, **hits), day(ok=5, **hits)]).estimate("cache_false_hit_share")
    assert math.isnan(false.value)
    assert (false.n, str(false), false.method) == (0, "undefined", "")
    assert false.to_dict()["value"] is None


def test_few_false_hits_can_be_promised():
    metrics = Metrics([day(true=990, false=10), day(true=991, false=9)])
    promises = [
        Objective(name=f"at most {target}", metric="cache_false_hit_share", target=target)
        for target in (0.05, 0.005)
    ]
    kept, broken = evaluate_objectives(promises, metrics)
    assert "cache_false_hit_share" not in MORE_IS_BETTER
    assert (kept["met"], broken["met"]) == (True, False)
    assert kept["budget_spent"] == pytest.approx(0.0095 / 0.05)
