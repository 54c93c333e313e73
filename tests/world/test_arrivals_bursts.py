"""Modulated Poisson processes, renewal processes, and a given index of dispersion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from world.arriving import arriving, counts, spec_of

from simsla.scenario.arrivals_dispersion import Phase, index_of_dispersion, two_phases


def index(moments, window_s, windows):
    found = counts(moments, window_s, windows)
    return found.var(ddof=1) / found.mean()


@pytest.mark.parametrize(
    ("rate", "asked", "window_s"),
    [(0.5, 16, 60), (0.5, 3, 60), (0.05, 8, 60), (0.05, 30, 600)],  # the last two have idle phases
)
def test_traffic_has_the_index_of_dispersion_that_was_asked(rate, asked, window_s):
    """Within 5 %, of which the estimate itself has a standard error of about 1 %."""
    windows = 40_000
    arrivals = {"kind": "poisson", "rate": rate, "dispersion": {"index": asked, "window": window_s}}
    moments, _ = arriving(arrivals, 0, windows * window_s)
    assert index(moments, window_s, windows) == pytest.approx(asked, rel=0.05)
    assert len(moments) / (windows * window_s) == pytest.approx(rate, rel=0.03)


def test_the_index_of_the_azure_conversations():
    """5.53 requests a second, index 16 over 60 s (data-facts)."""
    spec = spec_of({"kind": "poisson", "rate": 5.53, "dispersion": {"index": 16, "window": "60s"}}).arrivals
    quiet, busy = spec.phases()
    assert index_of_dispersion(quiet, busy, 60) == pytest.approx(16)
    assert quiet.mean_s == busy.mean_s == 120
    assert (quiet.rate_per_s + busy.rate_per_s) / 2 == pytest.approx(5.53)
    assert busy.rate_per_s == pytest.approx(6.9, abs=0.01)


@given(rate=st.floats(1e-4, 1e3), asked=st.floats(1.01, 1e4), window_s=st.floats(0.1, 1e5))
def test_the_solution_solves(rate, asked, window_s):
    quiet, busy = two_phases(rate, asked, window_s)
    assert index_of_dispersion(quiet, busy, window_s) == pytest.approx(asked)
    assert 0 <= quiet.rate_per_s < busy.rate_per_s
    share = busy.mean_s / (quiet.mean_s + busy.mean_s)
    assert share * busy.rate_per_s + (1 - share) * quiet.rate_per_s == pytest.approx(rate)


def test_the_index_of_two_states_in_the_limits():
    """1 in short windows; in long ones 1 + 2 s^2 / (m r)."""
    one, other = Phase(1.0, 100.0), Phase(3.0, 50.0)
    mean, variance, relaxation = 5 / 3, 4 * 2 / 9, 0.03
    assert index_of_dispersion(one, other, 1e-6) == pytest.approx(1)
    limit = 1 + 2 * variance / (mean * relaxation)
    assert index_of_dispersion(one, other, 1e9) == pytest.approx(limit)
    assert index_of_dispersion(Phase(2, 5), Phase(2, 9), 30) == 1


@pytest.mark.parametrize("window_s", [10, 60, 600])
def test_a_process_of_two_states_has_the_index_of_its_closed_form(window_s):
    states = [{"rate": 0.2, "mean": "2min"}, {"rate": 2, "mean": "30s"}]
    windows = 2_400_000 // window_s
    moments, _ = arriving({"kind": "mmpp", "states": states}, 0, 2_400_000)
    truth = index_of_dispersion(Phase(0.2, 120), Phase(2, 30), window_s)
    assert index(moments, window_s, windows) == pytest.approx(truth, rel=0.06)
    assert len(moments) / 2_400_000 == pytest.approx((0.2 * 120 + 2 * 30) / 150, rel=0.02)


def test_states_last_exponentially_long_and_each_other_follows_alike():
    """Rates so far apart that the state shows in every second."""
    means = [40.0, 90.0, 20.0]
    states = [{"rate": rate, "mean": mean} for rate, mean in zip((0, 25, 250), means, strict=True)]
    moments, _ = arriving({"kind": "mmpp", "states": states}, 0, 60_000)
    seen = np.searchsorted([4, 90], counts(moments, 1, 60_000), side="right")
    changes = np.flatnonzero(np.diff(seen))
    # Seconds that were cut by a change show a state that lies between: they are no stay of their own.
    lengths, states_of = np.diff(changes), seen[changes[1:]]
    lasting = lengths > 1
    lengths, states_of = lengths[lasting], states_of[lasting]
    for state, mean in enumerate(means):
        stays = lengths[states_of == state]
        assert len(stays) > 200
        # What is shorter than two seconds is not seen, and exponential durations forget.
        assert stays.mean() - 1.5 == pytest.approx(mean, rel=0.2)
        assert stays.std() == pytest.approx(mean, rel=0.25)
    following = np.array(
        [[(states_of[1:][states_of[:-1] == a] == b).mean() for b in range(3)] for a in range(3)]
    )
    assert np.abs(following[~np.eye(3, dtype=bool)] - 0.5).max() < 0.12
    shares = np.bincount(seen) / len(seen)
    assert shares == pytest.approx(np.array(means) / sum(means), abs=0.06)


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_gaps_are_gamma_distributed_and_independent(cv):
    moments, _ = arriving({"kind": "gamma", "rate": 2, "cv": cv}, 0, 40_000)
    gaps = np.diff(moments)
    law = stats.gamma(cv**-2, scale=0.5 * cv**2)
    # The least gaps are too small for floats, and replaced: of those that are not, each at its quantile.
    assert gaps.min() > 0
    seen = gaps > 1e-6
    assert abs(seen.mean() - law.sf(1e-6)) < 0.01
    assert stats.kstest(gaps[seen][::3], lambda gap: 1 - law.sf(gap) / law.sf(1e-6)).pvalue > 1e-3
    assert gaps.mean() == pytest.approx(0.5, rel=0.04 * cv)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.02


def test_the_rate_of_a_renewal_process_is_the_same_everywhere_in_a_cell():
    """A cell begins in equilibrium, not with an arrival."""
    found = np.zeros(10)
    for replication in range(1000):
        moments, _ = arriving({"kind": "gamma", "rate": 1, "cv": 3}, 0, 10, replication=replication)
        found += counts(moments, 1, 10)
    # Counts of bursts vary by about 9 times as much as those of a Poisson process.
    assert found == pytest.approx(np.full(10, 1000), abs=5 * np.sqrt(9 * 1000))
    assert found.mean() == pytest.approx(1000, abs=4 * np.sqrt(9 * 100))


def test_the_index_of_a_renewal_process_tends_to_the_square_of_its_cv():
    moments, _ = arriving({"kind": "gamma", "rate": 5, "cv": 4}, 0, 400_000)
    assert index(moments, 100, 4000) == pytest.approx(16, rel=0.1)


def test_bursts_follow_the_profile():
    """Modulation is relative: twice the rate has twice the variance over mean, less one."""
    arrivals = {
        "kind": "poisson",
        "rate": 1,
        "profile": {"weekly": dict.fromkeys(("mon", "wed", "fri", "sun"), 2.0)},
        "dispersion": {"index": 5, "window": "60s"},
    }
    moments, _ = arriving(arrivals, 0, 28 * 86_400)
    days = counts(moments, 60, 28 * 1440).reshape(28, 1440)
    mean = 11 / 7
    for factor, chosen in ((2 / mean, [0, 2, 4, 6]), (1 / mean, [1, 3, 5])):
        rows = days[[day for day in range(28) if day % 7 in chosen]]
        assert rows.mean() == pytest.approx(60 * factor, rel=0.03)
        assert rows.var() / rows.mean() == pytest.approx(1 + 4 * factor, rel=0.1)


def test_dispersion_moves_the_result_in_the_direction_it_must():
    """Bursts find the one slot taken more often."""
    from simulation.policies import patient
    from simulation.scenarios import deployment, scenario, traffic

    from simsla.simulation import run_one

    def waited(**changes):
        arrivals = {"kind": "poisson", "rate": 0.5} | changes
        world = scenario(
            {"a": deployment(latency={"total": 1.0}, max_concurrency=1)},
            {"chat": traffic(arrivals=arrivals)},
            horizon=4000,
        )
        return run_one(world, patient).attempts["queued_s"].mean()

    calm = waited()
    assert calm == pytest.approx(0.5, rel=0.2)  # M/D/1: rho / (2 (1 - rho)) of a service
    assert waited(dispersion={"index": 8, "window": "60s"}) > 2 * calm
