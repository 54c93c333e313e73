"""Budgets and burn-rate alerts on logs made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.analysis import slo

HOUR, DAY = 3600.0, 86_400.0
FAST, SLOW, TICKET = slo.WORKBOOK_RULES


def every_second(seconds, bad):
    """One request a second from 1 on; those of some seconds are bad."""
    good = np.ones(int(seconds), dtype=bool)
    good[np.asarray(list(bad), dtype=int) - 1] = False
    return slo.Judged.of(np.arange(1, int(seconds) + 1), good)


def one_in(n, start, end):
    """Every n-th second of (start, end]."""
    return range(int(start) + n, int(end) + 1, n)


def test_the_workbooks_rules():
    rules = [(r.severity, r.rate, r.long_s, r.short_s) for r in slo.WORKBOOK_RULES]
    assert rules == [
        ("page", 14.4, HOUR, 5 * 60),
        ("page", 6, 6 * HOUR, 30 * 60),
        ("ticket", 1, 3 * DAY, 6 * HOUR),
    ]


def test_a_budget():
    budget = slo.error_budget(every_second(10_000, [1, 2, 3, 4]), 0.999)
    assert budget.allowed == pytest.approx(10)
    assert budget.spent == pytest.approx(0.4)
    assert budget.remaining == pytest.approx(0.6)
    assert str(budget) == "4 of 10,000 bad where 99.9 % allows 10: 40 % of the budget spent"
    assert math.isnan(slo.error_budget(slo.Judged.of([], []), 0.999).spent)


def test_a_budget_goes_as_requests_fail():
    judged = every_second(1000, [10, 500, 501])
    path = slo.budget_path(judged, 0.99, [5, 10, 500, 1000], start_s=0, end_s=1000, period_s=2000)
    assert path.tolist() == pytest.approx([0, 0.05, 0.1, 0.15])
    nothing = slo.Judged.of([], [])
    assert np.isnan(slo.budget_path(nothing, 0.99, [1, 2], start_s=0, end_s=9)).all()


def test_burn_rates_of_windows():
    judged = every_second(1000, range(901, 911))
    rates = slo.burn_rates(judged, 0.99, [900, 905, 1000, 2000], 100)
    assert rates.tolist() == pytest.approx([0, 5, 10, 0])


@pytest.mark.parametrize(
    ("n", "rule", "spent"), [(50, FAST, 0.02), (125, SLOW, 0.05), (500, TICKET, 0.1)], ids=lambda x: str(x)
)
def test_a_steady_burn_fires_when_the_workbook_says(n, rule, spent):
    """However fast it burns, the budget is gone to the rule's share: 2, 5 and 10 %.

    Before, the long window is full of good requests: at 20 x, 14.4 x is reached after 14.4 / 20 of an hour.
    """
    begin, end = 3 * DAY, 6 * DAY
    judged = every_second(end, one_in(n, begin, end))
    fired = slo.alerts(judged, 0.999, [rule], start_s=0, end_s=end)
    assert len(fired) == 1
    burn = 1000 / n
    after = rule.rate / burn * rule.long_s
    assert after < fired[0].start_s - begin <= after + 60 + n
    assert fired[0].end_s == math.inf
    assert fired[0].budget_spent == pytest.approx(spent, rel=0.02)


def test_an_outage_fires_every_rule_and_ends_with_the_short_window():
    """Ten minutes of full outage after four days, over a budget of 43.2 minutes."""
    begin, end = 4 * DAY, 5 * DAY
    judged = every_second(end, range(int(begin) + 1, int(begin) + 601))
    fired = slo.alerts(judged, 0.999, start_s=0, end_s=end)
    by_rule = {alert.rule: alert for alert in fired}
    assert len(fired) == len(by_rule) == 3
    fast, slow, ticket = (by_rule[rule] for rule in slo.WORKBOOK_RULES)
    # 1.44 % of an hour is 51.84 s, .6 % of six hours 129.6 s, .1 % of three days 259.2 s.
    assert [a.start_s - begin for a in (fast, slow, ticket)] == [60, 180, 300]
    # Each ends when the short window holds no more of the outage than it allows, to a minute.
    ends = [a.end_s - begin - 600 for a in (fast, slow, ticket)]
    assert ends == pytest.approx([300, 1800, 6 * HOUR], abs=60)
    assert fast.budget_spent == pytest.approx(60 / 2592)
    assert [a.start_s for a in fired] == sorted(a.start_s for a in fired)


def test_a_blip_that_is_over_fires_nothing():
    """Twenty bad requests in a row: 6.7 % of five minutes, .6 % of an hour."""
    judged = every_second(DAY, range(40_000, 40_020))
    assert slo.alerts(judged, 0.999, start_s=0, end_s=DAY) == []


def test_a_rule_fires_again():
    bad = [*range(10_001, 10_301), *range(30_001, 30_301)]
    fired = slo.alerts(every_second(DAY, bad), 0.999, [FAST], start_s=0, end_s=DAY)
    assert [round(alert.start_s / 1000) for alert in fired] == [10, 30]
    assert [alert.budget_spent for alert in fired] == pytest.approx([80 / 2592, 360 / 2592])
    frame = slo.alerts_frame(fired)
    assert list(frame["rule"]) == ["page 1 h / 5 min"] * 2
    assert list(frame["severity"]) == ["page", "page"]
    assert list(slo.alerts_frame([])) == list(frame)


def test_exactly_the_threshold_is_not_faster():
    """A burn rate of exactly 10 over both windows."""
    rule = slo.BurnRule("ten", "page", 10, 1000, 100)
    judged = every_second(5000, one_in(10, 0, 5000))
    assert slo.alerts(judged, 0.99, [rule], start_s=0, end_s=5000, every_s=100) == []
    below = slo.BurnRule("nine", "page", 9.9, 1000, 100)
    assert len(slo.alerts(judged, 0.99, [below], start_s=0, end_s=5000, every_s=100)) == 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 5000), st.booleans()), max_size=120), st.floats(0.5, 0.999))
def test_alerts_are_those_of_a_plain_loop(rows, target):
    rule = slo.BurnRule("r", "page", 1.5, 600, 60)
    judged = slo.Judged.of([t for t, _ in rows], [good for _, good in rows])
    fired = slo.alerts(judged, target, [rule], start_s=0, end_s=5000, every_s=50)
    on, found = False, []
    for t in range(50, 5001, 50):
        burning = True
        for window in (600, 60):
            flags = [good for at, good in rows if t - window < at <= t]
            share = flags.count(False) / len(flags) if flags else 0
            burning = burning and share / (1 - target) > 1.5 * (1 + 1e-9)
        if burning and not on:
            found.append([t, math.inf])
        if on and not burning:
            found[-1][1] = t
        on = burning
    assert [[alert.start_s, alert.end_s] for alert in fired] == found


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: slo.error_budget(every_second(9, []), 1.0), "target"),
        (lambda: slo.BurnRule("x", "page", 0, 60, 6), "rate"),
        (lambda: slo.BurnRule("x", "page", 1, 60, 61), "short_s"),
        (lambda: slo.alerts(every_second(9, []), 0.9, start_s=0, end_s=9, every_s=0), "every_s"),
        (lambda: slo.budget_path(every_second(9, []), 0.9, [1], start_s=9, end_s=9), "end_s - start_s"),
    ],
)
def test_what_is_impossible_is_refused_by_name(call, names):
    with pytest.raises(ValueError, match=names):
        call()
