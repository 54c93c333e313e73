from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import (
    clopper_pearson,
    mean_interval,
    quantile_interval,
    ratio_interval,
    share_interval,
)
from simsla.analysis.intervals import ratio_spread, unseen_share


def of(*numbers):
    return np.array(numbers, dtype=float)


def shares_above(samples):
    sizes = of(*(len(s) for s in samples))

    def share_above(limit, inclusive):
        counts = [np.sum(s >= limit) if inclusive else np.sum(s > limit) for s in samples]
        return share_interval(of(*counts), sizes)

    return np.sort(np.concatenate(samples)), share_above


def test_mean_by_hand():
    # 1, 2, 3: mean 2, standard error 1/sqrt(3), t(2) = 4.302653.
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert mean_interval([-1, 1]).low == pytest.approx(-12.706205, abs=1e-5)


def test_ratio_by_hand():
    # y = (1, 3), x = (10, 10): ratio .2, residuals of 1, doubled by the jackknife: error .1; t(1) = 12.7062.
    spread = ratio_spread(of(1, 3), of(10, 10))
    assert spread == pytest.approx((0.2, 0.1, 1.0))
    interval = ratio_interval(of(1, 3), of(10, 10))
    assert interval.high == pytest.approx(0.2 * math.exp(12.706205 * 0.1 / 0.2), rel=1e-6)
    assert interval.low * interval.high == pytest.approx(0.04)


def test_share_by_hand():
    # The same on the logit scale: logit(.2) = -1.386294, half-width 12.706205 x .1 / (.2 x .8) = 7.941378.
    interval = share_interval(of(1, 3), of(10, 10))
    assert interval.low == pytest.approx(1 / (1 + math.exp(1.386294 + 7.941378)), rel=1e-5)
    assert interval.high == pytest.approx(1 / (1 + math.exp(1.386294 - 7.941378)), rel=1e-5)


def test_equal_clusters_have_the_textbook_standard_error():
    y, n = of(4, 7, 5, 8), 4
    expected = np.std(y / 100, ddof=1) / math.sqrt(n)
    assert ratio_spread(y, np.full(n, 100.0)).standard_error == pytest.approx(expected)


def test_one_dominating_cluster_leaves_few_degrees_of_freedom():
    assert ratio_spread(of(5, 1, 1, 1), of(1000, 1, 1, 1)).degrees_of_freedom < 0.01
    assert ratio_spread(of(5, 1, 1, 1), of(10, 10, 10, 10)).degrees_of_freedom == pytest.approx(3)


def test_no_failures_give_the_rule_of_three():
    interval = share_interval(of(0, 0), of(500, 500))
    assert interval[:2] == (0, 0)
    assert interval.high == pytest.approx(3.689 / 1000, rel=2e-3)
    assert (1 - interval.high) ** 1000 == pytest.approx(0.025)
    mirrored = share_interval(of(500, 500), of(500, 500))
    assert mirrored == pytest.approx((1, 1 - interval.high, 1))


def test_equal_shares_do_not_collapse():
    interval = share_interval(of(5, 5, 5), of(100, 100, 100))
    assert interval.high - interval.low > 0.03


def test_one_replication_gives_no_interval():
    for function in (share_interval, ratio_interval):
        interval = function(of(1), of(4))
        assert interval.value == 0.25
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert math.isnan(mean_interval([1.0]).low)


def test_clusters_without_denominator_take_no_part():
    assert share_interval(of(1, 0, 2), of(10, 0, 10)) == share_interval(of(1, 2), of(10, 10))
    assert math.isnan(share_interval(of(0), of(0)).value)


def test_clopper_pearson_published():
    # Newcombe (1998): 81 of 263 and 0 of 20.
    assert clopper_pearson(81, 263) == pytest.approx((0.3080, 0.2527, 0.3676), abs=5e-5)
    assert clopper_pearson(0, 20) == pytest.approx((0, 0, 0.1684), abs=5e-5)


def test_unseen_share_is_what_n_draws_miss():
    assert (1 - unseen_share(40)) ** 40 == pytest.approx(0.025)
    assert unseen_share(1) == pytest.approx(0.975)


