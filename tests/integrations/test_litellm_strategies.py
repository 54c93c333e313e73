"""The Router's strategies see the world's times, prices and minutes."""

from __future__ import annotations

import pytest

from simsla.simulation import run_one


def served(scenario, **arguments):
    """The attempts, and the share of each deployment."""
    attempts = run_one(scenario, **arguments).log.attempts_frame()
    return attempts, attempts.deployment.value_counts(normalize=True)


def test_latency_based_routing_finds_the_fastest(world):
    """It measures with `datetime.now`, so that this fails where only `time.time` is virtual."""
    scenario = world(
        {
            "slow": {"latency": {"total": 2.0}},
            "fast": {"latency": {"total": 0.5}},
            "slower": {"latency": {"total": 3.0}},
        },
        {"chat": ["slow", "fast", "slower"]},
        rate="15/min",
        routing_strategy="latency-based-routing",
    )
    attempts, shares = served(scenario)
    assert len(attempts) > 100
    assert shares["fast"] > 0.9


def test_usage_based_routing_keeps_the_limits_of_each_minute(world):
    scenario = world(
        {"small": {}, "large": {}},
        {"chat": ["small", "large"]},
        rate="30/min",
        entries={"small": {"rpm": 6}, "large": {"rpm": 100}},
        routing_strategy="usage-based-routing-v2",
    )
    attempts, shares = served(scenario)
    assert 0.1 < shares["small"] < 0.25
    # Scenarios start at a full minute, and so do litellm's.
    by_minute = attempts[attempts.deployment == "small"].groupby(attempts.start_s // 60).size()
    # It leaves the last one of the six out.
    assert set(by_minute) == {5}


def test_cost_based_routing_finds_the_cheapest(world):
    scenario = world(
        {"dear": {}, "cheap": {}},
        {"chat": ["dear", "cheap"]},
        horizon="2min",
        entries={
            "dear": {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6},
            "cheap": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        },
        routing_strategy="cost-based-routing",
    )
    _, shares = served(scenario)
    assert shares["cheap"] == 1.0


def test_simple_shuffle_follows_the_weights(world):
    scenario = world(
        {"one": {}, "three": {}},
        {"chat": ["one", "three"]},
        entries={"one": {"weight": 1}, "three": {"weight": 3}},
    )
    _, shares = served(scenario)
    assert shares["three"] == pytest.approx(0.75, abs=0.06)


def test_least_busy_avoids_what_hangs(world):
    scenario = world(
        {"stuck": {"latency": {"total": 60.0}}, "quick": {}},
        {"chat": ["stuck", "quick"]},
        horizon="5min",
        routing_strategy="least-busy",
    )
    _, shares = served(scenario)
    assert shares["quick"] > 0.9


def test_prompts_that_are_too_long_go_to_the_larger_window(world):
    scenario = world(
        {"small": {"context_window": 100}, "large": {"context_window": 10_000}},
        {"chat": ["small"], "large": ["large"]},
        horizon="2min",
        traffic={"prompt_tokens": 500},
        context_window_fallbacks=[{"chat": ["large"]}],
    )
    run = run_one(scenario)
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    assert (requests.outcome == "ok").all()
    assert (requests.deployment == "large").all()
    assert len(attempts) == 2 * len(requests)  # a prompt that does not fit is not tried again


def test_a_timeout_of_an_attempt_is_the_clients(world):
    scenario = world(
        {"main": {"latency": {"total": 30.0}}, "spare": {}},
        {"chat": ["main"], "spare": ["spare"]},
        horizon="2min",
        entries={"main": {"timeout": 2}},
        num_retries=0,
        fallbacks=[{"chat": ["spare"]}],
    )
    run = run_one(scenario)
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    on_main = attempts[attempts.deployment == "main"]
    assert (on_main.end_s - on_main.start_s).to_numpy() == pytest.approx(2.0, abs=1e-6)
    assert set(on_main.outcome) == {"timeout"}
    assert (requests.end_s - requests.arrival_s).to_numpy() == pytest.approx(2.5, abs=1e-3)


def test_answers_are_streamed(world):
    scenario = world(
        {"main": {"latency": {"first_token": 0.3, "per_token": 0.1}}},
        {"chat": ["main"]},
        horizon="2min",
        traffic={"stream": True, "output_tokens": 20},
    )
    requests = run_one(scenario).log.requests_frame()
    assert (requests.outcome == "ok").all()
    first = (requests.first_token_s - requests.arrival_s).to_numpy()
    assert first == pytest.approx(0.3, abs=0.11)
    assert (requests.end_s - requests.arrival_s).to_numpy() == pytest.approx(2.3, abs=0.11)


def test_the_module_settings_are_heard(world):
    scenario = world(
        {"main": {"errors": {"500": 1.0}}, "spare": {}},
        {"chat": ["main"], "spare": ["spare"]},
        horizon="1min",
        litellm_settings={"num_retries": 0, "default_fallbacks": ["spare"]},
    )
    run = run_one(scenario)
    assert len(run.log.attempts_frame()) == 2 * len(run.log.requests_frame())
