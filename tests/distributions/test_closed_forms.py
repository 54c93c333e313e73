"""Means, quantiles and tails against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from simsla.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    Mixture,
    Shifted,
    Uniform,
    Weibull,
)

P = np.array([1e-9, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999, 1 - 1e-9])

REFERENCES = [
    (Exponential.of(mean=2.5), stats.expon(scale=2.5)),
    (Exponential.of(rate=4.0), stats.expon(scale=0.25)),
    (LogNormal(0.23, 1.17), stats.lognorm(1.17, scale=math.exp(0.23))),
    (LogNormal.of(median=3.0, sigma=0.5), stats.lognorm(0.5, scale=3.0)),
    (LogNormal.of(mean=3.0, sigma=0.5), stats.lognorm(0.5, scale=3.0 * math.exp(-0.125))),
    (Weibull(0.65, 92.5), stats.weibull_min(0.65, scale=92.5)),
    (Uniform(2.0, 7.0), stats.uniform(2.0, 5.0)),
    (Gamma(0.3, 2.0), stats.gamma(0.3, scale=2.0)),
    (Gamma(40.0, 0.1), stats.gamma(40.0, scale=0.1)),
    (Gamma.of(mean=6.0, cv=0.5), stats.gamma(4.0, scale=1.5)),
    (Shifted(1.5, Exponential.of(mean=2.0)), stats.expon(1.5, 2.0)),
]


@pytest.mark.parametrize(("ours", "reference"), REFERENCES, ids=[repr(ours) for ours, _ in REFERENCES])
def test_agrees_with_the_reference(ours: Distribution, reference: object) -> None:
    quantiles = np.array([ours.quantile(float(p)) for p in P])
    assert quantiles == pytest.approx(reference.ppf(P), rel=1e-6)
    assert ours.mean() == pytest.approx(reference.mean(), rel=1e-12)
    assert ours.cdf(quantiles) == pytest.approx(P, rel=1e-6)
    assert ours.sf(quantiles) == pytest.approx(reference.sf(quantiles), rel=1e-9)
    assert ours.support() == reference.support()


def test_lognormal_has_the_mean_and_p99_asked_for() -> None:
    latency = LogNormal.of(mean=1.2, p99=3.4)
    assert latency.mean() == pytest.approx(1.2, rel=1e-12)
    assert latency.quantile(0.99) == pytest.approx(3.4, rel=1e-12)
    integral, _ = integrate.quad(lambda x: float(latency.sf(np.array([x]))[0]), 0, np.inf)
    assert integral == pytest.approx(1.2, rel=1e-7)
    below, _ = integrate.quad(latency.quantile, 0.0, 1 - 1e-9, limit=500)
    assert below == pytest.approx(1.2, rel=1e-5)


def test_lognormal_takes_the_lighter_of_the_two_tails() -> None:
    assert LogNormal.of(mean=1.0, p99=14.9).sigma < stats.norm.ppf(0.99)


def test_median_and_p99() -> None:
    first_token = LogNormal.of(median=0.21, p99=0.47)
    assert first_token.quantile(0.5) == pytest.approx(0.21)
    assert first_token.quantile(0.99) == pytest.approx(0.47)


def test_constant() -> None:
    assert Constant(3.0).ppf(np.array([0.0, 0.5])).tolist() == [3.0, 3.0]
    assert Constant(3.0).cdf(np.array([2.9, 3.0])).tolist() == [0.0, 1.0]
    assert Constant(3.0).mean() == 3.0


def test_unit_multiplies_the_outcome() -> None:
    hours = Weibull(0.65, 92.5, unit="h")
    plain = Weibull(0.65, 92.5)
    u = np.array([0.1, 0.9])
    assert hours.ppf(u) == pytest.approx(3600 * plain.ppf(u))
    assert hours.mean() == pytest.approx(3600 * plain.mean())
    assert hours.quantile(0.7) == pytest.approx(3600 * plain.quantile(0.7))
    assert hours.cdf(hours.ppf(u)) == pytest.approx(u)
    assert Uniform(1, 2, unit="ms").support() == pytest.approx((0.001, 0.002))


def test_infinite_means_are_said_to_be_infinite() -> None:
    assert LogNormal(0.0, 60.0).mean() == math.inf
    assert Weibull(0.001, 1.0).mean() == math.inf


def test_empirical_keeps_the_mean_and_the_extremes() -> None:
    values = (5.0, 1.0, 2.0, 2.0, 40.0)
    measured = Empirical(values)
    u = (np.arange(200_000) + 0.5) / 200_000
    outcomes = measured.ppf(u)
    assert measured.mean() == pytest.approx(10.0)
    assert outcomes.mean() == pytest.approx(10.0, rel=1e-6)
    assert outcomes.min() == 1.0
    assert outcomes.max() == 40.0
    assert measured.quantile(0.3) == 2.0
    assert measured.quantile(0.5) == 2.0
    assert measured.quantile(0.6) == pytest.approx(3.5)
    assert measured.cdf(np.array([0.9, 1.0, 1.9999, 2.0, 3.5, 40.0, 41.0])) == pytest.approx(
        [0.0, 0.1, 0.29998, 0.5, 0.6, 1.0, 1.0]
    )


def test_one_value_is_a_constant() -> None:
    assert Empirical((7.0,)).ppf(np.array([0.0, 0.3, 0.999])).tolist() == [7.0, 7.0, 7.0]


def test_mixture_mean_is_exact_and_weights_are_relative() -> None:
    mixture = Mixture(((9.0, Exponential.of(mean=1.0)), (1.0, Constant(31.0)), (0.0, Constant(1e9))))
    assert mixture.mean() == pytest.approx(4.0, rel=1e-15)
    assert mixture.support()[1] == math.inf
    assert float(mixture.cdf(np.array([1.0]))[0]) == pytest.approx(0.9 * (1 - math.exp(-1)))


def test_mixture_quantiles_invert_its_distribution_function() -> None:
    mixture = Mixture(((0.97, LogNormal.of(mean=1.2, p99=3.4)), (0.03, LogNormal.of(median=55, sigma=0.3))))
    for p in (1e-9, 0.5, 0.96, 0.98, 1 - 1e-9):
        x = np.array([mixture.quantile(p)])
        assert float(mixture.cdf(x)[0]) == pytest.approx(p, rel=1e-9)
    tail = np.array([mixture.quantile(1 - 1e-9)])
    assert float(mixture.sf(tail)[0]) == pytest.approx(1e-9, rel=1e-6)


def test_mixture_with_a_gap_never_answers_from_the_gap() -> None:
    mixture = Mixture(((0.5, Uniform(0, 1)), (0.5, Uniform(10, 11))))
    outcomes = mixture.sample(1, 200_000)
    assert not np.any((outcomes > 1.0001) & (outcomes < 9.9999))
    assert np.mean(outcomes > 5) == pytest.approx(0.5, abs=0.006)


def test_mixture_of_constants_has_the_right_shares() -> None:
    mixture = Mixture(((0.3, Constant(1)), (0.4, Constant(2)), (0.3, Constant(3))))
    outcomes = mixture.ppf((np.arange(1000) + 0.5) / 1000)
    assert [int(np.isclose(outcomes, value).sum()) for value in (1, 2, 3)] == [300, 400, 300]
