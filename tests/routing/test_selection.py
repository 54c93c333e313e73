from __future__ import annotations

import pytest
from routing.fakes import deployment

from simsla.routing import (
    TIERS,
    AttemptTimeout,
    ConnectError,
    ContextLengthExceeded,
    NoDeployment,
    Request,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.selection.chains import ChainSelector

WORLD = [
    deployment("e-us", "economy", "us"),
    deployment("s-us", "standard", "us"),
    deployment("s-eu", "standard", "eu"),
    deployment("p-us", "premium", "us"),
    deployment("p-eu", "premium", "eu"),
    deployment("p-any", "premium"),
]


def selector(deployments=WORLD, **settings):
    policy = RoutingPolicy.from_dict(settings)
    return ChainSelector(policy, deployments, dict.fromkeys(each.name for each in deployments))


def order(select, **request):
    return [each.deployment.name for each in select.candidates(Request(1, **request), 0.0)]


def test_a_tier_is_followed_by_those_below_it():
    select = selector()
    assert order(select, tier="premium") == ["p-us", "p-eu", "p-any", "s-us", "s-eu", "e-us"]
    assert order(select, tier="standard") == ["s-us", "s-eu", "e-us"]
    assert order(select, tier="economy") == ["e-us"]
    assert order(selector(degrade=False), tier="premium") == ["p-us", "p-eu", "p-any"]


@pytest.mark.parametrize(
    ("complexity", "first"),
    [(0.0, "e-us"), (0.349, "e-us"), (0.35, "s-us"), (0.699, "s-us"), (0.7, "p-us"), (1.0, "p-us")],
)
def test_complexity_chooses_where_no_tier_is_asked(complexity, first):
    assert order(selector(), complexity=complexity)[0] == first


def test_the_tier_asked_wins_and_neither_means_the_default():
    assert order(selector(), tier="economy", complexity=1.0) == ["e-us"]
    assert order(selector())[0] == "s-us"
    assert order(selector(default_tier="premium"))[0] == "p-us"


def test_the_own_region_comes_first_within_each_tier():
    select = selector()
    assert order(select, tier="premium", region="eu") == ["p-eu", "p-any", "p-us", "s-eu", "s-us", "e-us"]
    assert order(select, tier="premium", region="mars") == ["p-any", "p-us", "p-eu", "s-us", "s-eu", "e-us"]
    no_affinity = selector(regions={"affinity": False})
    assert order(no_affinity, tier="standard", region="eu") == ["s-us", "s-eu", "e-us"]


def test_without_failover_nothing_leaves_the_region():
    select = selector(regions={"failover": False})
    assert order(select, tier="premium", region="eu") == ["p-eu", "p-any", "s-eu"]
    assert order(select, tier="economy", region="eu") == []
    assert order(select, tier="premium", region="mars") == ["p-any"]
    assert order(select, tier="economy") == ["e-us"]


def test_a_chain_may_be_given_and_names_nobody_twice():
    select = selector(tiers={"premium": ["p-eu", "s-us"], "standard": ["s-eu", "s-us"]})
    assert order(select, tier="premium") == ["p-eu", "s-us", "s-eu", "e-us"]


def test_an_answer_below_the_tier_asked_is_degraded_whichever_chain_names_it():
    select = selector(tiers={"premium": ["p-eu", "s-us"]})
    marks = {
        each.deployment.name: each.degraded for each in select.candidates(Request(1, tier="premium"), 0.0)
    }
    assert marks == {"p-eu": False, "s-us": True, "s-eu": True, "e-us": True}


def test_a_tier_that_nothing_serves_is_served_from_above_and_else_from_below():
    standard = [deployment("s")]
    assert [order(selector(standard), tier=tier) for tier in TIERS] == [["s"], ["s"], ["s"]]
    assert not selector(standard).candidates(Request(1, tier="economy"), 0.0)[0].degraded
    assert selector(standard).candidates(Request(1, tier="premium"), 0.0)[0].degraded
    assert order(selector(standard, degrade=False), tier="premium") == []


def test_a_tier_that_does_not_exist_is_an_error_of_the_request():
    with pytest.raises(NoDeployment, match="gold"):
        selector().candidates(Request(1, tier="gold"), 0.0)


def test_an_unreachable_region_is_still_tried_before_a_weaker_tier():
    world = [
        deployment("p1-us", "premium", "us"),
        deployment("p2-us", "premium", "us"),
        deployment("p-eu", "premium", "eu"),
        deployment("s-eu", "standard", "eu"),
    ]
    assert after(ConnectError(), "p1-us", world, tier="premium") == ["p-eu", "p2-us", "s-eu"]


def after(error, first, deployments=WORLD, **request):
    select = selector(deployments)
    candidates = select.candidates(Request(1, **request), 0.0)
    assert candidates[0].deployment.name == first
    return [each.deployment.name for each in select.after(error, candidates[0], candidates[1:])]


@pytest.mark.parametrize("error", [ConnectError(), AttemptTimeout(phase="connect")])
def test_a_region_that_could_not_be_reached_comes_last_within_each_tier(error):
    assert after(error, "p-us", tier="premium", region="us") == ["p-any", "p-eu", "s-eu", "s-us", "e-us"]


@pytest.mark.parametrize("error", [ServerError(), AttemptTimeout(phase="total")])
def test_other_errors_leave_the_order_alone(error):
    assert after(error, "p-us", tier="premium", region="us") == ["p-any", "p-eu", "s-us", "s-eu", "e-us"]


def test_too_long_a_request_goes_on_to_larger_windows_only():
    windows = {"a": 32_000, "b": 8_000, "c": 32_000, "d": 128_000, "e": None}
    world = [deployment(name, context_window=size) for name, size in windows.items()]
    assert after(ContextLengthExceeded(), "a", world) == ["d", "e"]
    assert after(ContextLengthExceeded(), "e", [world[-1], *world[:-1]]) == ["a", "b", "c", "d"]
