from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import ScriptedTransport, deployment, fails, play, policy

from simsla.routing import (
    ATTEMPT_ERRORS,
    TIERS,
    AllAttemptsFailed,
    BadRequest,
    ConfigError,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    NoDeployment,
    Request,
    Router,
    RoutingError,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.protocols import STOP, Failure
from simsla.routing.retries.rule import RetryPolicy
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.fallbacks import FallbackPolicy

WORLD = [
    deployment("e", "economy"),
    deployment("s1"),
    deployment("s2"),
    deployment("p1", "premium"),
    deployment("p2", "premium"),
    deployment("x", "premium"),
]
TIERED = {"economy": ["e"], "standard": ["s1", "s2"], "premium": ["p1", "p2"]}
DOWN = [fails(ServerError)]
FILTERED = [fails(ContentFiltered)]
TOO_LONG = [fails(ContextLengthExceeded)]


def selector(fallbacks, deployments=WORLD, **values):
    values.setdefault("tiers", TIERED)
    made = RoutingPolicy.from_dict({"fallbacks": fallbacks, **values})
    health = dict.fromkeys(each.name for each in deployments)
    return made.fallbacks.build(ChainSelector(made, deployments, health), made, deployments, health)


def order(fallbacks, deployments=WORLD, values=None, **request):
    plan = selector(fallbacks, deployments, **(values or {})).candidates(Request(1, **request), 0.0)
    return [each.deployment.name for each in plan]


def ask(script, fallbacks, request=None, deployments=WORLD, **values):
    """What was called, and the reply or the error."""
    values = {"tiers": TIERED, "fallbacks": fallbacks, "breaker": None, **values}
    transport = ScriptedTransport(deployments, script)

    async def main():
        try:
            return await Router(policy(**values), transport).handle(request or Request(1, tier="standard"))
        except RoutingError as error:
            return error

    outcome = play(main())
    return transport.called, outcome


def test_the_chain_of_a_tier_comes_after_its_own_and_before_weaker_ones():
    assert order({}, tier="standard") == ["s1", "s2", "e"]
    chains = {"chains": {"standard": ["x", "p1"]}}
    assert order(chains, tier="standard") == ["s1", "s2", "x", "p1", "e"]
    assert order(chains, tier="premium") == ["p1", "p2", "s1", "s2", "e"]
    assert order(chains, values={"degrade": False}, tier="standard") == ["s1", "s2", "x", "p1"]
    assert order(chains, complexity=0.5) == ["s1", "s2", "x", "p1", "e"]
    assert order(chains)[2] == "x"


def test_the_default_is_for_tiers_without_a_chain():
    chains = {"default": ["x"], "chains": {"standard": ["p1"]}}
    assert order(chains, tier="standard") == ["s1", "s2", "p1", "e"]
    assert order(chains, tier="premium") == ["p1", "p2", "x", "s1", "s2", "e"]
    assert order(chains, tier="economy") == ["e", "x"]


def test_the_chain_of_a_deployment_comes_right_after_it_and_leads_on():
    chains = {"chains": {"s1": ["p1", "s2"], "p1": ["x"]}}
    assert order(chains, tier="standard") == ["s1", "p1", "x", "s2", "e"]
    assert order(chains, tier="premium") == ["p1", "x", "p2", "s1", "s2", "e"]
    # Also at the end of a tier's chain.
    assert order({"chains": {"economy": ["p1"], "p1": ["x"]}}, tier="economy") == ["e", "p1", "x"]


def test_a_chain_serves_a_tier_that_nothing_else_serves():
    only = [deployment("e", "economy")]
    plan = {"deployments": only, "values": {"tiers": {}, "degrade": False}, "tier": "premium"}
    assert order({}, **plan) == []
    assert order({"default": ["e"]}, **plan) == ["e"]


def test_a_fall_back_keeps_what_was_asked():
    marks = {
        each.deployment.name: (each.asked, each.degraded)
        for each in selector({"chains": {"premium": ["s1"], "p1": ["x"]}}).candidates(
            Request(1, tier="premium"), 0.0
        )
    }
    assert marks["x"] == ("premium", False)
    assert marks["s1"] == ("premium", True)
    called, reply = ask(
        dict.fromkeys(("p1", "p2"), DOWN), {"chains": {"premium": ["s1"]}}, Request(1, tier="premium")
    )
    assert called == ["p1", "p2", "s1"]
    assert reply.metadata["degraded"] is True
    assert reply.metadata["note"] == "asked for premium, answered by s1 at attempt 3, which is standard"


def test_a_deployment_whose_breaker_refuses_is_followed_by_its_chain_too():
    transport = ScriptedTransport(WORLD, {"s1": DOWN})
    router = Router(
        policy(tiers=TIERED, fallbacks={"chains": {"s1": ["x"]}}, breaker={"failures": 1}), transport
    )

    async def twice():
        for number in (1, 2):
            await router.handle(Request(number, tier="standard"))

    play(twice())
    assert transport.called == ["s1", "x", "x"]


def test_no_request_is_offered_more_fall_backs_than_allowed():
    chains = {"chains": {"standard": ["p1", "p2", "x"], "s1": ["p2"]}, "max_fallbacks": 2}
    assert order(chains, tier="standard") == ["s1", "p2", "s2", "p1", "e"]
    assert FallbackPolicy().max_fallbacks == 5
    # The chains for what cannot be served draw on the same number.
    fallbacks = {
        "chains": {"s1": ["p1"]},
        "context_window": {"p1": ["p2", "x"]},
        "max_fallbacks": 2,
    }
    called, _ = ask({"s1": DOWN, "p1": TOO_LONG, "p2": DOWN}, fallbacks)
    assert called == ["s1", "p1", "p2"]


def test_where_nothing_may_leave_the_region_no_fall_back_does():
    world = [
        deployment("us", region="us"),
        deployment("eu", region="eu"),
        deployment("eu2", region="eu"),
        deployment("any"),
    ]
    values = {"tiers": {"standard": ["us", "eu"]}, "regions": {"failover": False}}
    fallbacks = {"default": ["eu2", "any"], "context_window": {"us": ["eu2", "any"]}}
    asked = {"deployments": world, "values": values, "tier": "standard"}
    assert order(fallbacks, **asked, region="us") == ["us", "any"]
    assert order(fallbacks, **asked, region="eu") == ["eu", "eu2", "any"]
    assert order(fallbacks, **asked) == ["us", "eu", "eu2", "any"]
    called, _ = ask({"us": TOO_LONG}, fallbacks, Request(1, region="us"), world, **values)
    assert called == ["us", "any"]


def test_a_chain_follows_its_deployment_wherever_a_ranking_puts_it():
    transport = ScriptedTransport(WORLD, dict.fromkeys(("s1", "s2", "x", "e"), DOWN))
    values = {"tiers": TIERED, "fallbacks": {"chains": {"s1": ["x"]}}, "selection": {"kind": "round_robin"}}
    handle = Router(policy(breaker=None, **values), transport).handle

    async def twice():
        for number in (1, 2):
            with pytest.raises(AllAttemptsFailed):
                await handle(Request(number, tier="standard"))

    play(twice())
    assert transport.called == ["s1", "x", "s2", "e", "s2", "s1", "x", "e"]


def test_a_fall_back_in_a_region_that_could_not_be_reached_comes_last_in_its_tier():
    world = [deployment("a", region="us"), deployment("b", region="us"), deployment("c", region="eu")]
    world.append(deployment("e", "economy", region="eu"))
    values = {"tiers": {"standard": ["a"], "economy": ["e"]}}
    fallbacks = {"chains": {"a": ["b", "c"]}, "context_window": {"c": ["e"]}, "max_fallbacks": 2}
    script = {"a": [fails(ConnectError)], "b": DOWN, "c": DOWN}
    assert ask(script, fallbacks, None, world, **values)[0] == ["a", "c", "b", "e"]
    # Two have been offered, in whichever order: no third.
    script = {"a": [fails(ConnectError)], "b": TOO_LONG, "c": DOWN}
    called, _ = ask(script, fallbacks | {"context_window": {"b": ["e"]}}, None, world, **values)
    assert called == ["a", "c", "b"]


def test_too_small_a_fall_back_is_passed_over_where_pre_call_checks_are_asked_for():
    world = [deployment("a"), deployment("b", context_window=10), deployment("c", context_window=1000)]
    fallbacks, request = {"chains": {"a": ["b", "c"]}}, Request(1, prompt_tokens=100)
    for asked, called in ((True, ["a", "c"]), (False, ["a", "b"])):
        values = {"tiers": {"standard": ["a"]}, "pre_call_checks": asked}
        assert ask({"a": DOWN}, fallbacks, request, world, **values)[0] == called


def test_a_request_too_long_for_one_goes_to_the_chain_for_it_only():
    windows = {"s1": 8_000, "s2": 32_000, "e": 32_000, "x": None, "p1": 16_000}
    world = [deployment(name, context_window=size) for name, size in windows.items()]
    tiers = {"tiers": {"standard": ["s1", "s2", "e"]}}
    assert ask({"s1": TOO_LONG}, {}, None, world, **tiers)[0] == ["s1", "s2"]  # no chain: a larger window
    fallbacks = {"context_window": {"s1": ["p1", "x"]}}
    assert ask({"s1": TOO_LONG}, fallbacks, None, world, **tiers)[0] == ["s1", "p1"]
    assert ask({"s1": TOO_LONG, "p1": TOO_LONG}, fallbacks, None, world, **tiers)[0] == ["s1", "p1", "x"]
    called, error = ask({"s1": TOO_LONG, "p1": TOO_LONG, "x": TOO_LONG}, fallbacks, None, world, **tiers)
    assert called == ["s1", "p1", "x"]
    assert isinstance(error, ContextLengthExceeded)
    called, error = ask({"s1": TOO_LONG, "p1": DOWN, "x": DOWN}, fallbacks, None, world, **tiers)
    assert called == ["s1", "p1", "x"]
    assert isinstance(error, AllAttemptsFailed)
    assert ask({"s1": DOWN}, fallbacks, None, world, **tiers)[0] == ["s1", "s2"]


def test_a_request_that_a_content_policy_refused_goes_to_the_chain_for_it_only():
    fallbacks = {"content_policy": {"s1": ["p1", "x"], "p1": ["p2"]}}
    called, reply = ask({"s1": FILTERED}, fallbacks)
    assert (called, reply.deployment) == (["s1", "p1"], "p1")
    # The chain of the next one, then what is left of the first one's, and nothing of the plan.
    filtered = dict.fromkeys(("s1", "p1", "p2", "x"), FILTERED)
    called, error = ask(filtered, fallbacks)
    assert called == ["s1", "p1", "p2", "x"]
    assert type(error) is ContentFiltered
    called, error = ask(filtered | {"p2": DOWN, "x": DOWN}, fallbacks)
    assert called == ["s1", "p1", "p2", "x"]
    assert isinstance(error, AllAttemptsFailed)


def test_without_a_chain_for_it_a_refusal_by_content_policy_ends_the_request():
    for fallbacks in ({}, {"default": ["x"]}, {"content_policy": {"s2": ["x"]}, "chains": {"s1": ["p1"]}}):
        called, error = ask({"s1": FILTERED}, fallbacks)
        assert called == ["s1"]
        assert type(error) is ContentFiltered
    called, error = ask({"s1": [fails(BadRequest)]}, {"content_policy": {"s1": ["x"]}})
    assert called == ["s1"]
    assert type(error) is BadRequest
    # One that only stands in a chain, reached by the plan: nothing follows.
    called, error = ask({"s1": FILTERED}, {"content_policy": {"p1": ["s1", "x"]}})
    assert called == ["s1"]
    assert type(error) is ContentFiltered


def test_the_retry_rule_is_wrapped_only_where_there_are_content_policy_chains():
    inner = RetryPolicy()
    assert FallbackPolicy().rule(inner) is inner
    rule = FallbackPolicy(content_policy={"a": ["b"]}).rule(inner)
    for kind, error in ATTEMPT_ERRORS.items():
        failure = Failure(Request(1), error(deployment="c"), 1, 0.0, 0.0)
        decided = [each.decide(failure, random.Random(1)) for each in (rule, inner)]
        assert decided[0] == decided[1]
        assert (decided[0] == STOP) == (kind in ("bad_request", "content_filter"))


@pytest.mark.parametrize(
    ("fallbacks", "path", "expected"),
    [
        ({"chains": {"a": ["b"], "b": ["a"]}}, "chains.b.0", "no loop (b -> a -> b)"),
        ({"chains": {"a": ["a"]}}, "chains.a.0", "no loop (a -> a)"),
        (
            {"chains": {"a": ["x", "b"], "b": ["c"], "c": ["y", "a"]}},
            "chains.c.1",
            "no loop (c -> a -> b -> c)",
        ),
        ({"context_window": {"a": ["b"], "b": ["a"]}}, "context_window.b.0", "no loop (b -> a -> b)"),
        (
            {"chains": {"a": ["b"]}, "context_window": {"b": ["a"]}},
            "context_window.b.0",
            "no loop (b -> a -> b)",
        ),
        ({"content_policy": {"b": ["a"]}, "context_window": {"a": ["b"]}}, "content_policy.b.0", "no loop"),
        ({"chains": {"a": []}}, "chains.a", "at least one deployment"),
        ({"content_policy": {"a": ["b", "b"]}}, "content_policy.a.1", "each deployment once"),
        ({"default": ["a", "a"]}, "default.1", "each deployment once"),
        ({"max_fallbacks": 0}, "max_fallbacks", "an integer >= 1"),
        ({"context_windows": {}}, "context_windows", "a key of"),
    ],
)
def test_loops_and_empty_chains_are_refused_when_read(fallbacks, path, expected):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"fallbacks": fallbacks})
    assert caught.value.path == f"routing.fallbacks.{path}"
    assert expected in caught.value.expected


