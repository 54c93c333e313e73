"""A promise beside the formula and the router, in one call."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy import stats

import simsla


@pytest.fixture(scope="module")
def shared():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simsla.assess("shared-gateway", requests=60_000, years=3000, progress=False)


def test_three_providers_and_a_shared_gateway(shared):
    """Three of 99.9 % behind one of 99.9 %: the gateway decides, and the product promises eight nines."""
    u = shared.rare.unavailability
    assert u.ci_low < 1e-3 < u.ci_high
    assert u.half_width < 0.05e-3
    # Of each deployment the formula has its provider and the gateway in series, thrice.
    assert shared.independence.naive.left == pytest.approx((1 - 0.999**2) ** 3, rel=1e-6)
    assert shared.independence.shared_fate.left == pytest.approx(1e-3, rel=1e-3)
    assert shared.target == 0.9995


def test_the_months_missed_are_those_of_the_gateways_outages(shared):
    """0.72 outages a month of an hour on average, exponential: the law of their sum is known."""
    allowed_h = 0.0005 * 720
    n = np.arange(1, 30)
    truth = float(np.sum(stats.poisson.pmf(n, 720 / 1000) * stats.gamma.sf(allowed_h, n)))
    missed = shared.month_miss_probability
    assert missed.value == pytest.approx(truth, abs=0.02)
    assert missed.ci_low <= missed.value <= missed.ci_high
    assert missed.ci_high - missed.ci_low < 0.06


def test_measured_outages_and_a_shared_gateway():
    """What providers do seldom matters little beside what they share; the formula sees only the providers."""
    measured = simsla.Scenario.load("three-providers")
    hours = {"kind": "exponential", "unit": "h"}
    outage = {"kind": "outage", "uptime": hours | {"mean": 999}, "repair": hours | {"mean": 1}}
    scenario = measured.with_values(
        {"components.gateway": {"kind": "gateway", "faults": [outage]}}
        | {f"deployments.{name}.components": ["gateway"] for name in measured.deployments}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simsla.assess(scenario, requests=30_000, years=300, progress=False)
    u = found.rare.unavailability
    assert u.ci_low < 1e-3 < u.ci_high
    assert found.independence.naive.left < 1e-5 < u.ci_low
    assert found.independence.shared_fate.left == pytest.approx(1e-3, rel=0.01)
    assert 0.3 < found.month_miss_probability.value < 0.5


def test_words(shared):
    data = json.loads(json.dumps(shared.to_dict(), allow_nan=False))
    assert data["schema"] == "simsla.assessment/1"
    assert data["independence_unavailability"] < 1e-8 < data["unavailability"]["value"]
    assert data["month_miss_probability"]["value"] == shared.month_miss_probability.value
    for text in (repr(shared), shared._repr_html_(), str(shared.against)):
        assert "independent deployments" in text
    assert "months below 99.95 %" in repr(shared)


@pytest.mark.parametrize("target", [0, 1, 99.95, True, "high"])
def test_impossible_targets(target):
    with pytest.raises(ValueError, match="target: expected an availability"):
        simsla.assess("shared-gateway", target=target)


def test_too_few_years_for_a_month_are_refused():
    with pytest.warns(simsla.SimslaWarning), pytest.raises(ValueError, match="years: expected so many"):
        simsla.assess("shared-gateway", requests=500, years=0.01, progress=False)


def test_without_an_objective_a_target_is_needed():
    scenario = simsla.Scenario.load("shared-gateway").model_copy(update={"objectives": ()})
    with pytest.raises(ValueError, match="shared-gateway has no objective"):
        simsla.assess(scenario)


def test_warnings_are_of_the_calling_line():
    with pytest.warns(simsla.SimslaWarning) as caught:
        simsla.assess("shared-gateway", requests=500, years=20, progress=False)
    assert {each.filename for each in caught} == {__file__}
