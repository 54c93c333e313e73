"""tenacity, stamina, backoff, pybreaker and purgatory work in virtual time, under both kinds of policy."""

from __future__ import annotations

import numpy as np
import pytest
from byor import resilient
from simulation.runs import digest
from simulation.scenarios import deployment, scenario, traffic

from simsla.simulation import run_one

ERROR_S = 0.05


def world(rate=0.2, horizon=200.0, **changes):
    """One deployment, which answers every call with an error after 0.05 s, unless changed."""
    changes = {"errors": {500: 1.0}} | changes
    return scenario(
        {"a": deployment(base_url=resilient.GATEWAY, api_key="made-up-key", **changes)},
        {"chat": traffic(rate)},
        horizon=horizon,
    )


def by_request(run):
    return [group["start_s"].to_numpy() for _, group in run.log.attempts_frame().groupby("request")]


def named(policies):
    return pytest.mark.parametrize("policy", policies, ids=[name_in(policy) for policy in policies])


def name_in(policy):
    return next(name for name, value in vars(resilient).items() if value is policy)


@named(resilient.RETRIES)
def test_retries_pause_in_virtual_time(policy):
    run = run_one(world(), policy)
    assert {name: failures.times for name, failures in run.failures.items()} == {
        "InternalServerError": len(run.requests["arrival_s"])
    }
    assert run.unowned == 0
    pauses = np.array([np.diff(starts) - ERROR_S for starts in by_request(run)])
    assert len(pauses) > 20
    np.testing.assert_allclose(pauses, np.broadcast_to([1, 2, 4], pauses.shape), atol=1e-6)


def test_retries_end_with_the_first_success():
    run = run_one(world(errors={500: 0.5}), resilient.with_stamina)
    requests = run.log.requests_frame()
    ended = requests.groupby(requests["attempts"])["outcome"].agg(lambda outcomes: set(outcomes.astype(str)))
    assert {1, 2, 3} <= set(ended.index) <= {1, 2, 3, 4}
    assert all(ended[attempts] == {"ok"} for attempts in (1, 2, 3))


@pytest.mark.parametrize(
    ("policy", "pauses_s"),
    [
        (resilient.for_ten_seconds_with_tenacity, [3, 3, 3, 3]),
        (resilient.for_ten_seconds_with_stamina, [3, 3, 3, 3]),
        # It makes the last pause end with the time.
        (resilient.for_ten_seconds_with_backoff, [3, 3, 3, 0.85]),
        (resilient.for_ten_seconds_by_hand, [3, 3, 3]),
    ],
    ids=["tenacity", "stamina", "backoff", "by hand"],
)
def test_what_ends_after_ten_seconds_reads_virtual_clocks(policy, pauses_s):
    for starts in by_request(run_one(world(), policy)):
        np.testing.assert_allclose(np.diff(starts) - ERROR_S, pauses_s, atol=1e-5)


@named(resilient.CIRCUIT_BREAKERS)
def test_a_breaker_opens_at_the_third_failure_and_probes_half_a_minute_later(policy):
    run = run_one(world(rate=2.0, error_latency=0.0), policy)
    arrivals = run.requests["arrival_s"]
    expected, failures, closed_at = [], 0, -np.inf
    for arrival_s in np.sort(arrivals):
        if arrival_s > closed_at:
            expected.append(arrival_s)
            failures += 1
            if failures >= 3:
                closed_at = arrival_s + 30
    np.testing.assert_allclose(np.sort(run.attempts["start_s"]), expected, atol=1e-6)
    assert 6 <= len(expected) < 12
    assert len(arrivals) > 300


def test_a_breaker_that_holds_its_lock_during_the_call_makes_calls_wait_for_each_other():
    """pybreaker calls with its lock held: in production, too, all threads make one call at a time."""
    slow = world(rate=2.0, horizon=60.0, errors={}, latency={"first_token": 0.4, "per_token": 0.0})
    for policy in (resilient.with_pybreaker, resilient.with_pybreaker_made_early):
        run = run_one(slow, policy)
        attempts = run.log.attempts_frame().sort_values("start_s")
        assert len(attempts) > 80
        assert np.all(attempts["start_s"].to_numpy()[1:] >= attempts["end_s"].to_numpy()[:-1] - 1e-9)
        # A line of one server: some wait.
        assert (run.requests["end_s"] - run.requests["arrival_s"]).max() > 0.5


@named((resilient.with_one_tenacity_for_all, resilient.with_pybreaker_made_early))
def test_a_second_run_is_the_same(policy):
    failing = world(errors={500: 0.5}, rate=1.0)
    assert digest(run_one(failing, policy)) == digest(run_one(failing, policy))
