"""Hedged requests through the Router."""

from __future__ import annotations

import asyncio
import gc

import pytest
from routing.fakes import HANG, Answer, ScriptedTransport, Streamed, deployment, fails, play, policy

from simsla.routing import (
    AllAttemptsFailed,
    BadRequest,
    ContextLengthExceeded,
    DeadlineExceeded,
    Request,
    RoutingError,
    ServerError,
)
from simsla.routing.router import Router

AMPLE = {"ratio": 1.0, "reserve": 1000.0}
BOTH = [deployment("a"), deployment("b")]


def hedged(*, max_attempts=6, breaker=None, total_s=20, **hedge):
    hedge = {"budget": AMPLE, "delay_s": 1} | hedge
    if hedge.get("kind") == "percentile":
        del hedge["delay_s"]
    return policy(hedge=hedge, max_attempts=max_attempts, breaker=breaker, timeouts={"total_s": total_s})


class Outcome:
    def __init__(self, reply, error, took_s):
        self.reply, self.error, self.took_s = reply, error, took_s

    @property
    def steps(self):
        return [tuple(step)[1:] for step in (self.reply or self.error).explanation.steps]


async def ask(router, request=None, stream=False):
    """The outcome of one request; nothing of it is left behind."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    request = request or Request(1)
    try:
        reply, error = (await router.stream(request).read() if stream else await router.handle(request)), None
    except (RoutingError, LookupError) as caught:
        reply, error = None, caught
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert asyncio.current_task().cancelling() == 0
    return Outcome(reply, error, pytest.approx(loop.time() - start))


def asked(routing, transport, request=None, **how):
    outcome = play(ask(Router(routing, transport), request, **how))
    assert set(transport.in_flight.values()) == {0}
    return outcome


def test_a_late_attempt_is_hedged_and_the_hedge_wins():
    transport = ScriptedTransport(BOTH, {"a": [Answer(5)], "b": [Answer(0.5)]})
    outcome = asked(hedged(), transport)
    assert outcome.took_s == 1.5
    assert outcome.reply.deployment == "b"
    assert outcome.reply.metadata["hedged"] is True
    assert outcome.reply.metadata["hedge_won"] is True
    assert outcome.reply.metadata["attempts"] == 2
    assert ("hedge", "b", pytest.approx(1.0)) in outcome.steps
    assert outcome.steps[-1] == ("answered", "b", "")


def test_the_primary_wins_while_its_hedge_runs():
    transport = ScriptedTransport(BOTH, {"a": [Answer(1.5)], "b": [Answer(5)]})
    outcome = asked(hedged(), transport)
    assert outcome.took_s == 1.5
    assert outcome.reply.deployment == "a"
    assert (outcome.reply.metadata["hedged"], outcome.reply.metadata["hedge_won"]) == (True, False)


def test_what_is_not_late_costs_no_task_and_says_nothing():
    transport = ScriptedTransport(BOTH, {"a": [Answer(0.9)]})

    async def main():
        made = []

        def factory(loop, coroutine, **options):
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(factory)
        reply = await Router(hedged(), transport).handle(Request(1))
        await asyncio.sleep(5)
        return reply, list(made)

    reply, made = play(main())
    assert (reply.metadata, made, transport.called) == (None, [], ["a"])


def test_a_failure_before_the_delay_is_retried_as_ever():
    transport = ScriptedTransport(BOTH, {"a": [fails(ServerError, 0.5)]})
    outcome = asked(hedged(), transport)
    assert outcome.reply.deployment == "b"
    assert "hedged" not in outcome.reply.metadata


def test_the_hedge_goes_on_where_the_primary_fails():
    transport = ScriptedTransport(BOTH, {"a": [fails(ServerError, 1.5)], "b": [Answer(2)]})
    outcome = asked(hedged(), transport)
    assert (outcome.took_s, outcome.reply.deployment) == (3.0, "b")
    assert ("failed", "a", "server_error") in outcome.steps
    assert transport.called == ["a", "b"]


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (Answer(5), Answer(1), ["attempt a", "hedge b", "attempt b", "lost a", "answered b"]),
        (Answer(2), Answer(5), ["attempt a", "hedge b", "attempt b", "lost b", "answered a"]),
        (Answer(2), Answer(1), ["attempt a", "hedge b", "attempt b", "lost b", "answered a"]),
        (Answer(3), fails(ServerError), ["attempt a", "hedge b", "attempt b", "failed b", "answered a"]),
        (fails(ServerError, 2), Answer(2), ["attempt a", "hedge b", "attempt b", "failed a", "answered b"]),
    ],
    ids=["hedge wins", "primary wins", "tie", "hedge fails", "primary fails"],
)
@pytest.mark.parametrize("on", ["completion", "first_token"])
def test_the_explanation_tells_of_every_attempt_once(a, b, told, on):
    outcome = asked(hedged(on=on), ScriptedTransport(BOTH, {"a": [a], "b": [b]}))
    steps = [f"{what} {subject}" for what, subject, _ in outcome.steps]
    assert sorted(steps) == sorted(told)
    assert steps[:3] == told[:3]
    assert steps[-1] == told[-1]


def test_the_primary_goes_on_where_the_hedge_fails():
    transport = ScriptedTransport(BOTH, {"a": [Answer(3)], "b": [fails(ServerError, 0.5)]})
    outcome = asked(hedged(), transport)
    assert (outcome.took_s, outcome.reply.deployment) == (3.0, "a")
    assert ("failed", "b", "server_error") in outcome.steps
    assert outcome.reply.metadata["hedge_won"] is False


@pytest.mark.parametrize("fails_after_s", [1.2, 1.4])
def test_where_all_fail_the_error_has_all(fails_after_s):
    transport = ScriptedTransport(
        BOTH, {"a": [fails(ServerError, fails_after_s)], "b": [fails(ServerError, 0.3)]}
    )
    outcome = asked(hedged(max_attempts=2), transport)
    assert isinstance(outcome.error, AllAttemptsFailed)
    assert sorted(error.deployment for error in outcome.error.errors) == ["a", "b"]
    assert outcome.took_s == max(fails_after_s, 1.3)


def test_the_loop_goes_on_after_a_race_that_nobody_won():
    three = [*BOTH, deployment("c", tier="economy")]
    transport = ScriptedTransport(three, {"a": [fails(ServerError, 2)], "b": [fails(ServerError, 0.1)]})
    outcome = asked(hedged(), transport)
    assert outcome.reply.deployment == "c"
    assert transport.called == ["a", "b", "b", "c"]
    assert outcome.reply.metadata["attempts"] == 4


def test_further_hedges_come_a_further_delay_apart():
    three = [*BOTH, deployment("c")]
    transport = ScriptedTransport(three, {"a": [HANG], "b": [HANG], "c": [Answer(0.5)]})
    outcome = asked(hedged(max_hedges=2), transport)
    assert (outcome.took_s, outcome.reply.deployment) == (2.5, "c")
    assert [at - transport.attempts[0][1] for _, at, _ in transport.attempts] == [0.0, 1.0, 2.0]


def test_both_at_once_without_a_delay():
    transport = ScriptedTransport(BOTH, {"a": [Answer(3)], "b": [Answer(2)]})
    outcome = asked(hedged(delay_s=0), transport)
    assert (outcome.took_s, outcome.reply.deployment) == (2.0, "b")


@pytest.mark.parametrize(("to", "called"), [("other", ["a"]), ("any", ["a", "a"])])
def test_the_same_deployment_again_only_where_that_is_wanted(to, called):
    transport = ScriptedTransport([deployment("a")], {"a": [Answer(5), Answer(0.5)]})
    outcome = asked(hedged(to=to), transport)
    assert transport.called == called
    assert outcome.took_s == (1.5 if to == "any" else 5.0)
    if to == "other":
        assert ("hedge", "none", "no deployment for it may be called") in outcome.steps


def test_another_one_is_better_than_the_same_again():
    transport = ScriptedTransport(BOTH, {"a": [Answer(5)], "b": [Answer(0.5)]})
    asked(hedged(to="any"), transport)
    assert transport.called == ["a", "b"]


def test_never_a_lower_tier():
    tiers = [deployment("a"), deployment("b", tier="economy")]
    transport = ScriptedTransport(tiers, {"a": [Answer(5)]})
    assert asked(hedged(), transport).took_s == 5.0
    assert transport.called == ["a"]


def test_a_deployment_whose_health_refuses_is_passed_over():
    three = [*BOTH, deployment("c")]
    transport = ScriptedTransport(three, {"a": [Answer(5)], "b": [fails(ServerError)], "c": [Answer(0.5)]})

    async def main():
        router = Router(hedged(breaker={"failures": 1, "open_s": 50}), transport)
        await ask(router)  # opens the breaker of b
        return await ask(router)

    outcome = play(main())
    assert transport.called == ["a", "b", "a", "c"]
    assert outcome.reply.deployment == "c"
    assert ("skipped", "b", "breaker open") in outcome.steps


def test_no_hedge_where_this_request_failed_already():
    three = [*BOTH, deployment("c")]
    transport = ScriptedTransport(three, {"a": [fails(ServerError)], "b": [HANG], "c": [Answer(0.5)]})
    asked(hedged(), transport)
    assert transport.called == ["a", "b", "c"]


def test_no_hedge_into_too_small_a_context_window():
    sizes = [
        deployment("a", context_window=20),
        deployment("b", context_window=30),
        deployment("c", context_window=10),
    ]
    transport = ScriptedTransport(sizes, {"a": [fails(ContextLengthExceeded)], "b": [Answer(3)]})
    assert asked(hedged(), transport).reply.deployment == "b"
    assert transport.called == ["a", "b"]


def test_hedges_count_as_attempts():
    transport = ScriptedTransport(
        [*BOTH, deployment("c")], {"a": [fails(ServerError, 0.1)], "b": [fails(ServerError, 9)]}
    )
    outcome = asked(hedged(max_attempts=2), transport)
    assert isinstance(outcome.error, AllAttemptsFailed)
    assert transport.called == ["a", "b"]


def test_a_hedge_has_what_is_left_of_the_deadline():
    transport = ScriptedTransport(BOTH, {"a": [HANG], "b": [HANG]})
    loop_starts_at_s = 1000.0
    outcome = asked(hedged(), transport, Request(1, deadline=loop_starts_at_s + 3))
    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.took_s == 3.0
    assert transport.attempts[1][2].total_s == pytest.approx(2.0)


def test_a_hedge_that_got_too_little_time_is_not_held_against_its_deployment():
    transport = ScriptedTransport(BOTH, {"a": [HANG], "b": [HANG, Answer()]})

    async def main():
        router = Router(hedged(breaker={"failures": 1, "open_s": 50}, total_s=3), transport)
        await ask(router, Request(1, deadline=1003.5))
        return await ask(router)

    assert play(main()).reply.deployment == "b"


def test_no_hedge_without_headroom():
    transport = ScriptedTransport(BOTH, {"a": [Answer(3)]})
    asked(hedged(min_headroom_s=5), transport, Request(1, deadline=1005.9))
    assert transport.called == ["a"]
    asked(hedged(min_headroom_s=5), transport, Request(1, deadline=1006.1))
    assert transport.called == ["a", "a", "b"]


def test_only_where_the_headroom_is_thin():
    transport = ScriptedTransport(BOTH, {"a": [Answer(6), Answer(9)], "b": [Answer(0.5)]})
    routing = hedged(when_headroom_below_s=53)  # of the 60 of the deadline
    assert asked(routing, transport).took_s == 6.0
    assert transport.called == ["a"]
    assert asked(routing, transport).took_s == 7.5
    assert transport.called == ["a", "a", "b"]


def test_the_budget_caps_the_hedges():
    transport = ScriptedTransport(BOTH, {"a": [Answer(5)], "b": [Answer(5)]})
    routing = hedged(budget={"ratio": 0.1, "reserve": 3})

    async def main():
        router = Router(routing, transport)

        async def one(number):
            await asyncio.sleep(number * 0.1)
            return await router.handle(Request(number))

        return await asyncio.gather(*(one(number) for number in range(1000)))

    replies = play(main())
    hedges = transport.called.count("b")
    # All are late; at the start the reserve is full, so that the deposits of the first second are lost.
    assert 0.1 * 1000 <= hedges <= 3 + 0.1 * 1000
    assert sum(bool(reply.metadata) for reply in replies) == hedges
    refused = next(reply for reply in replies if reply.metadata is None)
    assert "hedge none hedge budget spent" in str(refused.explanation)


def test_the_live_percentile_decides():
    transport = ScriptedTransport(BOTH, {"a": [Answer(1)] * 50 + [Answer(5)], "b": [Answer(0.5)]})
    routing = hedged(kind="percentile", percentile=0.9, min_samples=20)

    async def main():
        router = Router(routing, transport)
        return [(await ask(router)).took_s for _ in range(51)]

    assert play(main())[-1] == 1.5
    assert transport.called == ["a"] * 51 + ["b"]


@pytest.mark.parametrize(("first_may_take_s", "hedged_after_s"), [(2.5, []), (1.5, [1.0])])
def test_a_timeout_is_late_unless_it_had_too_little_time(first_may_take_s, hedged_after_s):
    transport = ScriptedTransport([deployment("a")], {"a": [HANG]})
    late = {"kind": "percentile", "percentile": 0.5, "min_samples": 1, "initial_delay_s": 1}

    async def main():
        router = Router(hedged(total_s=2, **late), transport)
        clock = asyncio.get_running_loop().time
        await ask(router, Request(1, deadline=clock() + first_may_take_s))
        start = clock()
        outcome = await ask(router)
        return [step.at_s - start for step in outcome.error.explanation.steps if step.what == "hedge"]

    # It learns that attempts take 2 s, as long as they may: none is late before.
    assert play(main()) == pytest.approx(hedged_after_s)


def test_losers_in_the_same_instant_are_paid_for():
    priced = [deployment(name, usd_per_mtok_out=1e6) for name in "ab"]
    transport = ScriptedTransport(priced, {"a": [Answer(1.5)], "b": [Answer(0.5)]})
    outcome = asked(hedged(), transport)
    # Both have 10 tokens at 1 USD; either may be first.
    assert outcome.reply.explanation.spent_usd in (10.0, 20.0)
    assert outcome.reply.metadata["tier_answered"] == "standard"
    assert outcome.steps[-1] == ("answered", outcome.reply.deployment, "")


# Cancellation


@pytest.mark.parametrize("after_s", [0.5, 1.0, 1.2, 2.5])
@pytest.mark.parametrize("primary", [HANG, fails(ServerError, 2)])
def test_a_cancelled_request_leaves_nothing_behind(after_s, primary):
    transport = ScriptedTransport(BOTH, {"a": [primary], "b": [HANG]})

    async def main():
        task = asyncio.create_task(Router(hedged(), transport).handle(Request(1)))
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main())
    assert set(transport.in_flight.values()) == {0}


@pytest.mark.parametrize("limit_s", [0.5, 1.5])
def test_a_timeout_around_a_request_is_a_timeout(limit_s):
    transport = ScriptedTransport(BOTH, {"a": [HANG], "b": [HANG]})

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(limit_s):
                await Router(hedged(), transport).handle(Request(1))
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(1)  # no cancellation is left for later

    play(main())
    assert set(transport.in_flight.values()) == {0}


class Stubborn(ScriptedTransport):
    """Its deployment "a" does not let itself be cancelled, and answers or fails half a second later."""

    def __init__(self, *given, error=None, **options):
        super().__init__(*given, **options)
        self.error = error

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        try:
            return await super().send(request, deployment, timeouts=timeouts)
        except asyncio.CancelledError:
            if deployment.name != "a":
                raise
            await asyncio.sleep(0.5)
            if self.error is not None:
                raise self.error from None
            self.script["a"] = [Answer(0.0)]
            return await super().send(request, deployment, timeouts=timeouts)


@pytest.mark.parametrize("error", [None, ServerError(deployment="a")])
def test_a_primary_that_cannot_be_cancelled_still_loses(error):
    transport = Stubborn(BOTH, {"a": [HANG], "b": [Answer(0.5)]}, error=error)
    outcome = asked(hedged(), transport)
    assert (outcome.reply.deployment, outcome.took_s) == ("b", 2.0)
    assert outcome.reply.metadata["hedge_won"] is True


@pytest.mark.parametrize("error", [None, ServerError(deployment="a")])
def test_a_cancellation_while_losers_end_is_not_lost(error):
    transport = Stubborn(BOTH, {"a": [HANG], "b": [Answer(0.5)]}, error=error)

    async def main():
        task = asyncio.create_task(Router(hedged(), transport).handle(Request(1)))
        await asyncio.sleep(1.7)  # b has won, a has not ended yet
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main())
    assert set(transport.in_flight.values()) == {0}


class Broken(ScriptedTransport):
    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        if deployment.name == "b":
            raise LookupError("a mistake")
        return await super().send(request, deployment, timeouts=timeouts)


def test_a_mistake_in_a_hedge_is_not_hidden():
    outcome = asked(hedged(), Broken(BOTH, {"a": [Answer(5)]}))
    assert isinstance(outcome.error, LookupError)
    assert outcome.took_s == 1.0


def test_errors_of_a_race_make_no_cycle():
    transport = ScriptedTransport(BOTH, {"a": [fails(ServerError, 2)], "b": [fails(BadRequest, 0.5)]})

    async def main():
        router = Router(hedged(max_attempts=2), transport)

        async def failing():
            task = asyncio.create_task(router.handle(Request(1)))
            await asyncio.wait([task])
            assert isinstance(task.exception(), AllAttemptsFailed)

        await failing()
        gc.collect()
        await failing()
        return gc.collect()

    gc.disable()
    try:
        assert play(main()) == 0
    finally:
        gc.enable()


# On the first token


def streamed(**hedge):
    return hedged(on="first_token", **hedge)


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_token_decides_and_the_winner_is_read_to_its_end(stream):
    transport = ScriptedTransport(BOTH, {"a": [Streamed(5, 0.1)], "b": [Streamed(0.5, 4, 4)]})
    outcome = asked(streamed(), transport, stream=stream)
    assert (outcome.took_s, outcome.reply.deployment) == (9.5, "b")
    assert outcome.reply.text == "0 1 2 "
    assert outcome.reply.metadata["hedge_won"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_answer_is_not_late(stream):
    transport = ScriptedTransport(BOTH, {"a": [Streamed(0.5, 4, 4)]})
    assert asked(streamed(), transport, stream=stream).took_s == 8.5
    assert transport.called == ["a"]


def test_a_stream_that_breaks_off_after_the_race_is_retried():
    transport = ScriptedTransport(
        BOTH, {"a": [Streamed(5, 1)], "b": [Streamed(0.5, 1, error=ServerError), Streamed(0.5, 0.5)]}
    )
    outcome = asked(streamed(), transport)
    assert transport.called == ["a", "b", "b"]
    assert outcome.reply.text == "0 1 "


def test_the_first_tokens_of_both_in_one_instant():
    transport = ScriptedTransport(BOTH, {"a": [Streamed(1.5, 2)], "b": [Streamed(0.5, 2)]})
    outcome = asked(streamed(), transport)
    assert outcome.took_s == 3.5


def test_a_reader_that_leaves_ends_the_race():
    transport = ScriptedTransport(BOTH, {"a": [Streamed(5, 1)], "b": [Streamed(5, 1)]})

    async def main():
        stream = Router(streamed(), transport).stream(Request(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await anext(stream)
        await stream.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main())
    assert set(transport.in_flight.values()) == {0}
