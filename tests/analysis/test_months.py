"""How many months miss a promise: by hand, by formula, and with what was not seen."""

from __future__ import annotations

import numpy as np
import pytest
from simulation.scenarios import exp

import simsla
from simsla.analysis import Cells
from simsla.analysis import closed_forms as cf
from simsla.analysis.months import DrawnMonths, Months, drawn_months, months_from_faults, months_from_runs
from simsla.analysis.promises import Promise
from simsla.analysis.slo import BEDROCK, CountedMinutes
from simsla.analysis.states import QUIET
from simsla.distributions import from_spec
from simsla.scenario import Scenario

DAY, MONTH = 86_400.0, 30 * 86_400.0
DOWN, OTHER = 7, 9
HOUR = 3600.0


def months_of(*months):
    """Drawn months, each a list of (state, seconds); what is left is quiet."""
    rows = []
    for i, visits in enumerate(months):
        rows += [(i, state, seconds) for state, seconds in visits]
        rows.append((i, QUIET, MONTH - sum(seconds for _, seconds in visits)))
    month, state, seconds = zip(*rows, strict=True)
    return DrawnMonths(np.array(month), np.array(state, np.uint64), np.array(seconds, float), len(months))


def cells_of(*rows):
    state, spell, seconds = zip(*rows, strict=True)
    return Cells(np.array(state, np.uint64), np.array(spell), np.array(seconds, float), np.ones(len(rows)))


def of(*numbers):
    return np.array(numbers, dtype=float)


def study(replications, lost, spells=40, target=0.999):
    """Replications of a day at 1 request a second, each with so many spells of a minute that lose a share."""
    cells = [cells_of((QUIET, -1, DAY), *((DOWN, i, 60) for i in range(spells)))] * replications
    trials = of(DAY, *[60] * spells)
    bad = of(0, *[60 * lost] * spells)
    return cells, Promise(target, None, (bad,) * replications, (trials,) * replications)


def test_months_by_hand():
    # A fault that loses half: 1 h is 1,800 s of 2,592,000 x (1 - .999) = 2,592 allowed, 2 h are 3,600 s.
    months = months_of([(DOWN, HOUR)], [(DOWN, 2 * HOUR)], [], [(DOWN, HOUR), (DOWN, HOUR)])
    found = months_from_faults(*study(4, 0.5), months, seed=1)
    assert found.availability == pytest.approx(
        [1 - 1800 / MONTH, 1 - 3600 / MONTH, 1, 1 - 3600 / MONTH], abs=1e-5
    )
    missed = found.missed(0.999)
    assert missed.value == 0.5
    assert missed.ci_low <= 0.5 <= missed.ci_high
    assert missed.n == 4


def test_losses_are_drawn_per_visit():
    """Half of the visits lose everything: expected losses would miss no month, real ones miss half."""
    cells = [cells_of((QUIET, -1, DAY), *((DOWN, i, 60) for i in range(40)))] * 4
    bad = of(0, *[60, 0] * 20)
    promise = Promise(0.999, None, (bad,) * 4, (of(DAY, *[60] * 40),) * 4)
    months = months_of(*[[(DOWN, 1.2 * HOUR)]] * 400)
    missed = months_from_faults(cells, promise, months, seed=1).missed(0.999)
    assert missed.value == pytest.approx(0.5, abs=0.08)


def test_quiet_failures_come_by_themselves():
    cells = [cells_of((QUIET, -1, DAY))] * 5
    promise = Promise(0.999, None, (of(86.4),) * 5, (of(DAY),) * 5)
    found = months_from_faults(cells, promise, months_of(*[[]] * 300), seed=1)
    assert found.availability.mean() == pytest.approx(0.999, abs=2e-5)
    assert np.std(found.availability) == pytest.approx(np.sqrt(2592) / MONTH, rel=0.2)
    assert found.missed(0.999).value == pytest.approx(0.5, abs=0.1)


def test_a_state_never_met_is_harmless_at_best_and_fatal_at_worst():
    cells, promise = study(4, 0.0)
    months = months_of([(OTHER, HOUR)], [], [], [])
    missed = months_from_faults(cells, promise, months, seed=1).missed(0.999)
    assert (missed.value, missed.ci_low) == (0, 0)
    assert missed.ci_high >= 0.25


def test_states_met_seldom_may_hide_what_was_not_seen():
    months = months_of(*[[(DOWN, HOUR)]] * 300)
    seldom = months_from_faults(*study(4, 0.0, spells=1), months, seed=1).missed(0.999)
    often = months_from_faults(*study(4, 0.0, spells=40), months, seed=1).missed(0.999)
    assert seldom.value == often.value == 0
    assert seldom.ci_high > 0.5
    assert often.ci_high == pytest.approx(3.7 / 300, rel=0.02)


def test_one_replication_has_no_interval():
    found = months_from_faults(*study(1, 0.5), months_of([(DOWN, 2 * HOUR)], []), seed=1)
    assert found.missed(0.999).value == 0.5
    assert np.isnan(found.missed(0.999).ci_low)


def test_credits_are_expected_over_months():
    # Availability 98 %: 25 %. The other month: nothing.
    months = Months(of(0.98, 1.0), np.zeros((0, 0)), np.zeros((0, 0)), 0.0, "")
    assert months.estimate(lambda m: float(np.mean(BEDROCK.credit(m)))).value == pytest.approx(0.125)


