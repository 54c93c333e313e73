"""The probability of missing a month, and the share of time that overlapping episodes cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simsla.analysis import closed_forms as cf
from simsla.distributions import from_spec

HOUR, DAY = 3600.0, 86_400.0
MONTH = cf.MONTH_S
LONG_TAILED = from_spec({"kind": "lognormal", "mu": 0.23, "sigma": 1.17, "unit": "h"})


def exponential(mean):
    return from_spec({"kind": "exponential", "mean": mean})


def weibull(shape, scale, unit="s"):
    return from_spec({"kind": "weibull", "shape": shape, "scale": scale, "unit": unit})


@pytest.mark.parametrize(
    ("per_month", "mean_s", "target"),
    [(1, HOUR, 0.999), (0.3, 600, 0.9995), (8, 1200, 0.99), (2000, 30, 0.977)],
)
def test_exponential_durations_add_up_to_gamma_ones(per_month, mean_s, target):
    """The last case starts from exp(-2000), which no float holds; its short episodes leave wide bounds."""
    n = np.arange(1, 4000)
    truth = stats.poisson.pmf(n, per_month) @ stats.gamma.sf((1 - target) * MONTH / mean_s, n)
    found = cf.miss_probability([cf.Episodes(per_month / MONTH, exponential(mean_s))], target)
    assert found.low <= truth <= found.high
    assert found.value == pytest.approx(truth, rel=2e-3)
    assert found.high - found.low < 0.05 or per_month == 2000


def test_constant_durations_that_just_fit():
    """Three episodes of a third of the budget fit, four do not."""
    budget = (1 - 0.999) * MONTH
    found = cf.miss_probability([cf.Episodes(2 / MONTH, from_spec(0.999 * budget / 3))], 0.999)
    assert found.low <= stats.poisson.sf(3, 2) <= found.high
    assert found.high - found.low < 1e-12


def test_several_kinds_of_episodes_against_drawn_months():
    """An outage every 60 days and brown-outs of 18 % every four: 200,000 months."""
    kinds = [
        cf.Episodes(1 / (60 * DAY), exponential(HOUR)),
        cf.Episodes(1 / (4 * DAY), LONG_TAILED, severity=0.18),
    ]
    rng = np.random.default_rng(3)
    losses = np.zeros(200_000)
    for kind in kinds:
        counts = rng.poisson(kind.per_s * MONTH, len(losses))
        each = kind.severity * kind.duration.sample(rng, int(counts.sum()))
        losses += np.bincount(np.repeat(np.arange(len(losses)), counts), each, len(losses))
    drawn = (losses > 0.003 * MONTH).mean()
    found = cf.miss_probability(kinds, 0.997)
    assert found.low - 0.004 < drawn < found.high + 0.004
    assert found.high - found.low < 0.01


@settings(max_examples=25)
@given(st.floats(0.01, 20), st.floats(0.9, 0.9999), st.floats(0.9, 0.9999), st.floats(0.05, 1))
def test_more_episodes_or_a_higher_target_miss_more_months(per_month, target, other, severity):
    def miss(rate, goal):
        return cf.miss_probability([cf.Episodes(rate / MONTH, LONG_TAILED, severity)], goal, cells=300)

    low, high = sorted([target, other])
    found = miss(per_month, low)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low <= miss(per_month, high).high + 1e-12
    assert found.value <= miss(2 * per_month, low).value + 1e-9
    assert found.high <= -math.expm1(-per_month) + 1e-9  # without an episode nothing is missed


def test_finer_cells_close_the_bounds():
    kinds = [cf.Episodes(3 / MONTH, LONG_TAILED)]
    coarse, fine = (cf.miss_probability(kinds, 0.99, cells=cells) for cells in (50, 2000))
    assert coarse.low <= fine.low <= fine.high <= coarse.high
    assert fine.high - fine.low < 0.002


def test_without_episodes_no_month_is_missed():
    assert cf.miss_probability([], 0.999) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cf.miss_probability([cf.Episodes(1, LONG_TAILED)], 1.0), "target"),
        (lambda: cf.miss_probability([cf.Episodes(0, LONG_TAILED)], 0.9), "per_s"),
        (lambda: cf.miss_probability([cf.Episodes(1, LONG_TAILED, 0)], 0.9), "severity"),
        (lambda: cf.covered_share(from_spec(0), LONG_TAILED), "means above 0"),
    ],
)
def test_what_is_impossible_is_refused_by_name(call, names):
    with pytest.raises(ValueError, match=names):
        call()


@pytest.mark.parametrize("load", [0.001, 0.1, 1.0, 5.0])
def test_poisson_episodes_cover_what_a_queue_without_limits_is_busy(load):
    """Exact where gaps are said to be exponential, within 1e-3 where only their shape says so."""
    duration = from_spec({"kind": "lognormal", "mean": load, "sigma": 1})
    truth = -math.expm1(-load)
    assert cf.covered_share(exponential(1), duration) == pytest.approx(truth, rel=1e-12)
    assert cf.covered_share(weibull(1, 1), duration) == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize(
    ("gap", "duration", "covered"),
    [
        (weibull(0.65, 92.5, "h"), LONG_TAILED, 0.01903),
        (
            weibull(0.67, 92.6, "h"),
            from_spec({"kind": "lognormal", "mu": -0.18, "sigma": 1.39, "unit": "h"}),
            0.01743,
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_measured_incidents_cover_what_twenty_million_drawn_ones_do(gap, duration, covered):
    """The shares in the playbook scenario."""
    assert cf.covered_share(gap, duration) == pytest.approx(covered, rel=1.5e-3)


def test_clustered_episodes_cover_less_than_evenly_spread_ones():
    duration = exponential(0.5)
    shares = [
        cf.covered_share(weibull(shape, 1 / math.gamma(1 + 1 / shape)), duration) for shape in (0.6, 1, 3)
    ]
    assert shares == sorted(shares)
    assert shares[-1] < 0.5


def test_regular_gaps():
    assert cf.covered_share(from_spec(2.0), from_spec(1.0)) == pytest.approx(0.5, rel=0.02)
    assert cf.covered_share(from_spec(2.0), from_spec(3.0)) == pytest.approx(1, abs=2e-3)
