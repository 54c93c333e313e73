from __future__ import annotations

import math

import numpy as np
import pytest
from analysis.worlds import DAY, World, incidents, one_provider, outages, three_providers
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import Cells, EnvironmentLaw, PostStratification, share_interval
from simsla.analysis.intervals import unseen_share
from simsla.analysis.states import QUIET

DOWN, RARE = 7, 9


def law_of(shares, visits_per_day):
    """A law known without error; the quiet state first."""
    states = np.array([QUIET, *(s for s in (DOWN, RARE)[: len(shares) - 1])], dtype=np.uint64)
    return EnvironmentLaw(
        states,
        np.array(shares),
        np.array(visits_per_day) / DAY,
        np.tile(shares, (10, 1)),
        ("quiet", "provider", "gateway")[: len(shares)],
    )


def cells_of(*rows):
    """Rows of (state, spell, seconds)."""
    state, spell, seconds = zip(*rows, strict=True)
    return Cells(
        np.array(state, dtype=np.uint64), np.array(spell), np.array(seconds, float), np.ones(len(rows))
    )


def of(*numbers):
    return np.array(numbers, dtype=float)


def test_by_hand():
    # Quiet fails 1 in 1,000 in both replications; faults fail all, met once in one replication of two.
    law = law_of([0.9, 0.1], [1, 1])
    strata = PostStratification([cells_of((QUIET, -1, DAY), (DOWN, 0, 100)), cells_of((QUIET, -1, DAY))], law)
    interval = strata.interval(of(1, 50, 1), of(1000, 50, 1000))
    assert interval.value == 52 / 2050
    quiet = share_interval(of(1, 1), of(1000, 1000))
    unseen = unseen_share(1)
    estimate = 0.9 * 0.001 + 0.1
    below = math.hypot(0.9 * (0.001 - quiet.low), 0.1 * unseen)
    # The pooled value is below the estimate; all of the faults' time fails: no room above but the quiet's.
    assert interval.low == pytest.approx(min(estimate - below, interval.value))
    assert interval.high == pytest.approx(estimate + 0.9 * (quiet.high - 0.001))


def test_a_state_never_met_may_do_anything():
    strata = PostStratification([cells_of((QUIET, -1, DAY))] * 2, law_of([0.98, 0.02], [1, 1]))
    interval = strata.interval(of(0, 0), of(1000, 1000))
    assert interval[:2] == (0, 0)
    assert interval.high == pytest.approx(0.02 + 0.98 * unseen_share(2000))
    all_failed = strata.interval(of(1000, 1000), of(1000, 1000))
    assert (all_failed.low, all_failed.high) == pytest.approx((1 - interval.high, 1))


def test_states_expected_less_than_once_are_one_stratum():
    # Neither is expected once: the rarer one was met, and stands for both.
    law = law_of([0.97, 0.02, 0.01], [1, 0.01, 0.01])
    strata = PostStratification([cells_of((QUIET, -1, DAY), (RARE, 0, 60)), cells_of((QUIET, -1, DAY))], law)
    interval = strata.interval(of(0, 0, 0), of(1000, 10, 1000))
    assert interval.high == pytest.approx(
        math.hypot(0.03 * unseen_share(1), 0.97 * unseen_share(2000)), rel=1e-6
    )


def test_weighted_share_by_hand():
    strata = PostStratification(
        [cells_of((QUIET, -1, DAY), (DOWN, 0, 100)), cells_of((QUIET, -1, DAY))], law_of([0.9, 0.1], [1, 1])
    )
    assert strata.weighted_share(of(1, 25, 3), of(1000, 50, 1000)) == pytest.approx(0.9 * 0.002 + 0.1 * 0.5)
    # Without a request while the fault lasts there is only the quiet state to go by.
    assert strata.weighted_share(of(1, 0, 3), of(1000, 0, 1000)) == pytest.approx(0.002)


def test_one_replication_has_no_interval():
    strata = PostStratification([cells_of((QUIET, -1, DAY), (DOWN, 0, 60))], law_of([0.98, 0.02], [1, 1]))
    interval = strata.interval(of(1, 1), of(10, 10))
    assert interval.value == 0.1
    assert math.isnan(interval.low)


def test_weak_states_are_named_with_their_numbers():
    strata = PostStratification(
        [cells_of((QUIET, -1, DAY), (DOWN, 0, 100)), cells_of((QUIET, -1, DAY))], law_of([0.9, 0.1], [1, 1])
    )
    ((name, share, met),) = strata.weak_states(of(0, 9, 0), of(1000, 50, 1000))
    assert (name, share, met) == ("provider", pytest.approx(0.1), 1)
    assert strata.spells == 1


