from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import weakref

import pytest
from routing.fakes import HANG, Answer, ScriptedTransport, deployment, fails, play, policy

from simsla.routing import (
    AllAttemptsFailed,
    AuthenticationFailed,
    BadRequest,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    DeadlineExceeded,
    NoDeployment,
    RateLimited,
    Reply,
    Request,
    ServerError,
    ServiceUnavailable,
    Timeouts,
)

ABC = [deployment("a"), deployment("b"), deployment("c")]
EAGER = {"max_attempts": 3, "backoff": {"base_s": 0}}
DOWN = [fails(ServerError)]


def ask(transport, routing, request=None):
    """The reply or the error, and how long it took."""

    async def main():
        loop = asyncio.get_running_loop()
        handle = routing(transport)
        start = loop.time()
        try:
            outcome = await handle(request or Request(1))
        except Exception as error:
            outcome = error
        return outcome, loop.time() - start

    return play(main())


def test_the_plain_path_is_one_attempt_and_a_reply_left_alone():
    transport = ScriptedTransport(ABC)
    reply, took_s = ask(transport, policy())
    assert (reply.deployment, reply.metadata) == ("a", None)
    assert took_s == pytest.approx(0.1)
    assert transport.called == ["a"]


def test_a_failed_deployment_is_retried_and_then_left_for_the_next():
    transport = ScriptedTransport(ABC, {"a": DOWN})
    reply, _ = ask(transport, policy(retry=EAGER))
    assert transport.called == ["a", "a", "a", "b"]
    assert reply.metadata == {
        "tier_asked": "standard",
        "tier_answered": "standard",
        "degraded": False,
        "attempts": 4,
        "note": "answered by b at attempt 4",
    }


def test_a_retry_that_succeeds_ends_the_matter():
    transport = ScriptedTransport(ABC, {"a": [fails(ServerError), Answer()]})
    reply, _ = ask(transport, policy(retry=EAGER))
    assert (transport.called, reply.metadata["attempts"]) == (["a", "a"], 2)


def test_no_request_makes_more_attempts_than_allowed():
    transport = ScriptedTransport(ABC, {"a": DOWN, "b": DOWN})
    error, _ = ask(transport, policy(retry=EAGER, max_attempts=5))
    assert transport.called == ["a", "a", "a", "b", "b"]
    assert isinstance(error, AllAttemptsFailed)
    assert [each.deployment for each in error.errors] == transport.called


def test_when_everything_failed_the_error_holds_every_attempt():
    transport = ScriptedTransport(
        ABC, {"a": DOWN, "b": [fails(ConnectError)], "c": [fails(AuthenticationFailed)]}
    )
    error, _ = ask(transport, policy())
    assert isinstance(error, AllAttemptsFailed)
    assert [each.kind for each in error.errors] == ["server_error", "connect", "authentication"]


@pytest.mark.parametrize("cause", [BadRequest, ContentFiltered])
def test_a_request_that_can_never_succeed_is_tried_once(cause):
    transport = ScriptedTransport(ABC, {"a": [fails(cause)]})
    error, _ = ask(transport, policy(retry=EAGER))
    assert type(error) is cause
    assert transport.called == ["a"]


def test_too_long_a_request_looks_for_a_larger_window():
    sizes = [
        deployment("a", context_window=32),
        deployment("b", context_window=16),
        deployment("c", context_window=64),
    ]
    transport = ScriptedTransport(sizes, {"a": [fails(ContextLengthExceeded)]})
    reply, _ = ask(transport, policy(retry=EAGER))
    assert (transport.called, reply.deployment) == (["a", "c"], "c")


def test_too_long_for_every_window_is_the_fault_of_the_request():
    transport = ScriptedTransport([deployment("a", context_window=32)], {"a": [fails(ContextLengthExceeded)]})
    error, _ = ask(transport, policy(retry=EAGER))
    assert type(error) is ContextLengthExceeded


