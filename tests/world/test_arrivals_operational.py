"""Renewal arrivals whose rate has a shape: stationary on the operational clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world.arriving import arriving, counts, spec_of

from simsla.scenario import Profile, Scenario, Surge
from simsla.world.arrivals.clock import OperationalClock
from simsla.world.arrivals.factors import ProfileFactor, SurgeFactor

DAY_S = 86_400.0
DAILY = {"00:00": 0.3, "14:00": 1.6}
WEEKLY = {"sat": 0.5, "sun": 0}


def gamma(cv=3.0, rate=1.0, **shape):
    return {"kind": "gamma", "rate": rate, "cv": cv, **shape}


def clock(profile=None, surges=()):
    factor = None if profile is None else ProfileFactor(Profile.model_validate(profile), 40_000.0)
    return OperationalClock(factor, [SurgeFactor(Surge.model_validate(surge)) for surge in surges])


def test_a_day_of_the_clock_by_hand():
    """From 0.2 to 1.8 in twelve hours and back, whose mean is 1: what is passed from noon to midnight is half
    of it, and from midnight to six a quarter of the way up."""
    of_day = OperationalClock(
        ProfileFactor(Profile.model_validate({"daily": {"00:00": 0.2, "12:00": 1.8}}), 0.0), []
    )
    assert of_day.operational(6 * 3600) == pytest.approx((0.2 + 1.0) / 2 * 6 * 3600, rel=1e-12)
    assert of_day.operational(12 * 3600) == pytest.approx(12 * 3600, rel=1e-12)
    assert of_day.operational(DAY_S) == pytest.approx(DAY_S, rel=1e-12)
    assert of_day.operational(1.5 * DAY_S) == pytest.approx(DAY_S + of_day.operational(DAY_S / 2), rel=1e-12)


def test_weeks_without_surges_are_as_long_as_real_ones():
    """Whatever the hour of the start, so that a late window is entered without the years before it."""
    of_world = clock({"daily": DAILY, "weekly": WEEKLY}, [{"at": "8d", "for": "2h", "factor": 3}])
    gained_s = of_world.operational(21 * DAY_S) - 21 * DAY_S
    assert of_world.operational(7 * DAY_S) == pytest.approx(7 * DAY_S, rel=1e-12)
    assert of_world.operational(7000 * DAY_S) == pytest.approx(7000 * DAY_S + gained_s, rel=1e-12)
    by_days = sum(of_world._day(number).integral[-1] for number in range(70))
    assert of_world.operational(70 * DAY_S) == pytest.approx(by_days, rel=1e-12)


def test_a_surge_adds_its_area():
    """Ten minutes at 8 with ramps of a minute: 7 x (10 - 1) minutes on top."""
    surge = {"at": "2h", "for": "10min", "factor": 8, "ramp": "1min"}
    ahead_s = clock(surges=[surge]).operational(DAY_S) - DAY_S
    assert ahead_s == pytest.approx(7 * 9 * 60, rel=1e-9)


@pytest.mark.parametrize("at", [0, 86_400])
@pytest.mark.parametrize("ramp", [5e-324, 1e-12])
def test_a_ramp_of_no_time_is_a_step(at, ramp):
    surge = {"at": at, "for": 60, "factor": 8}
    steep, step = clock(surges=[surge | {"ramp": ramp}]), clock(surges=[surge])
    moments = [at, at + 1e-12, at + 1, at + 60, 2 * DAY_S]
    assert [steep.operational(moment) for moment in moments] == [step.operational(each) for each in moments]


SHAPES = st.fixed_dictionaries(
    {
        "profile": st.none() | st.just({"daily": DAILY, "weekly": WEEKLY}),
        "surges": st.lists(
            st.builds(
                lambda at, length, factor, ramp: {
                    "at": at,
                    "for": length,
                    "factor": factor,
                    "ramp": ramp * length,
                },
                st.floats(0, 10 * DAY_S),
                st.floats(1, 3 * DAY_S),
                st.sampled_from([0.0, 0.2, 1.0, 5.0, 40.0]),
                st.floats(0, 0.5),
            ),
            max_size=3,
        ),
    }
).filter(lambda shape: shape["profile"] or shape["surges"])


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.lists(st.floats(0, 12 * DAY_S), min_size=2, max_size=20))
@example(
    {"profile": None, "surges": [{"at": 0.0, "for": 1.0, "factor": 0.0, "ramp": 5e-324}]},
    [0.0, 0.0],
)
def test_the_clock_never_goes_back_and_reads_both_ways(shape, moments):
    of_world = clock(**shape)
    moments = sorted(moments)
    operational = np.array([of_world.operational(at) for at in moments])
    assert (np.diff(operational) >= -1e-9 * (1 + operational[1:])).all()
    begin_s = moments[0]
    found = begin_s + of_world.since(begin_s, operational)
    again = np.array([of_world.operational(at) for at in found])
    assert again == pytest.approx(operational, rel=1e-9, abs=1e-4)


def test_the_hours_have_their_shares_and_the_mean_is_the_rate():
    moments, _ = arriving(gamma(0.5, profile={"daily": DAILY}), 0, 28 * DAY_S)
    hours = counts(moments % DAY_S, 3600, 24)
    middle = np.arange(24) + 0.5
    factor = np.where(middle < 14, 0.3 + 1.3 * middle / 14, 1.6 - 1.3 * (middle - 14) / 10) / 0.95
    # cv = 0.5: counts vary a quarter as much as those of a Poisson process.
    expected = 28 * 3600 * factor
    assert (np.abs(hours - expected) < 5 * np.sqrt(0.25 * expected)).all()
    assert len(moments) == pytest.approx(28 * DAY_S, rel=0.002)


def test_nothing_arrives_where_the_rate_is_nought():
    arrivals = gamma(profile={"weekly": WEEKLY}, surges=[{"at": "10:00", "for": "2h", "factor": 0}])
    moments, _ = arriving(arrivals, 0, 7 * DAY_S)
    hours = counts(moments, 3600, 7 * 24)
    assert set(np.flatnonzero(hours == 0).tolist()) == {10, 11, *range(6 * 24, 7 * 24)}


def test_the_index_of_dispersion_stays_the_square_of_the_cv():
    """Within 5 % of the 9 that was asked for, quarter of an hour by quarter of an hour."""
    moments, _ = arriving(gamma(3.0, profile={"daily": DAILY}), 0, 60 * DAY_S)
    by_day = counts(moments, 900, 60 * 96).reshape(60, 96).astype(float)
    index = by_day.var(axis=0, ddof=1).mean() / by_day.mean()
    assert index == pytest.approx(9, rel=0.05)


def test_without_a_shape_nothing_has_changed():
    """A surge that lies after the window is no surge, and the same requests have the same numbers."""
    plain, numbers = arriving(gamma(), 0, 50_000)
    shaped, others = arriving(gamma(surges=[{"at": "3d", "for": "1h", "factor": 5}]), 0, 50_000)
    assert numbers.tolist() == others.tolist()
    assert shaped == pytest.approx(plain, abs=1e-6)


def test_it_is_read_and_written():
    spec = spec_of(gamma(profile={"daily": DAILY}, surges=[{"at": "03:00", "for": "1h", "factor": 5}]))
    assert not spec.arrivals.steady
    assert spec_of(gamma()).arrivals.steady
    assert spec.arrivals.surges[0].at_s == 3 * 3600
    assert Scenario.json_schema()["$defs"]["GammaArrivals"]["properties"].keys() >= {"profile", "surges"}
