"""Counts by minute stand for a log, as far as whole minutes go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import slo

rows = st.lists(
    st.integers(0, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=30
)


def as_log(minutes):
    """Every request at the moment at which its minute is over, when it is counted."""
    times = [60.0 * (i + 1) for i, (total, _) in enumerate(minutes) for _ in range(total)]
    good = [k >= bad for total, bad in minutes for k in range(total)]
    return slo.Judged.of(times, good)


@given(rows, st.floats(-100, 2000), st.floats(0, 2000))
def test_they_count_what_a_log_counts(minutes, start, length):
    counted, log = slo.CountedMinutes.of(minutes), as_log(minutes)
    assert len(counted) == len(log)
    assert counted.bad == log.bad
    assert counted.seconds == 60 * len(minutes)
    # Edges within a microsecond of a whole minute are that minute's.
    if abs(start % 60) > 1e-3 and abs((start + length) % 60 - 60) > 1e-3:
        assert counted.counts(start, start + length) == log.counts(start, start + length)


@given(rows, st.sampled_from([0.9, 0.99, 0.999]))
def test_alerts_and_budgets_are_those_of_a_log(minutes, target):
    counted, log = slo.CountedMinutes.of(minutes), as_log(minutes)
    span = {"start_s": 0.0, "end_s": 60.0 * len(minutes)}
    assert slo.alerts(counted, target, **span) == slo.alerts(log, target, **span)
    assert slo.error_budget(counted, target) == slo.error_budget(log, target)


def test_windows_and_periods_of_minutes():
    counted = slo.CountedMinutes.of([(10, 0), (10, 5), (0, 0), (10, 10)])
    assert slo.by_period(counted, 120.0, start_s=0, end_s=240) == pytest.approx([0.75, 0.0])
    assert np.isnan(slo.window_errors(counted, 60.0, start_s=0, end_s=240)[2])


@pytest.mark.parametrize("wrong", [[1, 2, 3], np.zeros((2, 3)), np.zeros((1, 2, 2))])
def test_other_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="rows of"):
        slo.CountedMinutes.of(wrong)
