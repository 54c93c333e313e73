"""litellm.Router as it is known to behave, measured on the wall clock and in virtual time."""

from __future__ import annotations

import pytest

from simsla.simulation import run_one

SPARED = {"main": {"errors": {"500": 1.0}}, "spare": {}}
CHAINS = {"num_retries": 2, "fallbacks": [{"chat": ["spare"]}]}


def logs(scenario, **arguments):
    run = run_one(scenario, **arguments)
    return run.log.requests_frame(), run.log.attempts_frame()


def test_retries_are_slept_through_before_the_fallback(world):
    """Time lost is 3 attempts + sum(0.5 * 2^k) + 3 U(0, 0.75) s: it sleeps after the last failure too."""
    scenario = world(SPARED, {"chat": ["main"], "spare": ["spare"]}, rate="24/min", horizon="8min", **CHAINS)
    requests, attempts = logs(scenario)
    assert len(requests) > 150
    assert (requests.outcome == "ok").all()
    taken = requests.end_s - requests.arrival_s
    lost = 3 * 0.2 + (0.5 + 1 + 2) + 3 * 0.75 / 2
    assert taken.mean() == pytest.approx(lost + 0.5, abs=4 * (3 * 0.75**2 / 12 / len(taken)) ** 0.5)
    assert taken.median() == pytest.approx(5.76, abs=0.1)
    assert taken.min() >= 3 * 0.2 + 3.5 + 0.5
    assert taken.max() <= 3 * 0.2 + 3.5 + 3 * 0.75 + 0.5
    assert len(attempts) == 4 * len(requests)


def test_a_cooldown_that_is_tuned_spares_the_retries(world):
    scenario = world(
        SPARED,
        {"chat": ["main"], "spare": ["spare"]},
        rate="120/min",
        horizon="6min",
        allowed_fails=1,
        cooldown_time=30,
        **CHAINS,
    )
    requests, attempts = logs(scenario)
    assert (requests.outcome == "ok").all()
    assert (requests.end_s - requests.arrival_s).median() == pytest.approx(0.5, abs=1e-3)
    assert len(attempts) / len(requests) == pytest.approx(1.04, abs=0.01)
    tried = attempts[attempts.deployment == "main"].start_s.to_numpy()
    # Two failures bench it; it is tried again half a minute later, and not before.
    gaps = tried[1:] - tried[:-1]
    assert ((gaps < 4) | ((gaps > 29) & (gaps < 40))).all()
    assert (gaps > 29).sum() >= 8


def test_a_deployment_that_was_cooled_gets_traffic_again_after_its_outage(world):
    scenario = world({"main": {}, "twin": {}}, {"chat": ["main", "twin"]}, cooldown_time=5, num_retries=2)
    scenario = scenario.with_values(
        {"components.main.faults": [{"kind": "outage", "schedule": [{"start": "3min", "duration": "3min"}]}]}
    )
    requests, attempts = logs(scenario)
    assert (requests.outcome == "ok").mean() > 0.99
    on_main = attempts[attempts.deployment == "main"]
    during = on_main[(on_main.start_s >= 180) & (on_main.start_s < 360)]
    # Benched for most of the time, tried every 5 s or so: an even share would be 90 attempts.
    assert 20 < len(during) < 70
    answered = on_main[(on_main.start_s >= 360) & (on_main.outcome == "ok")]
    assert answered.start_s.min() < 360 + 10
    assert 0.3 < len(answered) / (attempts.start_s >= 360).sum() < 0.7


def test_a_worker_process_has_the_same_logs_whatever_its_hashes(world, twin_logs):
    scenario = world(
        {"main": {"errors": {"500": 0.3}}, "twin": {"errors": {"429": 0.2}}, "spare": {}},
        {"chat": ["main", "twin"], "spare": ["spare"]},
        horizon="2min",
        routing_strategy="latency-based-routing",
        allowed_fails=1,
        cooldown_time=7,
        **CHAINS,
    )
    first, second, here = twin_logs(scenario)
    assert first == second == here
    assert first.count("\n") > 200
