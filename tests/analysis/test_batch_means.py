"""One long run: batches as long as their correlation asks for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.signal import lfilter
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, traffic

import simsla
from simsla.analysis import ratio_interval
from simsla.analysis.batch_means import COUNTS, batch_count, correlated
from simsla.analysis.drift import settled
from simsla.analysis.summary import BLOCKS
from simsla.analysis.warnings import CorrelatedBatchesWarning, SingleReplicationWarning

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


def ar1(rng, phi, shape):
    noise = rng.standard_normal(shape)
    noise[..., 0] /= np.sqrt(1 - phi**2)
    return lfilter([1], [1, -phi], noise)


def test_von_neumann_by_hand():
    # 1 .. 10: differences 1, squares 9; deviations 82.5: C = 1 - 9/165 = .945 against 1.28 x .284.
    assert correlated(np.arange(10.0))
    assert not correlated([1, -1] * 5)
    assert not correlated([3.0] * 10)
    assert not correlated([1.0, 2.0])
    assert correlated([np.nan, *np.arange(10.0), np.nan])


def test_independent_values_pass_as_often_as_they_should():
    rng = np.random.default_rng(1)
    found = np.mean([correlated(rng.standard_normal(25)) for _ in range(2000)])
    assert 0.08 < found < 0.12


def test_the_more_correlated_the_fewer_batches():
    rng = np.random.default_rng(2)

    def mean_count(phi):
        counts = [batch_count(ar1(rng, phi, (1, BLOCKS)) + 50, np.ones((1, BLOCKS)))[0] for _ in range(200)]
        return np.mean(counts)

    assert mean_count(0.0) > 23
    assert mean_count(0.5) > mean_count(0.9) + 2
    trend = np.arange(float(BLOCKS))[None]
    assert batch_count(trend, np.ones_like(trend)) == (COUNTS[-1], True)


def test_one_series_that_is_correlated_is_enough():
    rng = np.random.default_rng(3)
    steady, trend = rng.standard_normal(BLOCKS) + 50, np.arange(float(BLOCKS))
    assert batch_count(np.stack([steady, trend]), np.ones((2, BLOCKS)))[0] == COUNTS[-1]


def test_parts_without_requests_do_not_matter():
    sums, counts = np.zeros((1, BLOCKS)), np.zeros((1, BLOCKS))
    assert batch_count(sums, counts) == (COUNTS[0], False)


@pytest.fixture(scope="module")
def one():
    world = scenario(
        {"a": deployment(errors={500: 0.05}, latency={"total": exp(1)})}, {"chat": traffic(2.0)}, horizon=6000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simsla.simulate(world, patient, seed=3, replications=1)


def test_one_replication_has_no_interval_but_its_batches_have(one):
    assert np.isnan(one.availability.ci_low)
    found = one.batch_means()
    assert found.count in COUNTS
    assert found.batch_s * found.count == pytest.approx(6000 - one.scenario.warmup_s)
    assert found.availability.value == pytest.approx(one.availability.value)
    assert found.availability.ci_low < 0.95 < found.availability.ci_high
    assert found.availability.half_width < 0.01
    assert "across batches" in found.availability.method
    assert found.latency(0.99).value == one.latency(0.99).value
    assert found.latency(0.99).ci_low < found.latency(0.99).value < found.latency(0.99).ci_high
    assert set(found.metrics) == set(one.metrics)
    for name in ("amplification", "cost_usd_per_day", "ttft_p99_s", "requests_per_day"):
        assert found.metrics[name].value == pytest.approx(one.metrics[name].value, nan_ok=True)
    assert repr(found).startswith("<BatchMeans of tiny")


def test_batches_are_refused_where_there_is_something_better_or_no_log(one):
    world = scenario(horizon=10)
    with pytest.raises(ValueError, match="2 replications"):
        simsla.simulate(world, patient, replications=2).batch_means()
    with pytest.raises(RuntimeError, match="keep_logs"):
        simsla.simulate(world, patient, replications=1, keep_logs=False).batch_means()
    with pytest.raises(KeyError):
        one.batch_means().estimate("no_such_metric")


def test_a_queue_that_never_settles_says_so():
    world = scenario(
        {"a": deployment(max_concurrency=1, latency={"total": exp(1)})},
        {"chat": traffic(1.5, deadline=5000)},
        horizon=1000,
    )
    result = simsla.simulate(world, patient, replications=1)
    with pytest.warns(CorrelatedBatchesWarning, match="too short"):
        found = result.batch_means()
    assert found.count == COUNTS[-1]


def test_the_refusal_points_to_batch_means():
    with pytest.warns(SingleReplicationWarning, match="batch_means"):
        simsla.simulate(scenario(horizon=10), patient, replications=1)


# MSER


def test_mser_finds_the_end_of_a_transient():
    rng = np.random.default_rng(4)
    flat = rng.standard_normal((10, BLOCKS)) * 0.1 + 10
    transient = flat.copy()
    transient[:, :20] += np.linspace(5, 0, 20)
    assert 0.15 <= settled(transient) <= 0.25
    assert settled(flat) < 0.1
    assert settled(flat + np.linspace(0, 50, BLOCKS)) is None


def test_a_result_says_when_it_had_settled():
    world = scenario(
        {"a": deployment(max_concurrency=4, latency={"total": exp(1)})},
        {"chat": traffic(3.8, deadline=5000)},
        horizon=600,
    )
    result = simsla.simulate(world, patient, replications=6)
    assert result.settled_s is None or 0 <= result.settled_s <= 300


# Coverage


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_coverage_of_batch_means(phi):
    """The automatic batch holds the truth in about 95 % of 2,000 runs, of 40 correlation times or more."""
    rng, held = np.random.default_rng(6), 0
    long = ar1(rng, phi, (2000, BLOCKS * 20)) + 50
    counts = np.full((1, BLOCKS), 20.0)
    for row in long:
        sums = row.reshape(1, BLOCKS, 20).sum(axis=2)
        number, _ = batch_count(sums, counts)
        y, x = (rows.reshape(number, -1).sum(axis=1) for rows in (sums, counts))
        interval = ratio_interval(y, x)
        held += interval.low <= 50 <= interval.high
    assert 0.934 <= held / 2000 <= 0.966