def test_too_long_is_not_the_verdict_where_a_larger_window_is_down():
    sizes = [deployment("a", context_window=32), deployment("c", context_window=64)]
    transport = ScriptedTransport(sizes, {"a": [fails(ContextLengthExceeded)], "c": DOWN})
    error, _ = ask(transport, policy())
    assert isinstance(error, AllAttemptsFailed)
    assert transport.called == ["a", "c"]


def test_too_long_is_not_the_verdict_where_a_larger_window_is_left_untried():
    sizes = [deployment("a", context_window=32), deployment("c", context_window=64)]
    too_long = {"a": [fails(ContextLengthExceeded)]}
    error, _ = ask(ScriptedTransport(sizes, too_long), policy(max_attempts=1))
    assert isinstance(error, AllAttemptsFailed)
    transport = ScriptedTransport(sizes, too_long | {"c": DOWN})
    outcomes = series(transport, policy(breaker={"failures": 1, "open_s": 1000}), 3)
    assert outcomes == ["AllAttemptsFailed"] * 3
    assert transport.called == ["a", "c", "a", "a"]


def test_premium_degrades_to_standard_and_economy_with_a_note():
    tiers = [deployment("e", "economy"), deployment("s"), deployment("p", "premium")]
    request = Request(1, tier="premium")
    transport = ScriptedTransport(tiers, {"p": DOWN, "s": DOWN})
    reply, _ = ask(transport, policy(), request)
    assert transport.called == ["p", "s", "e"]
    assert reply.metadata == {
        "tier_asked": "premium",
        "tier_answered": "economy",
        "degraded": True,
        "attempts": 3,
        "note": "asked for premium, answered by e at attempt 3, which is economy",
    }
    error, _ = ask(ScriptedTransport(tiers, {"p": DOWN}), policy(degrade=False), request)
    assert isinstance(error, AllAttemptsFailed)


def test_the_note_is_added_to_what_the_transport_said():
    class Talkative(ScriptedTransport):
        async def send(self, request, deployment, *, timeouts, max_tokens=None):
            reply = await super().send(request, deployment, timeouts=timeouts)
            reply.metadata = {"usage": 3}
            return reply

    reply, _ = ask(Talkative(ABC, {"a": DOWN}), policy())
    assert reply.metadata["usage"] == 3
    assert reply.metadata["attempts"] == 2


def test_a_region_that_refuses_connections_is_avoided():
    world = [
        deployment("us-1", region="us"),
        deployment("us-2", region="us"),
        deployment("eu-1", region="eu"),
    ]
    transport = ScriptedTransport(world, {"us-1": [fails(ConnectError)]})
    ask(transport, policy(), Request(1, region="us"))
    assert transport.called == ["us-1", "eu-1"]
    transport = ScriptedTransport(world, {"us-1": DOWN})
    ask(transport, policy(), Request(1, region="us"))
    assert transport.called == ["us-1", "us-2"]


def test_back_off_lies_between_attempts_and_not_after_the_last():
    routing = policy(
        retry={"max_attempts": 3, "backoff": {"base_s": 1, "cap_s": 8}}, deadline_s=1000, breaker=None
    )
    transport = ScriptedTransport(ABC[:1], {"a": DOWN})
    error, took_s = ask(transport, routing)
    starts = [start for _, start, _ in transport.attempts]
    gaps = [later - start - 0.1 for start, later in itertools.pairwise(starts)]
    assert len(error.errors) == 3
    assert 0 < gaps[0] < 1
    assert 0 < gaps[1] < 2
    assert took_s == pytest.approx(0.3 + sum(gaps))