def test_quantile_by_hand():
    # Ten ones and ten twos in each of two replications: the median is the tenth of twenty.
    ordered, share_above = shares_above([of(*[1] * 10, *[2] * 10), of(*[1] * 10, *[2] * 10)])
    assert quantile_interval(ordered, 0.5, share_above) == (1, 1, 2)
    assert quantile_interval(ordered, 0.95, share_above) == (2, 2, 2)


def test_quantile_of_a_constant_is_certain():
    ordered, share_above = shares_above([np.full(50, 3.4)] * 3)
    assert quantile_interval(ordered, 0.99, share_above) == (3.4, 3.4, 3.4)


counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1000)), min_size=2, max_size=12)


@given(counts)
def test_shares_stay_in_range_and_hold_the_pooled_ratio(rows):
    y, x = (of(*column) for column in zip(*((a, a + b) for a, b in rows), strict=True))
    interval = share_interval(y, x)
    if x.sum() == 0:
        assert math.isnan(interval.value)
    else:
        assert interval.value == y.sum() / x.sum()
        if np.sum(x > 0) > 1:
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
            assert interval.low < interval.high


@given(counts, st.randoms())
def test_the_order_of_replications_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    for function in (share_interval, ratio_interval):
        a, b = (
            function(of(*(r[0] for r in order)), of(*(sum(r) for r in order))) for order in (rows, shuffled)
        )
        assert a == pytest.approx(b, nan_ok=True, rel=1e-6, abs=1e-12)


@given(counts)
def test_a_share_and_its_complement_mirror_each_other(rows):
    y, x = of(*(a for a, _ in rows)), of(*(a + b for a, b in rows))
    share, other = share_interval(y, x), share_interval(x - y, x)
    assert other == pytest.approx((1 - share.value, 1 - share.high, 1 - share.low), nan_ok=True, abs=1e-9)


@given(
    st.lists(
        st.lists(st.floats(0, 100, width=32), min_size=1, max_size=40).map(lambda v: np.array(v)),
        min_size=2,
        max_size=6,
    ),
    st.floats(0.01, 0.99),
)
def test_quantile_ends_are_observed_and_hold_the_value(samples, p):
    ordered, share_above = shares_above(samples)
    low, high = (quantile_interval(ordered, p, share_above)[i] for i in (1, 2))
    value = quantile_interval(ordered, p, share_above).value
    assert {value, low, high} <= set(ordered.tolist())
    assert low <= value <= high
    assert np.mean(ordered <= value) >= p - 1e-9
    assert np.mean(ordered < value) < p


def coverage_of_shares(runs, replications=20, p=1e-3, requests=20_000):
    rng = np.random.default_rng(7)
    y = rng.binomial(requests, p, (runs, replications)).astype(float)
    x = np.full(replications, float(requests))
    return np.mean([i.low <= p <= i.high for i in (share_interval(row, x) for row in y)])


def coverage_of_ratios(runs, replications=20):
    rng = np.random.default_rng(8)
    y = rng.lognormal(0, 0.8, (runs, replications, 200)).sum(axis=2)
    x = np.full(replications, 200.0)
    truth = math.exp(0.32)
    return np.mean([i.low <= truth <= i.high for i in (ratio_interval(row, x) for row in y)])


def coverage_of_quantiles(runs, replications=10, p=0.99):
    rng = np.random.default_rng(9)
    truth, hits = -math.log(1 - p), 0
    for _ in range(runs):
        ordered, share_above = shares_above(list(rng.exponential(1, (replications, 500))))
        interval = quantile_interval(ordered, p, share_above)
        hits += interval.low <= truth <= interval.high
    return hits / runs


@pytest.mark.parametrize("replications", [6, 20])
def test_coverage_of_independent_failures(replications):
    assert 0.934 <= coverage_of_shares(2000, replications) <= 0.966


def test_coverage_of_ratios():
    assert 0.92 <= coverage_of_ratios(600) <= 0.975


def test_coverage_of_quantiles():
    assert 0.92 <= coverage_of_quantiles(300) <= 0.985


@pytest.mark.slow
def test_coverage_of_ratios_in_full():
    assert 0.934 <= coverage_of_ratios(2000) <= 0.966


@pytest.mark.slow
def test_coverage_of_quantiles_in_full():
    assert 0.934 <= coverage_of_quantiles(2000) <= 0.966
