"""Retry storms: overload that outlasts its trigger, and the load from which on it can (validation.md).

With r retries of all that fails, a storm brings (1 + r) times the traffic. Where nothing of it succeeds,
because work is done for those who have stopped waiting, it feeds itself if (1 + r) rho > 1; a retry budget of
a tenth makes that 1.1 rho > 1.
"""

from __future__ import annotations

import warnings

import pytest

import simsla
from simsla.scenario import Scenario

CAPACITY_PER_S = 4.0
TRIGGER_ENDS_S = 780.0

BUDGET = {"kind": "finagle", "ratio": 0.1, "reserve_per_s": 0}


def goodput(world, changes, begin_s, end_s):
    """Answers in time per intent of those that come within an interval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        result = simsla.simulate(world.with_values(changes), replications=1, progress=False)
    requests = result.requests.query(f"{begin_s} <= arrival_s < {end_s}")
    rate = world.with_values(changes).traffic["chat"].arrivals.mean_rate_per_s()
    return (requests["outcome"] == "ok").sum() / (rate * (end_s - begin_s))


def clients(rho, retries):
    """What makes the clients of the shipped scenario retry so often, at this load."""
    return {
        "traffic.chat.arrivals.rate": rho * CAPACITY_PER_S,
        "traffic.chat.client.retries": retries,
        "horizon": "40min",
    }


@pytest.fixture(scope="module")
def storm() -> Scenario:
    return Scenario.load("retry-storm")


@pytest.mark.parametrize("retries", [1, 2, 3])
def test_retries_of_clients_keep_a_storm_alive_above_the_bound_only(storm, retries):
    """The bounds are .5, .333 and .25: 20 % above it lasts, 20 % below it passes, both after a real dip."""
    bound = 1 / (1 + retries)
    above, below = clients(1.2 * bound, retries), clients(0.8 * bound, retries)
    assert goodput(storm, above, 0, 600) > 0.95
    assert goodput(storm, above, 1800, 2400) < 0.02
    assert goodput(storm, below, 700, TRIGGER_ENDS_S) < 0.5
    assert goodput(storm, below, 1800, 2400) > 0.95


def test_without_a_trigger_there_is_no_storm(storm):
    """The same load above the bound is served for as long as nothing happens: there are two stable states."""
    assert goodput(storm, clients(0.6, 1) | {"schedule": []}, 600, 2400) > 0.99


def test_a_service_that_notices_its_clients_leaving_recovers(storm):
    """No work for nobody, no storm: what sustains it is waste, not retries alone."""
    noticed = clients(0.5, 3) | {"traffic.chat.client.cancels": True}
    assert goodput(storm, noticed, 1800, 2400) > 0.95


def routers(rho, budget, cv=1.0):
    """The router retries, three times, what took longer than 10 s at a deployment that load slows down.

    Arrivals are a renewal process with this coefficient of variation; 1: a Poisson process.
    """
    return {
        "traffic.chat.arrivals": {"kind": "gamma", "rate": rho * CAPACITY_PER_S, "cv": cv},
        "traffic.chat.client": None,
        "deployments.model.max_concurrency": None,
        "deployments.model.service": {"kind": "processor_sharing", "servers": 4},
        "deployments.model.latency.total": {"kind": "lognormal", "mean": 1, "sigma": 0.02},
        "routing.deadline_s": 60,
        "routing.timeouts.total_s": 10,
        "routing.max_attempts": 4,
        "routing.retry.max_attempts": 4,
        "routing.retry.on_errors": ["timeout"],
        "routing.retry_budget": budget,
        "horizon": "40min",
    }


def test_a_retry_budget_moves_the_bound(storm):
    """From .25 to .909: half the capacity recovers with the budget and not without it."""
    assert goodput(storm, routers(0.5, None), 700, TRIGGER_ENDS_S) < 0.05
    assert goodput(storm, routers(0.5, None), 1800, 2300) < 0.05
    assert goodput(storm, routers(0.5, BUDGET), 700, TRIGGER_ENDS_S) < 0.05
    assert goodput(storm, routers(0.5, BUDGET), 1800, 2300) > 0.95


def test_below_the_bound_a_router_needs_no_budget(storm):
    assert goodput(storm, routers(0.2, None), 700, TRIGGER_ENDS_S) < 0.5
    assert goodput(storm, routers(0.2, None), 1800, 2300) > 0.95


@pytest.mark.parametrize(("rho", "recovers"), [(0.88, True), (0.98, False)])
def test_the_bound_of_a_retry_budget(storm, rho, recovers):
    """Below .909 a budget of a tenth lets a storm pass, above it even that is too much.

    So near to capacity the chance of Poisson arrivals alone ends storms, and begins them: these are regular.
    """
    changes = routers(rho, BUDGET, cv=0.1)
    assert goodput(storm, changes | {"schedule": []}, 600, 2300) > 0.98
    found = goodput(storm, changes, 1800, 2300)
    assert found > 0.98 if recovers else found < 0.1
