"""The Router decides alike in virtual time and over HTTP."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simsla.routing import Deployment, RoutingPolicy
from simsla.testing import ROUTER_EPISODES, Episode, check_router
from simsla.testing.arms import HttpArm, SimulatedArm
from simsla.testing.behaviours import HANG, OK, SERVER_ERROR
from simsla.testing.router_cases import deployments_of, play

BY_NAME = {episode.name: episode for episode in ROUTER_EPISODES}

SHORT = {
    "deadline_s": 4,
    "timeouts": {"total_s": "600ms"},
    "retry": {"backoff": {"base_s": 0.02, "cap_s": 0.05}, "retry_after_cap_s": 0.5},
    "breaker": {"open_s": 30},
}

PLAIN = RoutingPolicy.from_dict(SHORT)

# Chance decides the order, and the generator is the same on both arms.
VARIED = RoutingPolicy.from_dict(
    SHORT
    | {
        "tiers": {"standard": ["a", "b", "c"], "economy": ["d"]},
        "selection": {"kind": "power_of_d"},
        "retry_budget": {"kind": "aws"},
        "streaming": {},
    }
)


@pytest.mark.parametrize("episode", ROUTER_EPISODES, ids=lambda episode: episode.name)
def test_a_plain_policy(episode):
    check_router(PLAIN, episodes=[episode])


@pytest.mark.parametrize(
    "name",
    [
        "the first fails for good",
        "the first hangs",
        "only the last answers",
        "all are down",
        *(episode.name for episode in ROUTER_EPISODES if episode.stream),
    ],
)
def test_a_policy_with_chance_and_streams(name):
    check_router(VARIED, episodes=[BY_NAME[name]])


def test_a_breaker_that_lets_a_probe_through():
    policy = RoutingPolicy.from_dict(SHORT | {"breaker": {"failures": 2, "open_s": 0.2}})
    episode = Episode("back after a while", ((SERVER_ERROR, SERVER_ERROR, OK), (OK,)), requests=3, gap_s=0.6)
    check_router(policy, episodes=[episode])
    assert told(policy, episode)[2] == "first answered -> answered by first with 64 tokens"


def test_a_hedge():
    policy = RoutingPolicy.from_dict(
        SHORT | {"hedge": {"kind": "fixed", "delay_s": 0.1, "budget": {"ratio": 1.0}}}
    )
    episode = Episode("the first hangs, and the second wins", ((HANG,), (OK,)))
    check_router(policy, episodes=[episode])
    assert told(policy, episode) == ["first cancelled, second answered -> answered by second with 64 tokens"]


STREAMS = [episode.name for episode in ROUTER_EPISODES if episode.stream]


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_are_resumed(name):
    policy = RoutingPolicy.from_dict(SHORT | {"streaming": {"resume": True}})
    check_router(policy, episodes=[BY_NAME[name]])
    assert "with 64 tokens" in told(policy, BY_NAME[name])[0]


def told(policy, episode, arm=None):
    """What the simulated arm, or another, says."""
    deployments = deployments_of(policy)
    scripts = episode.scripts_for(deployments)
    return (arm or SimulatedArm()).run(deployments, scripts, play(policy, episode), 60)


def test_what_is_told_says_who_was_called_and_how_it_ended():
    policy = RoutingPolicy.from_dict(SHORT | {"tiers": {"standard": ["x", "y"]}})
    assert told(policy, BY_NAME["the first fails for good"])[0] == (
        "x server_error, x server_error, y answered -> answered by y with 64 tokens"
    )
    assert told(policy, BY_NAME["the request is refused"]) == ["x bad_request -> BadRequest"]
    assert told(policy, BY_NAME["all hang"]) == ["x timeout, y timeout -> AllAttemptsFailed"]


def test_the_deployments_are_those_of_the_policy_or_those_given():
    assert [each.name for each in deployments_of(PLAIN)] == ["first", "second", "cheap"]
    assert [(each.name, each.tier) for each in deployments_of(VARIED)] == [
        ("a", "standard"),
        ("b", "standard"),
        ("c", "standard"),
        ("d", "economy"),
    ]
    given = [Deployment("one", "m"), Deployment("two", "m", region="eu", context_window=1000)]
    check_router(PLAIN, deployments=given, episodes=[BY_NAME["the first fails once"]])


# Policies that do not decide alike


class Sided:
    """A policy that knows on which side it is."""

    def __init__(self, on_http):
        self.on_http = on_http

    def __call__(self, transport):
        handle = PLAIN(transport)

        async def sided(request):
            if transport.deployments[0].base_url is not None:
                return await self.on_http(transport, request)
            return await handle(request)

        return sided


async def fails(transport, request):
    raise ZeroDivisionError("no answer")


async def asks_the_second(transport, request):
    return await transport.send(request, transport.deployments[1], timeouts=PLAIN.timeouts.resolve(4))


def test_a_difference_is_found_and_told():
    with pytest.raises(AssertionError) as caught:
        check_router(Sided(asks_the_second), episodes=[BY_NAME["all is well"]])
    message = str(caught.value)
    assert message.startswith("all is well: [simulated] first answered -> answered by first with 64 tokens")
    assert "[http] second answered -> answered by second with 64 tokens" in message


def test_a_policy_that_breaks_on_one_arm_is_named_with_it():
    with pytest.raises(AssertionError, match=r"^all is well \[http\]: ZeroDivisionError: no answer$"):
        check_router(Sided(fails), episodes=[BY_NAME["all is well"]])


def test_an_episode_that_takes_too_long_has_failed():
    policy = replace(PLAIN, deadline_s=100.0, timeouts=replace(PLAIN.timeouts, total_s=50.0))
    with pytest.raises(AssertionError) as caught:
        check_router(policy, episodes=[BY_NAME["all hang"]], limit_s=0.3)
    assert str(caught.value).splitlines() == [
        f"all hang [{arm.name}]: not over after 0.3 s" for arm in (SimulatedArm(), HttpArm())
    ]