def test_states_met_often_are_not_weak():
    spells = [(DOWN, i, 100) for i in range(40)]
    strata = PostStratification([cells_of((QUIET, -1, DAY), *spells)] * 2, law_of([0.9, 0.1], [10, 10]))
    assert strata.spells == 80
    assert strata.weak_states(of(*[0, *[9] * 40] * 2), of(*[1000, *[50] * 40] * 2)) == []


def test_states_met_many_times_a_replication_are_clustered_by_replication():
    # The spells of a replication share their luck, as quick successions may: half fail all, half none.
    spells = [(DOWN, i, 100) for i in range(40)]
    replications = [cells_of((QUIET, -1, DAY), *spells)] * 8
    strata = PostStratification(replications, law_of([0.5, 0.5], [10, 10]))
    failed = np.concatenate([[0, *[50 * (r % 2)] * 40] for r in range(8)]).astype(float)
    interval = strata.interval(failed, np.tile([1000, *[50] * 40], 8).astype(float))
    assert interval.high - interval.low > 0.3


studies = st.lists(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 40), st.sampled_from([DOWN, RARE, 123])), max_size=6
    ),
    min_size=2,
    max_size=5,
)


@given(studies, st.lists(st.integers(0, 30), min_size=5, max_size=5), st.permutations(range(5)))
def test_invariants(study, quiet_failures, order):
    law = law_of([0.95, 0.04, 0.01], [3, 2, 1])

    def interval(indices):
        cells, y, x = [], [], []
        for r in indices:
            rows = study[r]
            cells.append(cells_of((QUIET, -1, DAY), *((s, i, 60) for i, (_, _, s) in enumerate(rows))))
            y += [quiet_failures[r], *(failed for failed, _, _ in rows)]
            x += [1000, *(failed + fine for failed, fine, _ in rows)]
        strata = PostStratification(cells, law)
        return strata.interval(of(*y), of(*x)), strata.interval(of(*x) - of(*y), of(*x)), sum(y) / sum(x)

    found, mirrored, pooled = interval(range(len(study)))
    assert found.value == pooled
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert mirrored == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low), abs=1e-9)
    assert interval([r for r in order if r < len(study)])[0] == pytest.approx(found, rel=1e-6, abs=1e-12)


def coverage(world, replications, days, runs, seed=3):
    """Shares of studies whose interval holds the truth: post-stratified, and t on the logit scale."""
    rng = np.random.default_rng(seed)
    held = np.zeros(2)
    for _ in range(runs):
        cells, failures, requests = world.study(rng, replications, days * DAY)
        intervals = (
            PostStratification(cells, world.law).interval(np.concatenate(failures), np.concatenate(requests)),
            share_interval(of(*(f.sum() for f in failures)), of(*(r.sum() for r in requests))),
        )
        held += [i.low <= world.unavailability <= i.high for i in intervals]
    return held / runs


def test_days_of_measured_incidents_are_covered_where_a_t_interval_fails():
    held, plain = coverage(one_provider(1, days=100_000), replications=20, days=1, runs=300)
    assert held >= 0.934
    assert plain < 0.90


def test_a_shared_gateway_that_was_hardly_ever_seen_to_fail_is_covered():
    held, plain = coverage(three_providers(3, outages, days=100_000), replications=20, days=1, runs=200)
    assert held >= 0.934
    assert plain < 0.60


WORLDS = {
    "one provider": lambda: one_provider(1),
    "three providers, shared incidents": lambda: three_providers(2, incidents),
    "three providers, shared incidents, noise": lambda: three_providers(2, incidents, beside=1e-4),
    "three providers, shared outages": lambda: three_providers(3, outages),
    "three providers, shared outages, noise": lambda: three_providers(3, outages, beside=1e-4),
}


@pytest.mark.slow
def test_faults_that_change_nothing_and_were_met_often_cost_no_coverage():
    world = World(1, {"a": incidents}, lambda down: 0.01)
    held, _ = coverage(world, replications=20, days=30, runs=2000)
    assert 0.934 <= held <= 0.966


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_coverage_in_full(name):
    world = WORLDS[name]()
    for days in (1, 7, 30):
        for replications in (20, 6):
            held, _ = coverage(world, replications, days, runs=2000)
            assert held >= 0.934, (days, replications)
