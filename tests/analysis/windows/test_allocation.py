"""How many windows each stratum gets."""

from __future__ import annotations

import numpy as np
import pytest

from simsla.analysis.windows.allocation import LEAST, UNSEEN, neyman

CELLS = np.array([10**9, 10**9])
ALIKE = np.ones(2)


def test_windows_are_in_proportion_to_the_spread_and_to_one_over_the_root_of_the_cost():
    spread, cost = np.array([3.0, 1.0]), np.array([100.0, 400.0])
    windows = neyman(spread, cost, CELLS, np.array([1e-12, 1e-12]), 1e7)
    searching = UNSEEN * 1e7 / (10 + 20) / np.sqrt(cost)
    assert (windows @ cost) == pytest.approx(1e7, rel=1e-3)
    found = windows - searching
    assert found[0] / found[1] == pytest.approx(3 * 2, rel=1e-2)


def test_without_failures_the_sum_of_the_bounds_is_least():
    hidden, cost = np.array([0.99, 1e-4]), np.array([200.0, 100.0])
    windows = neyman(np.zeros(2), cost, CELLS, hidden, 1e6)
    bound = (hidden / windows).sum()
    for shift in (-200, 200):
        other = windows + np.array([shift, -2 * shift])
        if (other > 0).all():
            assert (hidden / other).sum() > bound
    assert windows[0] > 20 * windows[1] > 0


def test_no_stratum_has_fewer_than_the_least_nor_more_than_all_its_cells():
    windows = neyman(np.array([1.0, 0.0]), ALIKE * 100, np.array([50, 2]), np.array([1.0, 1e-9]), 1e6)
    assert windows.tolist() == [50, 2]
    assert neyman(ALIKE, ALIKE * 100, CELLS, ALIKE, 0.0).tolist() == [LEAST, LEAST]


def test_no_more_windows_than_a_half_width_takes():
    spread = np.array([10.0, 5.0])
    windows = neyman(spread, ALIKE * 100, CELLS, ALIKE, 1e9, half_width=1.0)
    half = 1.96 * np.sqrt((spread**2 / windows).sum())
    assert 0.7 < half <= 1.0