def test_retry_after_is_waited_for_up_to_its_cap():
    routing = policy(retry={"max_attempts": 2, "backoff": {"base_s": 0}, "retry_after_cap_s": 3})
    short = [fails(lambda: RateLimited(retry_after_s=3.0)), Answer()]
    transport = ScriptedTransport(ABC, {"a": short})
    _, took_s = ask(transport, routing)
    assert transport.called == ["a", "a"]
    assert took_s == pytest.approx(3.2)
    transport = ScriptedTransport(
        ABC, {"a": [fails(lambda: ServiceUnavailable(retry_after_s=3.1)), Answer()]}
    )
    _, took_s = ask(transport, routing)
    assert transport.called == ["a", "b"]
    assert took_s == pytest.approx(0.2)


def test_no_wait_passes_the_deadline():
    routing = policy(
        retry={"max_attempts": 9, "backoff": {"base_s": 0}, "retry_after_cap_s": 60},
        deadline_s=10,
    )
    limited = [fails(lambda: RateLimited(retry_after_s=9.95))]
    transport = ScriptedTransport(ABC[:2], {"a": limited})
    _, took_s = ask(transport, routing)
    assert transport.called == ["a", "b"]
    assert took_s == pytest.approx(0.2)
    error, took_s = ask(ScriptedTransport(ABC[:1], {"a": limited}), routing)
    assert isinstance(error, AllAttemptsFailed)
    assert took_s == pytest.approx(0.1)


def test_a_hung_deployment_costs_one_timeout_and_not_the_request():
    transport = ScriptedTransport(ABC, {"a": [HANG]})
    reply, took_s = ask(transport, policy(timeouts={"total_s": 4}))
    assert reply.deployment == "b"
    assert took_s == pytest.approx(4.1)


def test_timeouts_are_cut_to_what_is_left_of_the_deadline():
    transport = ScriptedTransport(ABC, {"a": [HANG], "b": [HANG], "c": [HANG]})
    routing = policy(deadline_s=10, timeouts={"connect_s": 5, "first_token_s": 5, "idle_s": 2, "total_s": 6})
    error, took_s = ask(transport, routing)
    assert isinstance(error, DeadlineExceeded)
    assert [each.kind for each in error.errors] == ["timeout", "timeout"]
    assert took_s == pytest.approx(10)
    assert [timeouts for _, _, timeouts in transport.attempts] == [
        Timeouts(5.0, 5.0, 2.0, 6.0),
        Timeouts(pytest.approx(4), pytest.approx(4), 2.0, pytest.approx(4)),
    ]


@pytest.mark.parametrize("script", [[HANG], DOWN])
def test_the_earlier_deadline_holds(script):
    async def main(routing, deadline_s):
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises((DeadlineExceeded, AllAttemptsFailed)) as caught:
            await routing(ScriptedTransport(ABC[:1], {"a": script}))(Request(1, deadline=start + deadline_s))
        return type(caught.value), loop.time() - start

    routing = policy(deadline_s=8, timeouts={"total_s": 8})
    for asked_s, limit_s in [(2, 2), (8, 8), (50, 8)]:
        verdict, took_s = play(main(routing, asked_s))
        assert verdict is (DeadlineExceeded if script[0] is HANG else AllAttemptsFailed)
        assert took_s == pytest.approx(limit_s if script[0] is HANG else 0.1)


def test_a_request_that_comes_too_late_is_not_tried():
    transport = ScriptedTransport(ABC)
    error, took_s = ask(transport, policy(), Request(1, deadline=999.0))
    assert isinstance(error, DeadlineExceeded)
    assert (transport.called, took_s, error.errors) == ([], 0.0, ())


def test_nothing_to_call_is_said_so():
    request = Request(1, tier="premium")
    error, _ = ask(ScriptedTransport(ABC), policy(degrade=False), request)
    assert isinstance(error, NoDeployment)
    error, _ = ask(ScriptedTransport([]), policy())
    assert isinstance(error, NoDeployment)


def series(transport, routing, count, *, every_s=0.0, request=Request):
    """Requests one after the other; the name of what answered, or of the error."""

    async def main():
        handle = routing(transport)
        outcomes = []
        for number in range(count):
            try:
                outcomes.append((await handle(request(number))).deployment)
            except Exception as error:
                outcomes.append(type(error).__name__)
            await asyncio.sleep(every_s)
        return outcomes

    return play(main())


