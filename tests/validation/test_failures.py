"""Retries, availability and latency against closed forms (validation.md)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, traffic
from validation.queueing import contains, run


@pytest.mark.parametrize(("retries", "share"), [(1, 0.2), (3, 0.5), (2, 0.9), (3, 1.0)])
def test_amplification_of_retries(retries, share):
    """The built-in router at one deployment: (1 - p^(r+1)) / (1 - p) attempts a request, within 3 %.

    The share of requests that fail, p^(r+1), within 8 %.
    """
    world = scenario(
        {"a": deployment(errors={500: share}, error_latency=0)},
        {"chat": traffic(20)},
        horizon=200,
        routing={
            "max_attempts": retries + 1,
            "retry": {"max_attempts": retries + 1, "backoff": {"base_s": 0, "cap_s": 0}},
            "breaker": None,
        },
    )
    result = run(world, None, replications=8, seed=38)
    truth = sum(share**k for k in range(retries + 1))
    if share == 1:
        assert result.metrics["amplification"].value == truth
        assert result.availability.value == 0
    else:
        contains(result.metrics["amplification"], truth, within=0.03)
        contains(result.metrics["error_share"], share ** (retries + 1), within=0.08)


def two_providers(horizon, rate):
    faults = {"faults": [{"kind": "outage", "uptime": exp(900), "repair": exp(100)}]}
    return scenario(
        {"a": deployment(provider="p"), "b": deployment(provider="q")},
        {"chat": traffic(rate)},
        horizon=horizon,
        components={"p": faults, "q": faults},
    )


def test_availability_of_two_independent_providers():
    """A = MTBF / (MTBF + MTTR) = .9 each; both together 1 - .1^2, unavailability within 25 %."""
    result = run(two_providers(100_000, 0.05), patient, replications=30, seed=32)
    estimate = result.metrics["error_share"]
    contains(estimate, 0.01, within=0.25)
    first = result.attempts["deployment"] == "a"
    down = (
        (result.attempts["outcome"] == "connect")[first].groupby(result.attempts["replication"][first]).mean()
    )
    half = stats.t.ppf(0.975, len(down) - 1) * down.std() / np.sqrt(len(down))
    assert abs(down.mean() - 0.1) < half < 0.01


def test_a_common_cause_defeats_redundancy():
    """One in ten of the faults is shared: beta U + ((1 - beta) U)^2 to first order, within 30 %."""
    own = {"faults": [{"kind": "outage", "uptime": exp(970), "repair": exp(30)}]}
    shared = {"faults": [{"kind": "outage", "uptime": exp(2990), "repair": exp(10)}]}
    world = scenario(
        {
            "a": deployment(provider="p", components=["shared"]),
            "b": deployment(provider="q", components=["shared"]),
        },
        {"chat": traffic(0.08)},
        horizon=50_000,
        components={"p": own, "q": own, "shared": shared},
    )
    result = run(world, patient, replications=40, seed=33)
    shared_u = 10 / 3000
    contains(result.metrics["error_share"], shared_u + (1 - shared_u) * 0.03**2, within=0.3)


@pytest.mark.slow
def test_availability_of_two_independent_providers_long():
    """The same, unavailability within 6 %."""
    result = run(two_providers(1_000_000, 0.1), patient, replications=30, seed=34, n_jobs=2, keep_logs=False)
    contains(result.metrics["error_share"], 0.01, within=0.06)


def test_a_lognormal_latency_has_the_mean_and_the_p99_asked_for():
    """Mean 1.2 s and p99 3.4 s, within 2 % and 4 %."""
    world = scenario(
        {"a": deployment(latency={"total": {"kind": "lognormal", "mean": 1.2, "p99": 3.4}})},
        {"chat": traffic(20)},
        horizon=300,
    )
    result = run(world, patient, replications=10, seed=35)
    contains(result.metrics["latency_mean_s"], 1.2, within=0.02)
    contains(result.latency(0.99), 3.4, within=0.04)


def test_first_token_and_time_per_token_add_up():
    """Mean reply time = mean first token + mean length x mean time per token, which are independent."""
    world = scenario(
        {
            "a": deployment(
                latency={
                    "first_token": exp(0.3),
                    "per_token": {"kind": "lognormal", "mean": 3.125, "sigma": 0.2, "unit": "ms"},
                }
            )
        },
        {"chat": traffic(20, output_tokens={"kind": "lognormal", "mean": 320, "p99": 960})},
        horizon=300,
    )
    result = run(world, patient, replications=10, seed=36)
    contains(result.metrics["latency_mean_s"], 0.3 + 320 * 0.003125, within=0.02)
    contains(result.metrics["ttft_mean_s"], 0.3, within=0.02)
    contains(result.metrics["ttft_p99_s"], 0.3 * np.log(100), within=0.04)
