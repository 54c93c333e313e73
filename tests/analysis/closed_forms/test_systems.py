"""Systems of parts: every number of validation.md, and what holds whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import closed_forms as cf

DAY, HOUR = 86_400.0, 3600.0
SHARES = st.floats(0, 1)
PARTS = st.lists(SHARES, min_size=1, max_size=6)
U = HOUR / (30 * DAY + HOUR)


def test_thirty_days_and_an_hour():
    unavailability = 1 - cf.steady_availability(30 * DAY, HOUR)
    assert unavailability == pytest.approx(1.3870e-3, abs=5e-8)
    assert unavailability == pytest.approx(U)
    assert 1 - cf.parallel([1 - U, 1 - U]) == pytest.approx(1.9237e-6, abs=5e-11)
    two = ([30 * DAY] * 2, [HOUR] * 2)
    assert cf.simultaneous_unavailability(*two) == pytest.approx(U**2)
    assert cf.simultaneous_outages(*two) == pytest.approx(0.0337, abs=5e-5)
    assert cf.simultaneous_outage_s([HOUR] * 2) == pytest.approx(1800)
    assert cf.simultaneous_outages(*two) * 1800 == pytest.approx(
        cf.simultaneous_unavailability(*two) * cf.YEAR_S
    )
    assert cf.expected_episodes(30 * DAY, HOUR, 721 * HOUR) == pytest.approx(1)


def test_double_outages_are_those_of_a_drawn_path():
    """Uptimes and repairs that are not exponential, and different parts: 3e6 s of states by hand."""
    rng = np.random.default_rng(1)
    up, down = np.array([40.0, 90.0]), np.array([20.0, 10.0])
    horizon, rows = 3e6, []
    for i in range(2):
        spells = np.empty(2 * int(1.2 * horizon / (up[i] + down[i])))
        spells[0::2] = rng.uniform(0, 2 * up[i], len(spells) // 2)
        spells[1::2] = rng.uniform(0, 2 * down[i], len(spells) // 2)
        rows.append(np.cumsum(spells))
    times = np.union1d(*rows)
    times = times[times < horizon]
    both = np.all([np.searchsorted(row, times, side="right") % 2 == 1 for row in rows], axis=0)
    lasting = np.diff(times, append=horizon)[both].sum()
    assert lasting / horizon == pytest.approx(cf.simultaneous_unavailability(up, down), rel=0.03)
    entered = (both & ~np.concatenate(([False], both[:-1]))).sum()
    assert entered == pytest.approx(cf.simultaneous_outages(up, down, horizon), rel=0.03)
    assert lasting / entered == pytest.approx(cf.simultaneous_outage_s(down), rel=0.03)


def test_how_long_a_crude_simulation_would_take():
    """768 double outages, for 10 % of exponential durations: 22,800 years, or 7e13 requests at 100/s."""
    years = 768 / cf.simultaneous_outages([30 * DAY] * 2, [HOUR] * 2)
    assert years == pytest.approx(22_800, rel=2e-3)
    assert f"{years * cf.YEAR_S * 100:.0e}" == "7e+13"


def test_the_formula_without_the_router():
    """Two providers, MTBF 1 h, MTTR 120 s."""
    assert f"{cf.simultaneous_unavailability([HOUR] * 2, [120] * 2):.2e}" == "1.04e-03"


@pytest.mark.parametrize(
    ("beta", "unavailability"), [(0.01, "1.58e-05"), (0.05, "7.11e-05"), (0.1, "1.40e-04")]
)
def test_beta_factor(beta, unavailability):
    assert f"{cf.beta_factor(U, beta):.2e}" == unavailability


def test_one_per_cent_of_shared_fate_costs_a_factor_of_eight():
    assert cf.beta_factor(U, 0.01) / cf.beta_factor(U, 0) == pytest.approx(8, abs=0.3)


def test_two_of_three():
    assert cf.k_of_n(2, [0.999] * 3) == pytest.approx(0.999997002, abs=5e-13)


@pytest.mark.parametrize(
    ("repairmen", "all_up", "all_down"), [(1, 0.819672, 0.016393), (2, 0.826446, 0.008264)]
)
def test_machine_repair(repairmen, all_up, all_down):
    states = cf.machine_repair(2, repairmen, 0.1)
    assert states[0] == pytest.approx(all_up, abs=5e-7)
    assert states[-1] == pytest.approx(all_down, abs=5e-7)
    assert cf.machine_repair_availability(2, repairmen, 0.1) == pytest.approx(1 - states[-1])
    assert cf.machine_repair_availability(2, repairmen, 0.1, needed=2) == pytest.approx(states[0])
    assert cf.machine_repair_availability(2, repairmen, 0.1, needed=0) == 1


@given(st.integers(1, 40), st.floats(1e-3, 1e3))
def test_with_a_repairman_for_each_machine_machines_are_independent(machines, load):
    states = cf.machine_repair(machines, machines, load)
    assert states.sum() == pytest.approx(1)
    assert states[0] == pytest.approx((1 / (1 + load)) ** machines)
    assert states @ np.arange(machines + 1) == pytest.approx(machines * load / (1 + load))
    assert np.isfinite(cf.machine_repair(1000, 1, load)).all()


@given(PARTS)
def test_series_is_the_worst_and_parallel_the_best(parts):
    n = len(parts)
    each = [cf.k_of_n(k, parts) for k in range(n + 1)]
    assert all(0 <= a <= 1 for a in each)
    assert each == sorted(each, reverse=True)
    assert each[0] == 1
    assert each[1] == pytest.approx(cf.parallel(parts), abs=1e-12)
    assert each[n] == pytest.approx(cf.series(parts), abs=1e-12)
    assert cf.series(parts) <= min(parts) <= max(parts) <= cf.parallel(parts) + 1e-12


@given(SHARES, SHARES, SHARES, st.integers(1, 5))
def test_beta_lies_between_independence_and_no_redundancy(u, beta, more, parts):
    low, high = sorted([beta, more])
    assert cf.beta_factor(u, 0, parts) == pytest.approx(u**parts)
    assert cf.beta_factor(u, 1, parts) == pytest.approx(u)
    assert 0 <= cf.beta_factor(u, low, parts) <= 1
    assert cf.beta_factor(u, beta, parts + 1) <= cf.beta_factor(u, beta, parts) + 1e-15
    if u < 0.1:  # common causes hurt where parts are reliable
        assert cf.beta_factor(u, low, parts) <= cf.beta_factor(u, high, parts) + 1e-15


def test_arrays_go_through():
    grid = np.array([[0.9, 0.9], [0.99, 0.5]])
    assert cf.series(grid) == pytest.approx([0.81, 0.495])
    assert cf.parallel(grid) == pytest.approx([0.99, 0.995])
    assert cf.k_of_n(1, grid) == pytest.approx([0.99, 0.995])
    assert cf.steady_availability(np.array([9.0, 99.0]), 1.0) == pytest.approx([0.9, 0.99])


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cf.series([0.9, 1.1]), "availabilities"),
        (lambda: cf.parallel([np.nan]), "availabilities"),
        (lambda: cf.k_of_n(4, [0.9] * 3), "k: expected at most 3"),
        (lambda: cf.k_of_n(-1, [0.9]), "k: expected a whole number >= 0"),
        (lambda: cf.steady_availability(0, 1), "uptime_s"),
        (lambda: cf.expected_episodes(1, -1, 1), "repair_s"),
        (lambda: cf.beta_factor(0.1, 2), "beta"),
        (lambda: cf.beta_factor(0.1, 0.1, 0), "parts"),
        (lambda: cf.machine_repair(0, 1, 1), "machines"),
        (lambda: cf.machine_repair(1, True, 1), "repairmen"),
        (lambda: cf.machine_repair(1, 1, 0), "load"),
        (lambda: cf.machine_repair_availability(2, 1, 1, needed=3), "needed"),
        (lambda: cf.composite_sla([0.9], [[]]), "redundant"),
    ],
)
def test_what_is_impossible_is_refused_by_name(call, names):
    with pytest.raises(ValueError, match=names):
        call()


def test_composite_sla():
    """A gateway before two providers; an empty promise is kept."""
    assert cf.composite_sla([0.999], [[0.995, 0.999]]) == pytest.approx(0.999 * (1 - 0.005 * 0.001))
    assert cf.composite_sla([0.9995, 0.9999]) == pytest.approx(0.9995 * 0.9999)
    assert cf.composite_sla() == 1