def test_a_tier_in_whose_chain_a_deployment_stands_is_no_loop():
    RoutingPolicy.from_dict({"fallbacks": {"chains": {"premium": ["a"], "a": ["b"], "standard": ["a"]}}})


@pytest.mark.parametrize(
    ("fallbacks", "path"),
    [
        ({"chains": {"flsh": ["pro"]}}, "chains.flsh"),
        ({"chains": {"premium": ["pro", "flsh"]}}, "chains.premium.1"),
        ({"default": ["flsh"]}, "default.0"),
        ({"context_window": {"pro": ["flsh"]}}, "context_window.pro.0"),
        ({"content_policy": {"flsh": ["pro"]}}, "content_policy.flsh"),
    ],
)
def test_unknown_deployments_are_refused_with_the_nearest(fallbacks, path):
    known = [deployment("flash"), deployment("pro")]
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"fallbacks": fallbacks}).check(known)
    assert (caught.value.path, caught.value.suggestion) == (f"routing.fallbacks.{path}", "flash")
    with pytest.raises(ConfigError, match="flsh"):
        Router(RoutingPolicy.from_dict({"fallbacks": fallbacks}), ScriptedTransport(known))


def test_fallbacks_round_trip():
    values = {
        "chains": {"premium": ["a"]},
        "default": ["b"],
        "content_policy": {"a": ["b"]},
        "max_fallbacks": 3,
    }
    made = RoutingPolicy.from_dict({"fallbacks": values})
    assert RoutingPolicy.from_dict(made.to_dict()) == made


