"""What the money was for: parts that add up, each of which answers to its cause."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of
from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.analysis import COST_PARTS, Metrics, summarise
from simsla.analysis.frames import cost_frame
from simsla.records import ATTEMPT_OUTCOMES, PURPOSES

DAY = 86_400.0
FAILED = {"outcome": "error", "deployment": -1}


def split(requests, attempts):
    """The cost of each part that there is, of a log."""
    attempts = [{"request": 0, "cost_usd": 1.0} | attempt for attempt in attempts]
    costs = summarise(log_of(requests, attempts), start_s=0, end_s=DAY).costs.sum(axis=0)
    return {part: cost for part, cost in zip(COST_PARTS, costs.tolist(), strict=True) if cost}


def test_an_answer_is_useful():
    assert split([{}], [{}]) == {"useful": 1}


def test_a_failure_before_the_answer_is_not_and_neither_is_a_retry_that_fails():
    tries = [
        {"outcome": "server_error", "latency_s": 1, "cost_usd": 3},
        {"outcome": "server_error", "start_s": 2, "latency_s": 1, "cost_usd": 5},
        {"start_s": 4, "latency_s": 1, "cost_usd": 7},
    ]
    assert split([{"latency_s": 5}], tries) == {"unused": 3, "retry": 5, "useful": 7}
    assert split([FAILED | {"latency_s": 5}], tries[:2]) == {"unused": 3, "retry": 5}


def test_the_loser_of_a_race_is_cancelled_and_a_hedge_that_ran_to_its_end_is_a_hedge():
    winner = {"latency_s": 2}
    assert split([{"latency_s": 2}], [winner, {"start_s": 1, "deployment": 1, "outcome": "cancelled"}]) == {
        "useful": 1,
        "cancelled": 1,
    }
    late = {"start_s": 1, "latency_s": 9, "deployment": 1, "cost_usd": 4}
    assert split([{"latency_s": 2}], [winner, late]) == {"useful": 1, "hedge": 4}


def test_a_hedge_that_answers_is_useful():
    first = {"latency_s": 3, "outcome": "cancelled", "cost_usd": 2}
    hedge = {"start_s": 1, "latency_s": 2, "deployment": 1}
    assert split([{"latency_s": 3, "deployment": 1}], [first, hedge]) == {"cancelled": 2, "useful": 1}


def test_an_answer_that_was_not_good_enough_is_unused_and_its_judge_is_a_check():
    calls = [
        {"purpose": "classify", "latency_s": 0.1, "cost_usd": 2},
        {"start_s": 0.1, "cost_usd": 3},
        {"purpose": "check", "start_s": 1.2, "latency_s": 0.1, "cost_usd": 5},
        {"start_s": 1.4, "deployment": 1, "cost_usd": 7},
        {"purpose": "shadow", "start_s": 0.1, "cost_usd": 11},
    ]
    assert split([{"latency_s": 3, "deployment": 1}], calls) == {
        "classifier": 2,
        "unused": 3,
        "check": 5,
        "useful": 7,
        "shadow": 11,
    }


def test_only_the_last_answer_of_a_deployment_was_given():
    calls = [{"cost_usd": 3}, {"start_s": 2, "cost_usd": 5}]
    assert split([{"latency_s": 3}], calls) == {"unused": 3, "useful": 5}


def test_what_a_request_costs_that_a_cache_answers_is_the_caches():
    assert split([{"outcome": "cached", "deployment": -1}], [{"purpose": "classify"}]) == {"cache": 1}


def test_nobodys_attempts_are_nobodys():
    assert split([{}], [{}, {"request": -1, "cost_usd": 8, "purpose": "check"}]) == {"useful": 1, "nobody": 8}


@settings(max_examples=40)
@given(st.data())
def test_the_parts_add_up_to_all_of_it(data):
    requests = [
        {
            "latency_s": data.draw(st.floats(0, 9)),
            "request_class": data.draw(st.sampled_from(("chat", "batch"))),
            **data.draw(st.sampled_from(({}, {"outcome": "cached", "deployment": -1}, FAILED))),
        }
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    attempts = [
        {
            "request": data.draw(st.integers(-1, len(requests) - 1)),
            "deployment": data.draw(st.integers(0, 1)),
            "start_s": data.draw(st.floats(0, 9)),
            "latency_s": data.draw(st.floats(0, 9)),
            "purpose": data.draw(st.sampled_from(PURPOSES)),
            "outcome": data.draw(st.sampled_from(ATTEMPT_OUTCOMES)),
            "cost_usd": data.draw(st.floats(0, 9)),
        }
        for _ in range(data.draw(st.integers(0, 12)))
    ]
    summary = summarise(log_of(requests, attempts), start_s=0, end_s=DAY)
    assert summary.costs.sum() == pytest.approx(sum(attempt["cost_usd"] for attempt in attempts))
    assert summary.costs[:-1].sum(axis=1) == pytest.approx(summary.requests.cost_usd)
    metrics = Metrics([summary, summary])
    parts = [metrics.estimate(f"cost_{part}_usd_per_day").value for part in (*COST_PARTS, "pods")]
    assert sum(parts) == pytest.approx(metrics.estimate("cost_total_usd_per_day").value)
    for request_class in metrics.request_classes:
        mine = [metrics.estimate(f"cost_{p}_usd_per_day", request_class).value for p in COST_PARTS[:-1]]
        assert sum(mine) == pytest.approx(metrics.estimate("cost_usd_per_day", request_class).value)


def test_a_frame_of_parts_with_the_pods():
    log = log_of(
        [{}, FAILED], [{"request": 0, "cost_usd": 3}, {"request": 1, "cost_usd": 1, "outcome": "timeout"}]
    )
    metrics = Metrics([summarise(log, start_s=0, end_s=DAY, pods_usd=4)] * 2)
    frame = cost_frame(metrics)
    assert frame["usd_per_day"].drop("total").sum() == frame["usd_per_day"]["total"] == 8
    assert frame["share"][["useful", "unused", "pods"]].tolist() == [3 / 8, 1 / 8, 4 / 8]
    assert frame["usd_per_1k_requests"]["total"] == 4000
    assert frame["usd_per_good_request"]["total"] == 8
    assert metrics.estimate("cost_usd_per_day").value == 4  # every attempt, as ever
    of_chat = cost_frame(metrics, "chat")
    assert not {"pods", "nobody"} & set(of_chat.index)
    assert of_chat["usd_per_day"]["total"] == 4
    with pytest.raises(KeyError, match="chta"):
        cost_frame(metrics, "chta")


def test_where_nothing_is_paid_no_part_has_a_share():
    frame = cost_frame(Metrics([summarise(log_of([{}]), start_s=0, end_s=DAY)]))
    assert frame["usd_per_day"]["total"] == 0
    assert np.isnan(frame["share"]).all()