def minutes_of(days, bad_per_day):
    rows = np.tile([[10, 0]], (int(days * 1440), 1))
    rows[: int(days) * 1440 : 1440, 1] = bad_per_day
    return CountedMinutes.of(rows)


def test_months_in_long_runs_are_counted():
    # 60 days: one month with one failure a day, and one more.
    minutes = [minutes_of(60, 1), minutes_of(60, 0), minutes_of(60, 10)]
    sums = [of(m.bad) for m in minutes]
    promise = Promise(0.9995, tuple(minutes), tuple(sums), tuple(of(len(m)) for m in minutes))
    found = months_from_runs(promise, 60 * DAY, seed=1)
    assert len(found) == 6
    assert found.availability == pytest.approx(np.repeat([1 - 30 / 432_000, 1, 1 - 300 / 432_000], 2))
    missed = found.missed(0.9995)
    assert missed.value == pytest.approx(1 / 3)
    assert missed.ci_low < 1 / 3 < missed.ci_high


def test_short_runs_are_put_together():
    runs = [of(0), of(0), of(0), of(432)]
    promise = Promise(0.9995, None, tuple(runs), (of(14_400),) * 4)
    found = months_from_runs(promise, DAY, seed=1)
    # On average 30 x 108 of 432,000 fail: far more than 5e-4.
    assert found.availability.mean() == pytest.approx(1 - 3240 / 432_000, rel=1e-3)
    assert found.missed(0.9995).value == pytest.approx(1, abs=0.01)


def test_runs_that_all_went_well_leave_a_bound_and_not_nothing():
    promise = Promise(0.999, None, (of(0),) * 20, (of(1000),) * 20)
    missed = months_from_runs(promise, DAY, seed=1).missed(0.999)
    assert (missed.value, missed.ci_low) == (0, 0)
    # A share of days of 1 - .025^(1/20) = .168 may be bad, and one of 30 such days is enough.
    assert missed.ci_high == pytest.approx(1 - (1 - 0.1684) ** 30, rel=1e-3)
    failing = Promise(0.999, None, (of(1000),) * 20, (of(1000),) * 20)
    assert months_from_runs(failing, DAY, seed=1).missed(0.999).ci_low < 0.01


def test_months_without_requests_are_left_out():
    promise = Promise(0.999, None, (of(0), of(0)), (of(0), of(0)))
    assert months_from_runs(promise, DAY, seed=1).missed(0.999).n == 0


def gateway(uptime, repair):
    return Scenario.from_dict(
        {
            "horizon": "7d",
            "components": {
                "g": {"faults": [{"kind": "outage", "uptime": exp(uptime), "repair": exp(repair)}]}
            },
            "deployments": {"a": {"model": "m", "components": ["g"], "latency": {"total": 1}}},
            "traffic": {
                "chat": {
                    "arrivals": {"kind": "poisson", "rate": 1},
                    "prompt_tokens": 1,
                    "output_tokens": 1,
                }
            },
        }
    )


def test_months_of_drawn_outages_meet_the_compound_poisson_formula():
    """0.72 outages a month of an hour each, all of them lost, against 2,592 s of budget (Panjer 1981).

    To three standard errors, 3.5 %, over eight draws, of whose 95 % intervals fewer than six would hold the
    truth once in 2,500.
    """
    episodes = [cf.Episodes(1 / (1000 * HOUR), from_spec(exp(HOUR)))]
    truth = cf.miss_probability(episodes, 0.999).value
    found = [missed_by_outages(seed) for seed in range(8)]
    assert np.mean([missed.value for missed in found]) == pytest.approx(truth, rel=0.035)
    assert sum(missed.ci_low <= truth <= missed.ci_high for missed in found) >= 6
    assert all(missed.half_width < 0.04 for missed in found)


def missed_by_outages(seed):
    months = drawn_months(gateway(999 * HOUR, HOUR), seed)
    assert months.count == 2000
    assert np.bincount(months.month, months.visit_s) == pytest.approx(np.full(2000, MONTH))
    state = int(months.state[months.state != QUIET][0])
    cells = [cells_of((QUIET, -1, DAY), *((state, i, 60) for i in range(40)))] * 4
    promise = Promise(0.999, None, (of(0, *[60] * 40),) * 4, (of(DAY, *[60] * 40),) * 4)
    return months_from_faults(cells, promise, months, seed=1).missed(0.999)


def test_without_drawn_faults_there_are_no_drawn_months():
    scenario = gateway(999 * HOUR, HOUR).with_values({"components.g.faults": []})
    assert drawn_months(scenario, seed=1) is None


def test_faults_that_every_run_meets_by_the_dozen_need_no_drawn_months():
    assert drawn_months(gateway(99 * 60, 60), seed=1).count >= 200
    assert drawn_months(gateway(50, 1), seed=1) is None
    world = gateway(50, 1).with_values({"horizon": 3600.0})
    objective = {"objectives": [{"metric": "availability", "target": 0.999}]}
    result = simsla.simulate(world.with_values(objective), replications=3)
    (row,) = result.objectives
    assert row["months_method"] == "months of 720 replications each, drawn at random"
    assert row["month_miss_probability"] == 1


def test_months_are_reproducible():
    one, two = (months_from_faults(*study(4, 0.5), months_of([(DOWN, HOUR)], []), seed=5) for _ in range(2))
    assert np.array_equal(one.again, two.again)
    assert one.missed(0.999) == two.missed(0.999)