names = [each.name for each in WORLD]
chains = st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)
tables = st.dictionaries(st.sampled_from(names), chains, max_size=4)
KINDS = ("server_error", "context_length", "content_filter", "connect", "bad_request")


def acyclic(fallbacks):
    try:
        return bool(FallbackPolicy.from_dict(fallbacks))
    except ConfigError:
        return False


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "chains": st.dictionaries(st.sampled_from([*names, *TIERS]), chains, max_size=4),
            "default": st.lists(st.sampled_from(names), max_size=4, unique=True),
            "context_window": tables,
            "content_policy": tables,
            "max_fallbacks": st.integers(1, 6),
        }
    ).filter(acyclic),
    st.dictionaries(st.sampled_from(names), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)),
    st.sampled_from(TIERS),
)
def test_whatever_the_chains_fall_backs_are_bounded_and_each_request_ends(fallbacks, script, tier):
    plan = [each.deployment.name for each in selector(fallbacks).candidates(Request(1, tier=tier), 0.0)]
    assert len(plan) == len(set(plan))
    usual = order({}, tier=tier)
    assert set(usual) <= set(plan)
    # No attempt is repeated in place, so that each call is a step of its own.
    transport_script = {
        name: [*(fails(ATTEMPT_ERRORS[kind]) for kind in kinds)] for name, kinds in script.items()
    }
    called, outcome = ask(transport_script, fallbacks, Request(1, tier=tier), max_attempts=100)
    assert called[0] == usual[0]
    assert len(called) <= len(usual) + fallbacks["max_fallbacks"]
    if called[-1] not in script:
        assert outcome.deployment == called[-1]
    else:
        assert isinstance(outcome, RoutingError)


def test_a_tier_that_does_not_exist_is_still_an_error_of_the_request():
    called, error = ask({}, {"default": ["x"]}, Request(1, tier="gold"))
    assert called == []
    assert isinstance(error, NoDeployment)
