"""The definitions of availability, side by side on logs made by hand; and credits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import slo

INTERVALS = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 30)).map(lambda x: (x[0], x[0] + x[1])), max_size=6
)


def requests(counts, bad, window_s=300.0):
    """So many requests in each window, of them so many bad, spread evenly."""
    times, good = [], []
    for i, (n, failed) in enumerate(zip(counts, bad, strict=True)):
        times += [window_s * (i + k / n) for k in range(n)]
        good += [k >= failed for k in range(n)]
    return slo.Judged.of(times, good)


def test_definitions_differ():
    """A busy window with 1 % errors, a quiet one with half, one without requests, one that is fine."""
    judged = requests([1000, 2, 0, 100], [10, 1, 0, 0])
    span = {"start_s": 0, "end_s": 1200}
    errors = slo.window_errors(judged, 300, **span)
    assert errors[[0, 1, 3]].tolist() == pytest.approx([0.01, 0.5, 0])
    assert np.isnan(errors[2])
    assert slo.window_availability(judged, 0.05, **span) == 0.75
    assert slo.window_availability(judged, 0.01, **span) == 0.5
    assert slo.window_availability(judged, 0.6, **span) == 1
    assert slo.interval_availability(judged, **span) == pytest.approx((0.99 + 0.5 + 1 + 1) / 4)
    assert slo.by_period(judged, 1200, **span).tolist() == pytest.approx([1 - 11 / 1102])
    assert slo.by_period(judged, 600, **span).tolist() == pytest.approx([1 - 11 / 1002, 1])


def test_a_window_begins_with_its_edge_and_a_rest_is_left_out():
    judged = slo.Judged.of([0, 10, 20, 29], [False, True, False, False])
    assert slo.window_errors(judged, 10, start_s=0, end_s=29).tolist() == [1, 0]
    with pytest.raises(ValueError, match="window_s"):
        slo.window_errors(judged, 30, start_s=0, end_s=29)
    with pytest.raises(ValueError, match="error_share"):
        slo.window_availability(judged, 0, start_s=0, end_s=29)


def test_outages_of_a_log():
    """Down from the first failure in a row to the next success; what lasts, to the end."""
    judged = slo.Judged.of(range(10), [False, True, True, False, False, False, True, True, False, False])
    assert slo.outages(judged, end_s=12).tolist() == [[0, 1], [3, 6], [8, 12]]
    assert slo.outages(judged, failures=3, end_s=12).tolist() == [[3, 6]]
    assert slo.outages(judged, failures=2, end_s=12).tolist() == [[3, 6], [8, 12]]
    assert slo.outages(slo.Judged.of([], []), end_s=12).shape == (0, 2)
    down = slo.outages(judged, end_s=12)
    assert slo.time_availability(down, start_s=0, end_s=12) == pytest.approx(1 - 8 / 12)


def test_time_availability_counts_overlaps_once():
    assert slo.time_availability([(-5, 5), (3, 10), (95, 200)], start_s=0, end_s=100) == pytest.approx(0.85)
    assert slo.time_availability([], start_s=0, end_s=100) == 1


def test_major_and_partial():
    """10 s major, 20 s partial of which 5 s are major as well: 10 + 0.3 x 15."""
    found = slo.weighted_availability([(0, 10)], [(5, 20), (50, 55)], start_s=0, end_s=100)
    assert found == pytest.approx(1 - (10 + 0.3 * 15) / 100)
    assert slo.weighted_availability([], [(0, 100)], start_s=0, end_s=100) == pytest.approx(0.7)


@given(INTERVALS, INTERVALS, st.floats(0, 1))
def test_weighted_lies_between_all_and_major_alone(major, partial, weight):
    span = {"start_s": 0, "end_s": 100}
    weighted = slo.weighted_availability(major, partial, weight=weight, **span)
    strict = slo.time_availability([*major, *partial], **span)
    mild = slo.time_availability(major, **span)
    assert -1e-12 <= strict <= weighted + 1e-12
    assert weighted <= mild + 1e-12 <= 1 + 1e-11


@given(
    st.lists(st.tuples(st.floats(0, 999), st.booleans()), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
)
def test_a_looser_threshold_finds_more_windows_up(rows, share, other):
    judged = slo.Judged.of([t for t, _ in rows], [good for _, good in rows])
    low, high = sorted([share, other])
    strict, loose = (slo.window_availability(judged, x, 100, start_s=0, end_s=1000) for x in (low, high))
    assert 0 <= strict <= loose <= 1
    assert strict <= slo.interval_availability(judged, 100, start_s=0, end_s=1000) + high


@pytest.mark.parametrize(
    ("schedule", "credits"),
    [
        (slo.BEDROCK, {0.9995: 0, 0.999: 0, 0.9989: 0.1, 0.99: 0.1, 0.98: 0.25, 0.95: 0.25, 0.94: 1}),
        (slo.AZURE_OPENAI, {0.999: 0, 0.9989: 0.1, 0.98: 0.25, 0.94: 1}),
        (slo.GEMINI, {0.995: 0, 0.9949: 0.1, 0.98: 0.25, 0.94: 0.5, 0: 0.5}),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_published_schedules(schedule, credits):  # noqa: A002 - the contract's word
    for availability, credit in credits.items():
        assert schedule.credit(availability) == credit
    assert schedule.credit(list(credits)).tolist() == list(credits.values())
    assert schedule.promise == (0.995 if schedule is slo.GEMINI else 0.999)


def test_expected_credits():
    """Of 20 months 15 kept, 4 at 10 % and one at 25 %: 3.25 % of the bill."""
    months = [0.9999] * 15 + [0.9985] * 4 + [0.97, np.nan]
    share = slo.expected_credit(slo.BEDROCK, months)
    assert share.value == pytest.approx(0.0325)
    assert (share.n, share.unit) == (20, "share")
    assert 0 < share.ci_low < 0.0325 < share.ci_high < 0.2
    paid = slo.expected_credit(slo.BEDROCK, months, bill_usd=2000)
    assert paid.value == pytest.approx(65)
    assert paid.ci_high == pytest.approx(2000 * share.ci_high)
    assert paid.unit == "usd"


def test_months_without_a_miss_leave_a_bound_and_not_nothing():
    kept = slo.expected_credit(slo.GEMINI, [1.0] * 12)
    assert kept.value == 0
    assert 0.1 < kept.ci_high < 0.4
    assert "rule of three" in kept.method
    with pytest.raises(ValueError, match="at least one month"):
        slo.expected_credit(slo.GEMINI, [np.nan])


@pytest.mark.parametrize("bands", [(), ((0.9, 0.1), (0.99, 0.2)), ((0.99, 0.2), (0.9, 0.1)), ((1.2, 0.1),)])
def test_schedules_out_of_order_are_refused(bands):
    with pytest.raises(ValueError, match="bands"):
        slo.CreditSchedule("x", bands)


def test_composite_is_that_of_the_closed_forms():
    assert slo.composite_sla([0.999, 0.999]) == pytest.approx(0.998001)
