"""Why slow requests were slow: shares that add up, and canaries of each cause."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.scenarios import deployment, scenario, scheduled, traffic

import simsla
from simsla.analysis import TAIL_CAUSES, Metrics, summarise
from simsla.analysis.tail import Blamed

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

USUAL = 100
"""Usual requests in a log: the first token after 0.2 s, and 5 tokens of 0.1 s."""


def causes(latency_s, attempts, outcome="ok", deployment=0, p=0.99):
    """The share of each cause, of one request among usual ones that is slower than they are."""
    requests = [{"latency_s": 0.7, "arrival_s": 10.0 * i} for i in range(USUAL)]
    calls = [
        {"request": i, "start_s": 10.0 * i, "first_token_s": 10.0 * i + 0.2, "latency_s": 0.7}
        for i in range(USUAL)
    ]
    requests.append({"latency_s": latency_s, "arrival_s": 5.0, "outcome": outcome, "deployment": deployment})
    for attempt in attempts:
        call = {"request": USUAL, "start_s": 0.0, "latency_s": 0.7} | attempt
        if call.get("outcome", "ok") == "ok":
            waited_s = call["start_s"] + call.get("queued_s", 0.0)
            call = {"first_token_s": 5 + waited_s + 0.2} | call
        calls.append(call | {"start_s": 5 + call["start_s"]})
    summary = summarise(log_of(requests, calls), start_s=0, end_s=1000)
    parts = Metrics([summary, summary]).tail(p)
    assert sum(part.value for part in parts.values()) == pytest.approx(1)
    return {cause: round(part.value, 9) for cause, part in parts.items() if part.value}


def tail(*args, **changes):
    return causes(*args, p=0.995, **changes)


def test_a_long_answer():
    assert tail(20.2, [{"latency_s": 20.2, "tokens_out": 200}]) == {"output_length": 1}


def test_slow_tokens():
    assert tail(20.2, [{"latency_s": 20.2}]) == {"slow_deployment": 1}


def test_a_late_first_token():
    assert tail(9.5, [{"latency_s": 9.5, "first_token_s": 5 + 9.0}]) == {"slow_deployment": 1}


def test_waiting_in_the_router_and_for_a_slot():
    assert tail(5.7, [{"start_s": 5.0}]) == {"queueing": 1}
    assert tail(5.7, [{"latency_s": 5.7, "queued_s": 5.0}]) == {"queueing": 1}


def test_trying_again_where_it_failed():
    calls = [{"outcome": "server_error", "latency_s": 3}, {"start_s": 4.0}]
    assert tail(4.7, calls) == {"retries": 1}


def test_going_elsewhere():
    calls = [{"outcome": "timeout", "latency_s": 3, "deployment": 1}, {"start_s": 3.0}]
    assert tail(3.7, calls) == {"failover": 1}


def test_trying_again_before_going_elsewhere():
    calls = [
        {"outcome": "timeout", "latency_s": 3, "deployment": 1},
        {"outcome": "timeout", "start_s": 3, "latency_s": 1, "deployment": 1},
        {"start_s": 4.0},
    ]
    assert tail(4.7, calls) == {"retries": 0.75, "failover": 0.25}


def test_a_hedge_that_answered_waited_for_a_slow_deployment():
    calls = [{"outcome": "cancelled", "latency_s": 4.7, "deployment": 1}, {"start_s": 4.0}]
    assert tail(4.7, calls) == {"slow_deployment": 1}


def test_classifying_checking_and_caches_are_something_else():
    calls = [{"purpose": "classify", "latency_s": 2.0, "outcome": "ok"}, {"start_s": 2.0}]
    assert tail(2.7, calls) == {"other": 1}
    assert tail(4.0, [{}]) == {"other": 1}
    assert tail(4.0, [], outcome="cached", deployment=-1) == {"other": 1}


def test_causes_share_a_request_by_their_seconds():
    calls = [{"start_s": 1.0, "latency_s": 3.7, "queued_s": 1.0, "first_token_s": 5 + 2.2, "tokens_out": 25}]
    assert tail(4.7, calls) == {"output_length": 0.5, "queueing": 0.5}


def test_nothing_is_unusual_where_all_are_alike():
    assert causes(0.7, [{}]) == {"other": 1}


@settings(max_examples=40)
@given(st.data())
def test_the_shares_add_up_in_any_log(data):
    requests, calls = [], []
    for i in range(data.draw(st.integers(1, 6))):
        good = data.draw(st.sampled_from(("ok", "degraded", "cached", "error")))
        requests.append(
            {
                "latency_s": data.draw(st.floats(0, 50)),
                "outcome": good,
                "deployment": data.draw(st.integers(0, 1)) if good in ("ok", "degraded") else -1,
                "request_class": data.draw(st.sampled_from(("chat", "batch"))),
            }
        )
        calls += [
            {
                "request": i,
                "deployment": data.draw(st.integers(0, 1)),
                "start_s": data.draw(st.floats(0, 30)),
                "latency_s": data.draw(st.floats(0, 30)),
                "queued_s": data.draw(st.floats(0, 5)),
                "outcome": data.draw(st.sampled_from(("ok", "timeout", "cancelled"))),
                "purpose": data.draw(st.sampled_from(("answer", "classify"))),
                "tokens_out": data.draw(st.integers(0, 100)),
            }
            for _ in range(data.draw(st.integers(0, 3)))
        ]
    summary = summarise(log_of(requests, calls), start_s=0, end_s=10)
    answered = sum(request["outcome"] != "error" for request in requests)
    assert summary.slow.shares.sum() == pytest.approx(answered)
    assert (summary.slow.shares >= 0).all()
    each = [part.value for part in Metrics([summary]).tail(0.5).values()]
    assert sum(each) == pytest.approx(1) if answered else np.isnan(each).all()


def test_parts_put_together_are_the_whole():
    rng = np.random.default_rng(3)
    keys, shares = rng.integers(0, 3 << 16, 200), rng.random((200, len(TAIL_CAUSES)))
    whole = Blamed.of(keys, shares)
    merged = Blamed.merged([Blamed.of(keys[:70], shares[:70]), Blamed.of(keys[70:], shares[70:])])
    assert merged.keys.tolist() == whole.keys.tolist()
    assert merged.shares == pytest.approx(whole.shares)
    assert whole.tail(0.0, None) == pytest.approx(shares.sum(axis=0))
    assert whole.tail(0.0, 1) == pytest.approx(shares[keys >> 16 == 1].sum(axis=0))


@pytest.mark.parametrize("p", [0, 1, -0.1, 99])
def test_a_tail_begins_between_nothing_and_all(p):
    with pytest.raises(ValueError, match=r"p must be in \(0, 1\)"):
        Metrics([summarise(log_of([{}]), start_s=0, end_s=10)]).tail(p)


# Canaries: one cause is put into a world, and nothing else.


def found(deployments=None, classes=None, routing=None, **others):
    """The largest cause, and its share, of the tail above p97 of a world."""
    world = scenario(
        deployments or {"a": deployment()},
        {"chat": traffic(2)} if classes is None else classes,
        horizon=1500,
        routing=routing or {"max_attempts": 1},
        **others,
    )
    shares = simsla.simulate(world, seed=3, replications=2).tail(0.97)["share"]
    assert shares.sum() == pytest.approx(1)
    return shares.idxmax(), shares.max()


def test_canary_of_length():
    lengths = {"kind": "lognormal", "median": 100, "p99": 1000}
    assert found(classes={"chat": traffic(0.5, output_tokens=lengths)}) == ("output_length", 1)


def test_canary_of_queueing():
    cause, share = found({"a": deployment(max_concurrency=2)}, {"chat": traffic(1.4)})
    assert (cause, share > 0.95) == ("queueing", True)


def test_canary_of_slowness():
    slow = {"P": {"kind": "provider", "faults": [scheduled("slowdown", 200, 100, severity=5)]}}
    cause, share = found({"a": deployment(provider="P")}, components=slow)
    assert (cause, share > 0.95) == ("slow_deployment", True)


def test_canary_of_trying_again():
    flaky = deployment(errors={503: 0.1}, error_latency=2.0)
    routing = {"retry": {"max_attempts": 3}, "max_attempts": 3, "breaker": None}
    assert found({"a": flaky}, routing=routing) == ("retries", pytest.approx(1, abs=0.05))


def test_canary_of_going_elsewhere():
    flaky = deployment(errors={503: 0.1}, error_latency=2.0)
    tiers = {"standard": ["a", "b"]}
    routing = {"retry": {"max_attempts": 1}, "max_attempts": 2, "breaker": None, "tiers": tiers}
    deployments = {"a": flaky, "b": deployment()}
    assert found(deployments, routing=routing) == ("failover", pytest.approx(1, abs=0.05))
