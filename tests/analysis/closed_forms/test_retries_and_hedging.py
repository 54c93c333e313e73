"""Retries, hedging, budgets: the numbers of validation.md, and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import closed_forms as cf
from simsla.distributions import from_spec

SHARES = st.floats(0, 1)
EXP = from_spec({"kind": "exponential", "mean": 1})
LONG = from_spec({"kind": "lognormal", "mean": 1, "sigma": 1})
P95 = EXP.quantile(0.95)


def test_amplification():
    assert cf.amplification(0.5, 3) == 1.875
    assert cf.amplification(1, 3) == 4
    assert cf.nested_amplification(1, [3, 3, 3]) == 64


@given(SHARES, st.integers(0, 10))
def test_amplification_is_the_geometric_sum(p, retries):
    attempts = cf.amplification(p, retries)
    assert 1 <= attempts <= retries + 1
    assert attempts <= cf.amplification(p, retries + 1)
    if p < 0.99:
        assert attempts == pytest.approx((1 - p ** (retries + 1)) / (1 - p))
    # What is retried away is what attempts are made for: each success is one attempt's.
    assert cf.retry_availability(p, retries) == pytest.approx(attempts * (1 - p), abs=1e-12)


@given(st.lists(st.tuples(SHARES, st.floats(0.01, 1)), min_size=1, max_size=5), st.integers(0, 6))
def test_what_attempts_share_cannot_be_retried_away(states, retries):
    failures = np.array([p for p, _ in states])
    shares = np.array([w for _, w in states])
    shares /= shares.sum()
    mean = min(float(failures @ shares), 1.0)
    by_state = cf.retry_availability_by_state(failures, shares, retries)
    assert by_state <= cf.retry_availability(mean, retries) + 1e-12
    assert by_state == pytest.approx(1 - mean if retries == 0 else by_state)
    assert by_state >= 1 - mean - 1e-12
    assert cf.amplification_by_state(failures, shares, retries) >= cf.amplification(mean, retries) - 1e-9


def test_an_outage_is_not_retried_away():
    """One per cent of failures: spread evenly three retries leave 1e-8, in one outage all of them."""
    assert 1 - cf.retry_availability(0.01, 3) == pytest.approx(1e-8, rel=1e-6)
    assert 1 - cf.retry_availability_by_state([0, 1], [0.99, 0.01], 3) == pytest.approx(0.01)
    assert cf.amplification_by_state([0, 1], [0.99, 0.01], 3) == pytest.approx(0.99 + 0.04)


@given(SHARES, st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_layers_are_no_worse_than_their_product(p, layers):
    most = math.prod(n + 1 for n in layers)
    assert 1 <= cf.nested_amplification(p, layers) <= most
    assert cf.nested_amplification(1, layers) == most
    assert cf.nested_amplification(p, layers[:1]) == cf.amplification(p, layers[0])


@pytest.mark.parametrize(("retries", "load"), [(1, 0.5), (2, 1 / 3), (3, 0.25)])
def test_retry_storms(retries, load):
    assert cf.retry_storm_load(retries) == pytest.approx(load)
    assert cf.retry_storm_load(retries, budget=0.1) == pytest.approx(0.909, abs=5e-4)
    assert cf.retry_storm_load(0, budget=0.1) == 1


def test_hedging_at_p95():
    assert cf.hedge_extra_load(EXP, P95) == pytest.approx(0.05)
    assert EXP.quantile(0.99) == pytest.approx(4.6052, abs=5e-5)
    assert cf.hedged_quantile_s(0.99, EXP, P95) == pytest.approx(3.8005, abs=5e-5)
    assert EXP.quantile(0.999) == pytest.approx(6.9078, abs=5e-5)
    assert cf.hedged_quantile_s(0.999, EXP, P95) == pytest.approx(4.9517, abs=5e-5)


def test_fan_out():
    assert cf.fan_out_slow_share(0.99, 100) == pytest.approx(0.634, abs=5e-4)
    assert cf.fan_out_quantile_s(0.5, EXP, 1) == EXP.quantile(0.5)
    assert cf.fan_out_slow_share(0.99, 0) == 0


@pytest.mark.parametrize("latency", [EXP, LONG], ids=["exponential", "lognormal"])
def test_hedged_latencies_are_those_of_drawn_pairs(latency):
    rng = np.random.default_rng(5)
    first, second = latency.sample(rng, 400_000), latency.sample(rng, 400_000)
    delay = latency.quantile(0.9)
    hedged = np.minimum(first, delay + second)
    assert (first > delay).mean() == pytest.approx(cf.hedge_extra_load(latency, delay), rel=0.02)
    for p in (0.5, 0.95, 0.99):
        assert np.quantile(hedged, p) == pytest.approx(cf.hedged_quantile_s(p, latency, delay), rel=0.02)
    fastest, slowest = np.minimum(first, second), np.maximum(first, second)
    assert np.quantile(fastest, 0.9) == pytest.approx(cf.first_of_quantile_s(0.9, latency, 2), rel=0.02)
    assert np.quantile(slowest, 0.9) == pytest.approx(cf.fan_out_quantile_s(0.9, latency, 2), rel=0.02)


@given(st.floats(0.01, 0.999), st.floats(0, 20), st.floats(0, 20))
def test_a_later_hedge_helps_less_and_costs_less(p, delay, more):
    early, late = sorted([delay, more])
    assert cf.first_of_quantile_s(p, LONG, 2) <= cf.hedged_quantile_s(p, LONG, early) * (1 + 1e-9)
    assert cf.hedged_quantile_s(p, LONG, early) <= cf.hedged_quantile_s(p, LONG, late) * (1 + 1e-9)
    assert cf.hedged_quantile_s(p, LONG, late) <= LONG.quantile(p) * (1 + 1e-9)
    assert cf.hedge_extra_load(LONG, late) <= cf.hedge_extra_load(LONG, early)


@given(st.floats(-1, 30), st.floats(0, 10))
def test_hedged_survival_is_a_share_below_one_attempts(t, delay):
    alone = float(LONG.sf(np.array(t))) if t >= 0 else 1.0
    assert 0 <= cf.hedged_survival(t, LONG, delay) <= alone


@pytest.mark.parametrize(
    ("target", "budget_s"), [(0.999, 2592), (0.9999, 259.2), (0.99999, 25.92), (0.999999, 2.592)]
)
def test_error_budgets_of_thirty_days(target, budget_s):
    assert cf.error_budget_s(target) == pytest.approx(budget_s)


@pytest.mark.parametrize(("rate", "hours", "burned"), [(14.4, 1, 0.02), (6, 6, 0.05), (1, 72, 0.1)])
def test_the_workbooks_alerts(rate, hours, burned):
    assert cf.budget_burned(rate, hours * 3600) == pytest.approx(burned)
    assert cf.seconds_to_exhaustion(rate) * rate == pytest.approx(cf.MONTH_S)
    assert cf.burn_rate(rate * 0.001, 0.999) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cf.amplification(1.5, 1), "failure"),
        (lambda: cf.amplification(0.5, -1), "retries"),
        (lambda: cf.retry_availability_by_state([0.1, 0.2], [0.5, 0.4], 1), "shares that add up to 1"),
        (lambda: cf.retry_storm_load(-1), "retries"),
        (lambda: cf.hedged_quantile_s(1.0, EXP, 1), "p: expected"),
        (lambda: cf.hedged_survival(1.0, EXP, -1), "delay_s"),
        (lambda: cf.first_of_quantile_s(0.5, EXP, 0), "attempts"),
        (lambda: cf.burn_rate(0.1, 1), "target"),
        (lambda: cf.error_budget_s(0.9, 0), "window_s"),
        (lambda: cf.seconds_to_exhaustion(0), "rate"),
    ],
)
def test_what_is_impossible_is_refused_by_name(call, names):
    with pytest.raises(ValueError, match=names):
        call()
