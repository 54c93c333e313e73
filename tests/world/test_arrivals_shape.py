"""Profiles of the day and the week, and surges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from world.arriving import arriving, counts

DAY_S = 86_400.0
DAILY = {"00:00": 0.3, "14:00": 1.6}


def agrees(found, expected):
    """Poisson counts against their means."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    statistic = ((found - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, len(found)) > 1e-3, (found, expected)


def test_the_hours_of_a_day_have_their_shares_and_the_mean_is_the_rate():
    arrivals = {"kind": "poisson", "rate": 0.5, "profile": {"daily": DAILY}}
    moments, _ = arriving(arrivals, 0, 14 * DAY_S)
    hours = counts(moments % DAY_S, 3600, 24)
    middle = np.arange(24) + 0.5
    # Straight from 0.3 at midnight to 1.6 at 14:00 and back in ten hours; the mean of a straight line is the
    # value in its middle, and the mean of the day (0.3 + 1.6) / 2.
    factor = np.where(middle < 14, 0.3 + 1.3 * middle / 14, 1.6 - 1.3 * (middle - 14) / 10)
    agrees(hours, 14 * 3600 * 0.5 * factor / 0.95)
    assert len(moments) == pytest.approx(14 * DAY_S * 0.5, rel=0.005)


def test_the_days_of_the_week_have_their_shares():
    arrivals = {"kind": "poisson", "rate": 0.2, "profile": {"weekly": {"sat": 0.5, "sun": 0}}}
    moments, _ = arriving(arrivals, 0, 14 * DAY_S)
    days = counts(moments % (7 * DAY_S), DAY_S, 7)
    assert days[6] == 0
    agrees(days[:6], 2 * DAY_S * 0.2 * np.array([1, 1, 1, 1, 1, 0.5]) * 7 / 5.5)


def test_days_and_hours_are_those_of_the_start():
    """2026-01-09 is a Friday: Sunday begins 30 hours after 18:00."""
    arrivals = {"kind": "poisson", "rate": 0.5, "profile": {"weekly": {"sun": 0}}}
    moments, _ = arriving(arrivals, 0, 4 * DAY_S, start="2026-01-09T18:00Z")
    hours = counts(moments, 3600, 96)
    assert np.flatnonzero(hours == 0).tolist() == list(range(30, 54))


def test_the_hour_of_a_surge_is_that_of_the_start_too():
    """20:00 is two hours after a start at 18:00; a duration counts from the start itself."""
    for at in ("20:00", "2h"):
        arrivals = {"kind": "poisson", "rate": 1, "surges": [{"at": at, "for": "1h", "factor": 0}]}
        moments, _ = arriving(arrivals, 0, DAY_S, start="2026-01-09T18:00Z")
        assert np.flatnonzero(counts(moments, 3600, 24) == 0).tolist() == [2]


def test_the_product_of_day_week_and_surge():
    arrivals = {
        "kind": "poisson",
        "rate": 1,
        "profile": {"daily": {"00:00": 0, "12:00": 2}, "weekly": {"sun": 4}},
        "surges": [{"at": "6d 06:00", "for": "6h", "factor": 3, "ramp": "3h"}],
    }
    moments, _ = arriving(arrivals, 0, 7 * DAY_S)
    sunday = counts(moments[moments >= 6 * DAY_S] - 6 * DAY_S, 3600, 24)
    at = (np.arange(24 * 60) + 0.5) / 60  # hours, minute by minute
    day = np.where(at < 12, at / 6, 4 - at / 6)
    surge = np.interp(at, [6, 9, 12], [1, 3, 1])
    per_hour = (day * surge * 4 * 7 / 10 * 60).reshape(24, 60).sum(axis=1)
    agrees(sunday, per_hour)


def test_a_flash_crowd():
    """The article's "8 times as many for ten minutes", with a minute up and a minute down."""
    surge = {"at": "2h", "for": "10min", "factor": 8, "ramp": "1min"}
    found = np.zeros(20)
    for replication in range(40):
        arrivals = {"kind": "poisson", "rate": 0.5, "surges": [surge]}
        moments, _ = arriving(arrivals, 7200 - 300, 7200 + 900, replication=replication)
        found += counts(moments - 6900, 60, 20)
    factor = np.array([1.0] * 5 + [4.5] + [8.0] * 8 + [4.5] + [1.0] * 5)
    agrees(found, 40 * 60 * 0.5 * factor)


def test_a_surge_of_nothing_and_surges_that_overlap():
    surges = [
        {"at": 1000, "for": 1000, "factor": 0},
        {"at": 3000, "for": 1000, "factor": 2},
        {"at": 3500, "for": 1000, "factor": 3},
    ]
    moments, _ = arriving({"kind": "poisson", "rate": 1, "surges": surges}, 0, 5000)
    found = counts(moments, 500, 10)
    assert found[2] == found[3] == 0
    rest = [0, 1, 4, 5, 6, 7, 8, 9]
    agrees(found[rest], 500 * np.array([1, 1, 1, 1, 2, 6, 3, 1]))


def test_a_surge_adds_to_the_rate_and_a_profile_does_not():
    def mean(**changes):
        return len(arriving({"kind": "poisson", "rate": 1} | changes, 0, DAY_S)[0]) / DAY_S

    assert mean(profile={"daily": {"00:00": 5, "12:00": 50}}) == pytest.approx(1, abs=0.015)
    assert mean(surges=[{"at": 0, "for": "1d", "factor": 2}]) == pytest.approx(2, abs=0.02)


def test_within_a_piece_arrivals_are_a_poisson_process():
    arrivals = {"kind": "poisson", "rate": 1, "surges": [{"at": 0, "for": "1d", "factor": 3}]}
    moments, _ = arriving(arrivals, 0, 10_000)
    assert stats.kstest(np.diff(moments), "expon", args=(0, 1 / 3)).pvalue > 1e-3
