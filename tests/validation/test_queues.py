"""Queues against closed forms (validation.md): the truth lies in the reported interval, and it is narrow."""

from __future__ import annotations

import pytest
from validation.queueing import across, contains, queue, run

EXPONENTIAL = {"kind": "exponential", "mean": 1}


def waits(result):
    """The measured waits of each replication; each request makes one attempt, when it arrives."""
    return [run.attempts["queued_s"][run.attempts["start_s"] >= run.start_s] for run in result.runs]


def check(result, *, p_wait, mean_wait, p99_sojourn, width):
    waited = waits(result)
    contains(across([(wait > 1e-9).mean() for wait in waited]), p_wait, within=width)
    contains(across([wait.mean() for wait in waited]), mean_wait, within=3 * width)
    contains(result.metrics["latency_mean_s"], mean_wait + 1, within=3 * width)
    if p99_sojourn is not None:
        contains(result.latency(0.99), p99_sojourn, within=3 * width)


def test_mm1():
    """rho .8: P(wait) .8 within 5 %, mean wait 4 and p99 sojourn 23.03 within 15 %."""
    result = run(queue(1, 0.8, EXPONENTIAL, customers=6000), replications=20, seed=12)
    check(result, p_wait=0.8, mean_wait=4.0, p99_sojourn=23.03, width=0.05)


def test_md1():
    """Pollaczek-Khinchine, rho .8: P(wait) .8 within 3 %, mean wait 2 within 15 %."""
    result = run(queue(1, 0.8, 1.0, customers=7000), replications=20, seed=13)
    waited = waits(result)
    contains(across([(wait > 1e-9).mean() for wait in waited]), 0.8, within=0.03)
    contains(across([wait.mean() for wait in waited]), 2.0, within=0.15)


def test_erlang_b():
    """Eight slots, no queue, 6.4 erlangs: blocked .144394, within 4 %, whatever the service distribution."""
    for service in (EXPONENTIAL, {"kind": "lognormal", "mean": 1, "sigma": 1}):
        result = run(queue(8, 6.4, service, customers=5000, queue_limit=0), replications=12, seed=14)
        contains(result.metrics["error_share"], 0.144394, within=0.04)
        assert set(result.attempts["outcome"]) == {"ok", "rate_limited"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("servers", "rho", "p_wait", "mean_wait", "p99_sojourn", "customers"),
    [
        (1, 0.8, 0.8, 4, 23.03, 80_000),
        (2, 0.8, 0.7111, 1.7778, 11.94, 80_000),
        (8, 0.8, 0.457645, 0.286028, 5.1522, 80_000),
        (8, 0.95, 0.844169, 2.11042, 12.366, 160_000),
    ],
)
def test_mmc_long(servers, rho, p_wait, mean_wait, p99_sojourn, customers):
    """P(wait) within 2 %; mean and quantile within 5 %, at rho .95, which forgets slowly, within 10 %."""
    width = 0.05 if rho < 0.9 else 0.1
    spec = queue(servers, servers * rho, EXPONENTIAL, customers=customers)
    result = run(spec, replications=20, seed=21)
    waited = waits(result)
    contains(across([(wait > 1e-9).mean() for wait in waited]), p_wait, within=0.02)
    contains(across([wait.mean() for wait in waited]), mean_wait, within=width)
    contains(result.latency(0.99), p99_sojourn, within=width)


@pytest.mark.slow
def test_mg1_long():
    """The lognormal service of validation.md, mean wait within 4 %."""
    spec = queue(1, 0.8, {"kind": "lognormal", "mu": -0.5, "sigma": 1}, customers=80_000)
    result = run(spec, replications=20, seed=23)
    contains(across([wait.mean() for wait in waits(result)]), 5.4366, within=0.04)
