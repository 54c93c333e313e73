"""Rare failures whose size is known: by a formula, by a long crude run, or as published with the method."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from analysis.windows.worlds import DAY, HOUR, outage, toy_breaker, two_providers

import simsla

pytestmark = pytest.mark.slow


def estimate(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simsla.estimate_availability(*args, progress=False, **options)


def test_the_toy_breaker_agrees_with_crude_simulation_at_a_hundredth_of_its_requests():
    """1.311e-3 +- .015e-3 took 7.2e8 requests; the formula without the router says 1.04e-3."""
    found = estimate(
        two_providers(5, outage(HOUR, 120)), toy_breaker, seed=3, requests=1_500_000, memory_s=60
    )
    u = found.unavailability
    assert found.requests < 7.2e8 / 100
    assert u.half_width < 0.04 * u.value
    assert u.ci_low < 1.311e-3 + 0.015e-3
    assert u.ci_high > 1.311e-3 - 0.015e-3
    assert u.ci_low > 1.05e-3


def test_double_outages_of_an_hour_every_month_within_a_tenth():
    """Two providers, MTBF 30 days and MTTR 1 hour, 100 requests/s, through the built-in router."""
    found = estimate(two_providers(100, outage(30 * DAY, HOUR), latency_s=0.5), seed=1, requests=1_000_000)
    u = found.unavailability
    assert found.requests < 2_000_000
    # Both down, and then up to 30 s until the breaker of the first that is back lets a probe through.
    both_down = (1 / 721) ** 2
    assert both_down * 0.97 < u.value < both_down * 1.04
    assert u.half_width < 0.1 * u.value
    assert found.years > 22_800
    # 0.0337 double outages a year of 1,800 s on average, exponential; a budget of 99.99 % is 259 s.
    missed = found.months(0.9999)
    assert missed.value == pytest.approx(0.0337 * 30 / 365 * np.exp(-259.2 / 1800), rel=0.15)


def test_partial_degradation_agrees_with_a_long_crude_run():
    brownout = {
        "kind": "brownout",
        "severity": 0.6,
        "uptime": {"kind": "exponential", "mean": 3600},
        "repair": {"kind": "exponential", "mean": 400},
    }
    scenario = two_providers(
        1.0,
        brownout,
        latency_s=1.0,
        horizon=40_000.0,
        routing={"timeouts": {"total_s": 5}, "retry": {"max_attempts": 2}},
    )
    found = estimate(scenario, seed=4, requests=200_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crude = simsla.simulate(scenario, seed=5, replications=15, keep_logs=False, progress=False)
    windows, long = found.availability, crude.availability
    assert 1e-4 < found.unavailability.value < 5e-2
    assert windows.ci_low < long.ci_high
    assert long.ci_low < windows.ci_high
    assert found.unavailability.half_width < 0.3 * found.unavailability.value
    assert found.latency(0.5).value == pytest.approx(crude.latency(0.5).value, rel=0.02)
    assert found.cost_per_day.value == pytest.approx(crude.cost_per_day.value, rel=0.03)


def one_after_the_other(transport):
    """Without any memory, so that its unavailability is that of both providers together."""

    async def handle(request):
        first, second = transport.deployments
        try:
            return await transport.send(request, first)
        except simsla.routing.AttemptError:
            return await transport.send(request, second)

    return handle


def test_the_interval_holds_the_truth():
    """A policy without a memory: 95 % of 40 studies; P(fewer than 34 do) = .003 for a true 95 % interval."""
    scenario = two_providers(0.5, outage(HOUR, 120))
    truth = (120 / 3720) ** 2
    held, values = 0, []
    for seed in range(40):
        u = estimate(
            scenario, one_after_the_other, seed=seed, years=2, requests=15_000, memory_s=20
        ).unavailability
        held += u.ci_low <= truth <= u.ci_high
        values.append(u.value)
    assert held >= 34
    assert np.mean(values) == pytest.approx(truth, abs=3.5 * np.std(values, ddof=1) / np.sqrt(40))
    assert np.std(values) < 0.2 * truth
