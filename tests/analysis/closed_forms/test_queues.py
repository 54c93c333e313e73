"""Queues: the tables of validation.md to the digits given there, and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import closed_forms as cf

LOADS = st.floats(0.01, 0.98)
SERVERS = st.integers(1, 30)


def digits(value: float, text: str) -> bool:
    """The value rounds to the digits of the text."""
    decimals = len(text.partition(".")[2])
    return abs(value - float(text)) <= 0.5000001 * 10**-decimals


@pytest.mark.parametrize(
    ("servers", "load", "p_wait", "mean", "p99_wait", "p99_sojourn"),
    [
        (1, 0.8, ".8", "4", "21.91", "23.03"),
        (2, 0.8, ".7111", "1.7778", "10.66", "11.94"),
        (8, 0.8, ".457645", ".286028", "2.3897", "5.1522"),
        (8, 0.95, ".844169", "2.11042", "11.089", "12.366"),
    ],
)
def test_mmc(servers, load, p_wait, mean, p99_wait, p99_sojourn):
    queue = (servers, servers * load, 1.0)
    assert digits(cf.mmc_wait_probability(*queue), p_wait)
    assert digits(cf.mmc_mean_wait_s(*queue), mean)
    assert digits(cf.mmc_wait_quantile_s(0.99, *queue), p99_wait)
    assert digits(cf.mmc_sojourn_quantile_s(0.99, *queue), p99_sojourn)
    assert cf.mmc_mean_sojourn_s(*queue) == pytest.approx(cf.mmc_mean_wait_s(*queue) + 1)


@pytest.mark.parametrize(("cv_squared", "wait"), [(0, "2.0"), (1, "4.0"), (math.e - 1, "5.4366")])
def test_pollaczek_khinchine(cv_squared, wait):
    assert digits(cf.mg1_mean_wait_s(0.8, 1.0, cv_squared), wait)


def test_erlang_b():
    assert digits(cf.erlang_b(8, 6.4), ".144394")
    assert cf.erlang_c(8, 6.4) == pytest.approx(cf.mmc_wait_probability(8, 6.4, 1))


@pytest.mark.parametrize(("choices", "sojourn"), [(1, "10"), (2, "2.6141"), (3, "2.0279")])
def test_power_of_d(choices, sojourn):
    assert digits(cf.power_of_d_mean_sojourn(0.9, choices), sojourn)


@given(LOADS)
def test_one_server_is_mm1(load):
    queue = (1, load, 1.0)
    assert cf.mmc_wait_probability(*queue) == pytest.approx(load)
    assert cf.mmc_mean_sojourn_s(*queue) == pytest.approx(1 / (1 - load))
    assert cf.mmc_mean_wait_s(*queue) == pytest.approx(cf.mg1_mean_wait_s(load, 1.0, 1.0))
    assert cf.mmc_sojourn_quantile_s(0.99, *queue) == pytest.approx(math.log(100) / (1 - load))
    assert cf.mgc_ps_mean_sojourn_s(*queue) == pytest.approx(1 / (1 - load))
    assert cf.power_of_d_mean_sojourn(load, 1) == pytest.approx(1 / (1 - load))


@given(SERVERS, LOADS, st.floats(0.0, 0.999))
def test_quantiles_invert_and_sojourns_exceed_waits(servers, load, p):
    queue = (servers, servers * load, 1.0)
    sojourn = cf.mmc_sojourn_quantile_s(p, *queue)
    assert cf.mmc_sojourn_survival(sojourn, *queue) == pytest.approx(1 - p, abs=1e-9)
    assert sojourn >= cf.mmc_wait_quantile_s(p, *queue)
    if p == 0:
        assert sojourn == pytest.approx(0, abs=1e-12)


@given(SERVERS, LOADS)
def test_the_mean_sojourn_is_the_area_below_the_survival(servers, load):
    queue = (servers, servers * load, 1.0)
    mean = cf.mmc_mean_sojourn_s(*queue)
    t = np.concatenate(([0.0], np.geomspace(1e-6, 60 * mean, 4000)))
    beyond = cf.mmc_sojourn_survival(t, *queue)
    assert np.all(np.diff(beyond) <= 1e-12)
    assert np.trapezoid(beyond, t) == pytest.approx(mean, rel=2e-3)


def test_equal_rates_are_no_special_case():
    """Where the backlog drains at the rate of one server, the usual formula divides by zero."""
    at, near = ((2, load, 1.0) for load in (1.0, 1.0 + 1e-9))
    assert cf.mmc_sojourn_quantile_s(0.99, *at) == pytest.approx(cf.mmc_sojourn_quantile_s(0.99, *near))


@given(st.integers(0, 60), st.floats(0, 80), st.floats(0, 80))
def test_erlang_b_is_a_share_that_grows_with_the_load_and_falls_with_servers(servers, load, more):
    low, high = sorted([load, more])
    assert 0 <= cf.erlang_b(servers, low) <= cf.erlang_b(servers, high) + 1e-15 <= 1 + 1e-15
    assert cf.erlang_b(servers + 1, load) <= cf.erlang_b(servers, load)
    assert cf.erlang_b(0, load) == 1


@given(SERVERS, LOADS)
def test_waiting_is_more_likely_than_being_blocked(servers, load):
    blocked, waits = cf.erlang_b(servers, servers * load), cf.erlang_c(servers, servers * load)
    assert blocked <= waits <= 1


@given(st.floats(0, 0.99), st.integers(1, 6))
def test_choices_never_hurt(load, choices):
    assert 1 <= cf.power_of_d_mean_sojourn(load, choices + 1) <= cf.power_of_d_mean_sojourn(load, choices)


def test_processor_sharing_is_fair():
    """A job of twice the work takes twice as long, at any load."""
    assert cf.mgc_ps_mean_sojourn_s(4, 3.0, 1.0, 2.0) == pytest.approx(
        2 * cf.mgc_ps_mean_sojourn_s(4, 3.0, 1.0)
    )


def test_arrays_go_through():
    loads = np.array([0.5, 0.8])
    assert cf.mmc_mean_wait_s(1, loads, 1.0) == pytest.approx([1, 4])
    assert cf.mmc_sojourn_quantile_s(np.array([0.5, 0.99]), 1, loads, 1.0) == pytest.approx(
        [2 * math.log(2), 5 * math.log(100)]
    )
    assert cf.power_of_d_mean_sojourn(loads, 2).shape == (2,)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cf.erlang_c(2, 2), "load"),
        (lambda: cf.mmc_mean_wait_s(1, 1, 1), "load"),
        (lambda: cf.mg1_mean_wait_s(2, 1, 1), "load"),
        (lambda: cf.mg1_mean_wait_s(0.5, 1, -1), "cv_squared"),
        (lambda: cf.mmc_wait_quantile_s(1, 1, 0.5, 1), "p: expected"),
        (lambda: cf.power_of_d_mean_sojourn(1, 2), "load"),
        (lambda: cf.erlang_b(-1, 1), "servers"),
        (lambda: cf.mmc_sojourn_survival(-1, 1, 0.5, 1), "t_s"),
    ],
)
def test_what_is_impossible_is_refused_by_name(call, names):
    with pytest.raises(ValueError, match=names):
        call()
