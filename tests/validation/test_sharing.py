"""Processor sharing against closed forms, and the knee of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from validation.queueing import across, contains, run
from world.test_sharing import sharing_scenario

EXPONENTIAL = {"kind": "exponential", "mean": 1}
LOGNORMAL = {"kind": "lognormal", "mean": 1, "sigma": 1}
SERVICES = pytest.mark.parametrize(
    "service", [EXPONENTIAL, 1.0, LOGNORMAL], ids=["exponential", "constant", "lognormal"]
)
ONE = {"kind": "processor_sharing", "servers": 1}
EIGHT = {"kind": "processor_sharing", "servers": 8}

MEAN_WAIT_MM8 = 0.286028
"""Of M/M/8 at rho .8 (validation.md)."""


@pytest.mark.slow
@SERVICES
def test_mg1_ps(service):
    """Mean sojourn ES / (1 - rho) = 5 at rho .8 within 25 %, whatever the distribution of the service."""
    spec = sharing_scenario(ONE, 0.8, service, customers=2500)
    contains(run(spec, replications=20, seed=37).metrics["latency_mean_s"], 5.0, within=0.25)


@pytest.mark.slow
@SERVICES
def test_mgc_ps(service):
    """With the rate min(n, c) sharing has the law of M/M/c: mean sojourn 1.286 at rho .8, within 8 %.

    Kelly's symmetric queues are insensitive (Reversibility and Stochastic Networks, 1979, section 3.3).
    """
    spec = sharing_scenario(EIGHT, 6.4, service, customers=3000)
    result = run(spec, replications=20, seed=32)
    contains(result.metrics["latency_mean_s"], 1 + MEAN_WAIT_MM8, within=0.08)


def test_sharing_is_fair():
    """E(sojourn | service x) = x / (1 - rho): four times the work, four times the stay; within 15 %."""
    rate = 0.5  # of 1.25 s on average
    spec = sharing_scenario(ONE, rate, [0.5, 2.0], customers=2500)
    result = run(spec, replications=20, seed=33)
    for size in (0.5, 2.0):
        means = []
        for each in result.runs:
            attempts = each.attempts
            mine = attempts["tokens_out"] == round(size * 10)
            means.append((attempts["end_s"] - attempts["start_s"])[mine].mean())
        contains(across(means), size / (1 - rate * 1.25), within=0.15)


def test_offered_load_below_the_servers_costs_nothing():
    spec = sharing_scenario({"kind": "processor_sharing", "servers": 64}, 1, 1.0, customers=2000)
    assert run(spec, replications=2, seed=34).latency(0.99).value == pytest.approx(1.0)


def test_the_knee_of_a_batch():
    """Latency grows slowly with the load up to where the batch makes no more tokens, then without bound."""
    service = {"kind": "batch", "growth": 0.05, "knee": 16}
    # Requests per second that the batch can serve: 16 / (1 + .05 x 15) of one second each.
    capacity = 16 / 1.75
    latencies = [
        run(sharing_scenario(service, share * capacity, 1.0, customers=3000), replications=3, seed=35)
        .metrics["latency_mean_s"]
        .value
        for share in (0.05, 0.5, 0.8, 0.95, 1.1)
    ]
    assert latencies[0] < 1.1
    assert latencies[1] < 1.5
    growth = np.diff(latencies)
    assert (growth > 0).all()
    assert latencies[2] < 3
    assert latencies[4] > 4 * latencies[3] > 8