def test_an_open_breaker_sends_requests_on_without_an_attempt():
    transport = ScriptedTransport(ABC[:2], {"a": DOWN})
    outcomes = series(transport, policy(breaker={"failures": 3, "open_s": 100}), 6)
    assert outcomes == ["b"] * 6
    assert transport.called == ["a", "b", "a", "b", "a", "b", "b", "b", "b"]


def test_when_every_breaker_is_open_nothing_is_tried():
    transport = ScriptedTransport(ABC[:1], {"a": DOWN})
    outcomes = series(transport, policy(breaker={"failures": 2, "open_s": 100}), 4)
    assert outcomes == ["AllAttemptsFailed", "AllAttemptsFailed", "NoDeployment", "NoDeployment"]
    assert len(transport.called) == 2


def test_a_probe_finds_out_that_a_deployment_is_back():
    transport = ScriptedTransport(ABC[:2], {"a": [fails(ServerError), fails(ServerError), Answer()]})
    outcomes = series(transport, policy(breaker={"failures": 1, "open_s": 10}), 30, every_s=1.0)
    assert transport.called.count("a") - outcomes.count("a") == 2
    recovered = outcomes.index("a")
    assert recovered > 15
    assert set(outcomes[recovered:]) == {"a"}


def test_no_retry_waits_for_a_breaker_that_has_just_opened():
    routing = policy(
        retry={"max_attempts": 5, "backoff": {"base_s": 1}}, breaker={"failures": 1, "open_s": 100}
    )
    transport = ScriptedTransport(ABC[:2], {"a": DOWN})
    reply, took_s = ask(transport, routing)
    assert transport.called == ["a", "b"]
    assert took_s == pytest.approx(0.2)
    assert reply.deployment == "b"


def test_a_breaker_that_opens_during_a_wait_sends_the_request_on_with_fresh_retries():
    limited = fails(lambda: RateLimited(retry_after_s=2.0))
    transport = ScriptedTransport(
        ABC[:2], {"a": [limited, *DOWN], "b": [Answer(), fails(ServerError), Answer()]}
    )
    routing = policy(
        retry={"max_attempts": 2, "backoff": {"base_s": 0}}, breaker={"failures": 3, "open_s": 100}
    )

    async def main():
        handle = routing(transport)
        waiting = asyncio.create_task(handle(Request(1)))
        await asyncio.sleep(1)
        await handle(Request(2))
        return (await waiting).deployment

    assert play(main()) == "b"
    assert transport.called == ["a", "a", "a", "b", "b", "b"]


@pytest.mark.parametrize("cause", [BadRequest, ContentFiltered, ContextLengthExceeded])
def test_malformed_requests_close_no_deployment(cause):
    transport = ScriptedTransport(ABC[:1], {"a": [*[fails(cause)] * 20, Answer()]})
    outcomes = series(transport, policy(breaker={"failures": 1, "open_s": 1000}), 21)
    assert outcomes == [cause.__name__] * 20 + ["a"]


@pytest.mark.parametrize("cause", [RateLimited, AuthenticationFailed])
def test_refusals_that_are_the_deployments_count(cause):
    transport = ScriptedTransport(ABC[:1], {"a": [fails(cause)]})
    series(transport, policy(breaker={"failures": 2, "open_s": 1000}), 5)
    assert len(transport.called) == 2


def test_a_hung_deployment_does_not_close_those_tried_after_it():
    slow = [Answer(after_s=3.0)]
    transport = ScriptedTransport(ABC[:2], {"a": [HANG], "b": slow})
    routing = policy(deadline_s=6, timeouts={"total_s": 5}, breaker={"failures": 2, "open_s": 1000})
    outcomes = series(transport, routing, 5)
    assert outcomes == ["DeadlineExceeded", "DeadlineExceeded", "b", "b", "b"]


