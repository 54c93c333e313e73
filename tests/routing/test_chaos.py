"""Faults on purpose."""

import asyncio
from collections import Counter

import pytest
from routing.fakes import ScriptedTransport, deployment, play, policy

from simsla.routing import (
    AttemptTimeout,
    ChaosPolicy,
    ConfigError,
    Reply,
    Request,
    Router,
    RoutingError,
    ServerError,
    Timeouts,
)
from simsla.routing.router.chaos import ChaosTransport

AB = [deployment("a"), deployment("b")]


async def outcomes(router, requests):
    async def one(number):
        try:
            return await router.handle(Request(number))
        except RoutingError as error:
            return error

    return [await one(number) for number in range(requests)]


def test_the_share_of_attempts_asked_for_fails_without_being_sent():
    transport = ScriptedTransport(AB)
    router = Router(policy(chaos={"faults": {"server_error": 0.3}}, breaker=None, max_attempts=1), transport)
    ended = Counter(type(each).__name__ for each in play(outcomes(router, 2000)))
    assert abs(ended["AllAttemptsFailed"] - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5
    assert len(transport.attempts) == ended["Reply"]


def test_a_drill_of_the_fail_over():
    """An injected failure is the deployment's own: the breaker opens, the next one answers."""
    transport = ScriptedTransport(AB)
    router = Router(
        policy(chaos={"faults": {"unavailable": 1.0}, "deployments": ["a"]}, breaker={"failures": 3}),
        transport,
    )
    replies = play(outcomes(router, 10))
    assert {each.deployment for each in replies} == {"b"}
    assert [each.progress.attempts for each in replies] == [2] * 3 + [1] * 7
    assert "injected" not in str(replies[0].metadata)


def test_a_delay_takes_its_part_of_the_limit():
    transport = ScriptedTransport(AB)
    chaos = {"latency_share": 1.0, "latency_s": 2.0}
    router = Router(policy(chaos=chaos, timeouts={"total_s": 5.0}), transport)
    play(router.handle(Request(1)))
    assert transport.attempts[0][2].total_s == pytest.approx(3.0)
    slow = Router(policy(chaos=chaos | {"latency_s": 60.0}, timeouts={"total_s": 5.0}), transport)

    async def main():
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(RoutingError):
            await slow.handle(Request(1))
        return asyncio.get_running_loop().time() - began_s

    assert play(main()) == pytest.approx(10.0)  # both deployments, 5 s each


@pytest.mark.parametrize(("limits", "ends_s"), [((10.0, 2.0), 2.0), ((1.0, 2.0), 1.0), ((10.0, None), 5.0)])
def test_a_delay_of_a_stream_ends_at_its_first_limit(limits, ends_s):
    transport = ScriptedTransport(AB)
    first_token_s, total_s = limits
    chaos = ChaosTransport(ChaosPolicy(latency_share=1.0, latency_s=5.0), transport)

    async def main():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        timeouts = Timeouts(first_token_s=first_token_s, total_s=total_s)
        try:
            async with chaos.stream(Request(1), AB[0], timeouts=timeouts):
                pass
        except AttemptTimeout:
            assert not transport.attempts
        return loop.time() - began_s

    assert play(main()) == pytest.approx(ends_s)


def test_the_same_generator_meddles_in_the_same_way():
    def run():
        router = Router(policy(chaos={"faults": {"connect": 0.5}}), ScriptedTransport(AB, seed=3))
        return [isinstance(each, Reply) and each.deployment for each in play(outcomes(router, 50))]

    assert run() == run()


def test_streams_fail_on_purpose_too():
    router = Router(policy(chaos={"faults": {"server_error": 1.0}}, max_attempts=1), ScriptedTransport(AB))

    async def main():
        async for _ in router.stream(Request(1, stream=True)):
            pass

    with pytest.raises(RoutingError) as caught:
        play(main())
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "faults"),
        ({"faults": {"server_error": 0.7, "connect": 0.7}}, "faults"),
        ({"faults": {"sever_error": 0.1}}, "faults.sever_error"),
        ({"faults": {"timeout": 1.5}}, "faults.timeout"),
        ({"latency_share": True}, "latency_share"),
    ],
)
def test_mistakes_are_refused(values, path):
    with pytest.raises(ConfigError) as caught:
        ChaosPolicy.from_dict(values)
    assert caught.value.path == path


def test_an_unknown_deployment_is_refused():
    with pytest.raises(ConfigError, match=r"chaos\.deployments\.0"):
        Router(policy(chaos={"faults": {"connect": 0.1}, "deployments": ["c"]}), ScriptedTransport(AB))
