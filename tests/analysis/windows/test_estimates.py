"""What `estimate_availability` gives, refuses and says."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from analysis.windows.worlds import DAY, outage, toy_breaker, two_providers

import simsla
from simsla.analysis import (
    ExogeneityWarning,
    FewEpisodesWarning,
    NoFailuresWarning,
    PlannedFaultsWarning,
    PrecisionWarning,
    UnseenFailuresWarning,
)
from simsla.scenario import ScenarioError

YEAR_S = 365 * DAY


def world(**others):
    """Each of two providers is down for two minutes of every hour."""
    return two_providers(0.5, outage(3600, 120), latency_s=1.0, **others)


def quietly(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simsla.estimate_availability(*args, progress=False, **options)


@pytest.fixture(scope="module")
def result():
    return quietly(world(), seed=2, years=2, requests=40_000)


def test_the_unavailability_of_two_providers(result):
    both_down = (120 / 3720) ** 2
    u = result.unavailability
    assert u.ci_low < u.value < u.ci_high
    # The router takes a while to find out that a provider is back.
    assert both_down * 0.9 < u.value < both_down * 1.7
    assert result.availability.value == 1 - u.value
    assert (result.availability.ci_low, result.availability.ci_high) == (1 - u.ci_high, 1 - u.ci_low)
    assert "control variate" in u.method


def test_latency_cost_and_outcomes_have_the_same_weights(result):
    # One in thirty requests finds the first provider down; one in a thousand fails.
    assert result.latency(0.5).value == pytest.approx(1.0)
    assert result.latency(0.9999).value > 1.0
    a_day = 0.5 * DAY * (100 + 10) / 1e6
    assert result.cost_per_day.value == pytest.approx(a_day, rel=0.01)
    assert result.cost_per_day.ci_low <= result.cost_per_day.value <= result.cost_per_day.ci_high
    total = sum(result.outcomes.values())
    assert total == pytest.approx(0.5 * 2 * YEAR_S, rel=1e-6)
    assert result.outcomes["ok"] / total == pytest.approx(result.availability.value, abs=1e-3)


def test_strata_account_for_all_time_and_all_failures(result):
    frame = result.strata
    assert frame["time"].sum() == pytest.approx(1)
    assert frame["unavailability"].sum() == pytest.approx(result.unavailability.value, rel=0.1)
    assert frame.loc["quiet", "failing"] == 0 < frame.loc["quiet", "unseen"]
    assert frame.loc["a and b", "failing"] == 1
    assert any("soon after" in name for name in frame.index)
    assert result.unseen == pytest.approx(frame["unseen"].sum())


def test_the_months(result):
    often, seldom = result.months(0.9995), result.months(0.9)
    assert 0.5 < often.value <= 1
    assert seldom.value == 0 < seldom.ci_high
    monthly = result.monthly()
    assert len(monthly) == often.n
    assert np.mean(1 - monthly) == pytest.approx(result.unavailability.value, rel=0.2)
    assert np.mean(monthly < 0.9995) == pytest.approx(often.value, abs=0.25)


@pytest.mark.parametrize(("target", "days"), [(0, 30), (1, 30), (99.9, 30), (0.99, 0), (0.99, 4000)])
def test_impossible_months(result, target, days):
    with pytest.raises(ValueError, match="expected"):
        result.months(target, days=days)


def test_words(result):
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["schema"] == "simsla.rare/1"
    assert data["metrics"]["unavailability"]["value"] == result.unavailability.value
    assert data["requests"] == result.requests <= 60_000
    assert "unavailability" in repr(result)
    page = result._repr_html_()
    assert "quiet" in page
    assert "latency_p99_s" in page


def test_the_same_seed_gives_the_same_result_at_any_number_of_processes():
    once, again, two = (
        quietly(world(), seed=5, years=0.2, requests=2_000, n_jobs=n_jobs).to_dict() for n_jobs in (1, 1, 2)
    )
    assert once == again == two
    assert quietly(world(), seed=6, years=0.2, requests=2_000).to_dict() != once


@pytest.mark.slow
def test_any_policy():
    def first_only(transport):
        async def handle(request):
            return await transport.send(request, transport.deployments[0])

        return handle

    found = quietly(world(), first_only, seed=2, years=2, requests=4_000, memory_s=30)
    u = found.unavailability
    assert u.ci_low < 120 / 3720 < u.ci_high
    assert u.half_width < 0.5 * u.value


def test_a_factory_is_a_policy_and_its_name_is_told():
    found = quietly(two_providers(0.5), toy_breaker, requests=500, memory_s=60)
    assert found.memory_s == 60
    assert found.unavailability.value == 0
    assert found.policy.endswith("toy_breaker")


def test_by_default_an_unknown_policy_remembers_for_long_and_the_router_for_its_longest_duration(result):
    from simsla.analysis.windows.memory import remembered_s

    assert result.memory_s == 60
    slow = simsla.RoutingPolicy.from_dict({"breaker": {"open_growth": 2.0}})
    assert remembered_s(world(), slow) == 300
    assert remembered_s(world(), simsla.RoutingPolicy.from_dict({"deadline_s": 200})) == 200
    assert remembered_s(world(), toy_breaker) == 900


def test_more_precision_takes_more_requests_and_no_more_than_needed():
    rough = quietly(world(), years=2, requests=80_000, within=0.5)
    fine = quietly(world(), years=2, requests=80_000, within=0.06)
    assert rough.requests < 0.8 * fine.requests < fine.requests < 80_000
    assert fine.unavailability.half_width < 0.08 * fine.unavailability.value


def warned(*args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = simsla.estimate_availability(*args, progress=False, **options)
    return found, {each.category for each in caught}


def test_no_failures_give_a_bound_and_not_a_zero():
    found, kinds = warned(two_providers(0.5, latency_s=1.0), requests=2_000)
    assert NoFailuresWarning in kinds
    u = found.unavailability
    assert u.value == 0 == u.ci_low
    assert 0 < u.ci_high < 0.1
    assert found.availability.ci_low == 1 - u.ci_high
    assert list(found.strata.index) == ["quiet"]
    # Months are no better known than requests: of what may have gone unseen each could have more.
    months = found.months(0.999)
    assert months.value == 0
    assert months.ci_high == pytest.approx(min(u.ci_high / 0.001, 1))


def test_quiet_windows_of_one_life_are_no_single_observation():
    """Errors of the deployments, one by one: 1 % of the requests fail twice, whatever life they are in."""
    scenario = two_providers(0.5, latency_s=1.0, routing={"tiers": {"standard": ["a"]}})
    scenario = scenario.with_values({"deployments.a.errors": {"500": 0.1}})
    found, kinds = warned(scenario, requests=20_000)
    u = found.unavailability
    assert FewEpisodesWarning not in kinds
    assert u.ci_low < 0.01 < u.ci_high
    assert u.half_width < 0.005
    assert found.clusters > 10


def test_few_episodes_too_little_precision_and_what_was_not_seen():
    rare = two_providers(0.5, outage(30 * DAY, 3600), latency_s=1.0)
    found, kinds = warned(rare, years=10, requests=3_000, within=0.01)
    if found.unavailability.value > 0:
        assert {FewEpisodesWarning, PrecisionWarning, UnseenFailuresWarning} <= kinds
    else:
        assert {NoFailuresWarning, PrecisionWarning} <= kinds
    assert found.clusters < 10


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"deployments.a.max_concurrency": 50}, "deployments.a.max_concurrency"),
        ({"deployments.a.limits": {"rpm": 6000}}, "the rate limits of deployments.a"),
    ],
)
def test_requests_that_can_cause_failures_are_named(change, named):
    try:
        scenario = world().with_values(change)
    except ScenarioError:
        scenario = world().with_values({"deployments.a.rpm": 6000})
    found, kinds = warned(scenario, years=0.1, requests=500)
    assert ExogeneityWarning in kinds
    assert named in next(str(each) for each in found.caveats if isinstance(each, ExogeneityWarning))


def test_planned_faults_are_left_out_and_said_to_be():
    plan = {"kind": "outage", "schedule": [{"start": 10, "duration": 100}]}
    found, kinds = warned(two_providers(0.5, outage(3600, 120), plan), years=0.1, requests=500)
    assert PlannedFaultsWarning in kinds
    assert "a.faults.1" in str(found.caveats)


@pytest.mark.parametrize(
    "wrong",
    [
        {"years": 0},
        {"years": math.inf},
        {"years": "many"},
        {"requests": 0},
        {"requests": 1.5},
        {"requests": True},
        {"within": -0.1},
        {"memory_s": 0},
        {"memory_s": math.nan},
        {"n_jobs": 0},
    ],
)
def test_impossible_arguments(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}: expected"):
        simsla.estimate_availability(world(), **wrong)


def test_a_memory_longer_than_the_lives_is_refused():
    for wrong in ({"memory_s": 1e7, "years": 1}, {"years": 1e-6}):
        with pytest.raises(ValueError, match=r"memory_s: expected at most .* draw more years"):
            simsla.estimate_availability(world(), requests=500, **wrong)


def test_what_has_no_long_run_is_refused():
    drifting = world().with_values({"deployments.a.latency": {"total": 1.0, "drift_per_day": 0.01}})
    with pytest.raises(ScenarioError, match=r"deployments\.a\.latency\.drift_per_day"):
        simsla.estimate_availability(drifting)


def test_a_level_of_latency_is_no_probability():
    with pytest.raises(ValueError, match="p: expected"):
        quietly(two_providers(0.5), requests=500).latency(1.0)