def test_a_deployment_that_hangs_through_the_whole_deadline_counts():
    async def main():
        transport = ScriptedTransport(ABC[:1], {"a": [HANG]})
        handle = policy(breaker={"failures": 2, "open_s": 1000})(transport)
        for number in range(4):
            with pytest.raises((DeadlineExceeded, NoDeployment)):
                await handle(Request(number, deadline=asyncio.get_running_loop().time() + 1.0))
        return transport.called

    assert play(main()) == ["a", "a"]


def test_at_once_no_more_requests_probe_than_allowed():
    transport = ScriptedTransport(ABC[:2], {"a": [fails(ServerError), Answer(5.0)]})

    async def main():
        handle = policy(breaker={"failures": 1, "open_s": 10, "half_open_probes": 2})(transport)
        await handle(Request(0))
        await asyncio.sleep(10)
        replies = await asyncio.gather(*(handle(Request(number)) for number in range(1, 20)))
        return [reply.deployment for reply in replies]

    answered = play(main())
    assert transport.peak["a"] == 2
    assert answered.count("a") == 2


def test_a_cancelled_probe_can_be_used_again():
    transport = ScriptedTransport(ABC[:1], {"a": [fails(ServerError), HANG, Answer()]})

    async def main():
        handle = policy(breaker={"failures": 1, "open_s": 10})(transport)
        with pytest.raises(AllAttemptsFailed):
            await handle(Request(0))
        await asyncio.sleep(10)
        probe = asyncio.create_task(handle(Request(1)))
        await asyncio.sleep(1)
        with pytest.raises(NoDeployment):
            await handle(Request(2))
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        return (await handle(Request(3))).deployment

    assert play(main()) == "a"
    assert transport.in_flight == {"a": 0}


def test_cancelled_while_it_waits_a_request_makes_no_further_attempt():
    transport = ScriptedTransport(ABC, {"a": [fails(lambda: RateLimited(retry_after_s=5.0))]})

    async def main():
        task = asyncio.create_task(policy(retry={"max_attempts": 3})(transport)(Request(1)))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(20)

    play(main())
    assert transport.called == ["a"]


def test_a_mistake_in_the_transport_is_neither_hidden_nor_held_against_anybody():
    transport = ScriptedTransport(
        ABC[:1], {"a": [*[fails(lambda: ZeroDivisionError("mistake"))] * 9, Answer()]}
    )
    outcomes = series(transport, policy(breaker={"failures": 1, "open_s": 1000}), 10)
    assert outcomes == ["ZeroDivisionError"] * 9 + ["a"]


def test_the_same_generator_gives_the_same_run():
    def starts(seed):
        transport = ScriptedTransport(ABC, dict.fromkeys("abc", DOWN), seed=seed)
        ask(transport, policy(retry={"max_attempts": 2}))
        return [(name, start) for name, start, _ in transport.attempts]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def test_a_router_may_be_made_before_the_loop_runs():
    handle = policy()(ScriptedTransport(ABC))
    assert isinstance(play(handle(Request(1))), Reply)


def test_failed_attempts_leave_no_garbage_to_collect():
    errors = []

    def remembered():
        error = ServerError()
        errors.append(weakref.ref(error))
        return error

    async def main():
        await policy()(ScriptedTransport(ABC, {"a": [fails(remembered)]}))(Request(1))
        with contextlib.suppress(AllAttemptsFailed):
            await policy()(ScriptedTransport(ABC, {name: [fails(remembered)] for name in "abc"}))(Request(2))

    gc.disable()
    try:
        play(main())
        assert len(errors) == 4
        assert [error() for error in errors] == [None] * 4
    finally:
        gc.enable()


def test_a_tier_that_does_not_exist_is_an_error_with_its_explanation():
    with pytest.raises(NoDeployment, match="there is no tier 'gold'") as caught:
        play(policy()(ScriptedTransport([deployment("a")]))(Request(1, tier="gold")))
    assert caught.value.explanation.attempts == 0
