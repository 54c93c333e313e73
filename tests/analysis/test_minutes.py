"""Availability by the clock."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of, random_log

from simsla.analysis import Metrics, summarise
from simsla.analysis.slo import Judged, window_availability
from simsla.records import OUTCOMES

HOUR = 3600.0


def at(minute, count, failed=0, **changes):
    """Requests of one minute, some of which fail."""
    rows = [{"arrival_s": 60 * minute + 50 * i / count} | changes for i in range(count)]
    return [
        row | ({"outcome": "error", "deployment": -1} if i < failed else {}) for i, row in enumerate(rows)
    ]


def values(rows, end_s=HOUR, **changes):
    metrics = Metrics([summarise(log_of(rows), start_s=0, end_s=end_s)] * 2)
    names = ("availability_windows", "availability_time", "availability_weighted")
    return [metrics.estimate(name, **changes).value for name in names]


def test_a_bad_minute_is_a_bad_window_and_more_or_less_of_an_outage():
    quiet = at(1, 100) + at(30, 100)
    assert values(quiet) == [1, 1, 1]
    assert values(quiet + at(20, 100, failed=4)) == [1, 1, 1]
    assert values(quiet + at(20, 100, failed=5)) == pytest.approx([11 / 12, 1, 1 - 0.3 / 60])
    assert values(quiet + at(20, 100, failed=49)) == pytest.approx([11 / 12, 1, 1 - 0.3 / 60])
    assert values(quiet + at(20, 100, failed=50)) == pytest.approx([11 / 12, 59 / 60, 59 / 60])


def test_windows_count_requests_and_not_minutes():
    assert values(at(20, 10, failed=1) + at(21, 990))[0] == 1


def test_requests_that_could_never_succeed_count_for_nothing():
    assert values(at(20, 10, failed=10, valid=False)) == [1, 1, 1]


def test_a_class_has_minutes_of_its_own():
    rows = at(20, 10, failed=10, request_class="batch") + at(20, 10)
    assert values(rows, request_class="chat") == [1, 1, 1]
    assert values(rows, request_class="batch")[1] == pytest.approx(59 / 60)


def test_a_time_shorter_than_a_window_is_one_window():
    assert values(at(0, 10, failed=1), end_s=59)[0] == 0
    assert values(at(0, 10), end_s=0.5 * 60) == [1, 1, 1]
    # What is left over after whole windows counts in none.
    assert values(at(6, 10, failed=10), end_s=400)[0] == 1


def test_as_contracts_count_it():
    """The same as from a log, for any window and threshold."""
    log = random_log(np.random.default_rng(4), 5000, 6 * HOUR, failing=0.04)
    metrics = Metrics([summarise(log, start_s=0, end_s=6 * HOUR)] * 2)
    valid = log.requests["valid"]
    good = np.isin(log.requests["outcome"], [OUTCOMES.index("ok")])
    judged = Judged.of(log.requests["arrival_s"][valid], good[valid])
    for window_s, share in ((60, 0.1), (300, 0.05), (600, 0.05), (3600, 0.04)):
        found = metrics.window_availability(window_s, share)
        told = window_availability(judged, share, window_s, start_s=0, end_s=6 * HOUR)
        assert found.value == pytest.approx(told)
        assert 0 < found.value < 1
    assert metrics.window_availability() == metrics.estimate("availability_windows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_s": 90}, r"window_s: expected a whole number of minutes .* got 90"),
        ({"window_s": 0}, "window_s"),
        ({"window_s": float("nan")}, "window_s"),
        ({"error_share": 0}, r"error_share: expected a share in \(0, 1\], got 0"),
        ({"error_share": 1.1}, "error_share"),
    ],
)
def test_windows_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        Metrics([summarise(log_of([{}]), start_s=0, end_s=60)]).window_availability(**arguments)
