from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import HANG, Answer, ScriptedTransport, deployment, fails, play, policy
from simulation import scenarios

from simsla.records.names import ATTEMPT_OUTCOMES, OUTCOMES
from simsla.routing import (
    AllAttemptsFailed,
    NoDeployment,
    RateLimited,
    Reply,
    Request,
    RoutingError,
    ServerError,
    Shed,
)
from simsla.simulation import run_one

A = [deployment("a")]
AB = [deployment("a"), deployment("b")]
LINE = {"on_rate_limit": True}


class Outcome:
    """What became of a request, and when, in seconds since the first one."""

    def __init__(self, result, at_s):
        self.result = result
        self.at_s = at_s

    @property
    def queued_s(self):
        steps = self.result.explanation.steps
        return sum(step.why for step in steps if step.what == "queue" and step.subject == "waited")


def flood(routing, transport, requests, every_s=0.0, cancel=None, last=None):
    """The outcome of each request, None of one that was cancelled: ``cancel`` is its index and when.

    The ``last`` one comes alone, long after the others, when everything works again.
    """

    async def one(handle, number, request):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(number * every_s)
        try:
            result = await handle(request)
        except RoutingError as error:
            result = error
        return Outcome(result, loop.time() - transport.start_s)

    async def main():
        transport.start_s = asyncio.get_running_loop().time()
        handle = routing(transport)
        tasks = [asyncio.create_task(one(handle, *each)) for each in enumerate(requests)]
        if cancel is not None:
            asyncio.get_running_loop().call_later(cancel[1], tasks[cancel[0]].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        if last is not None:
            await asyncio.sleep(120.0)
            transport.script = {}
            tasks.append(asyncio.create_task(one(handle, 0, last)))
            await asyncio.wait(tasks)
        return [None if task.cancelled() else task.result() for task in tasks]

    return play(main())


def requests(count, **settings):
    return [Request(number, **settings) for number in range(count)]


def begun(transport):
    return [round(at_s - transport.start_s, 6) for _, at_s, _ in transport.attempts]


def limited(retry_after_s=None, after_s=0.1):
    return fails(lambda: RateLimited(retry_after_s=retry_after_s), after_s)


# The queue before the Router.


def test_requests_over_the_limit_wait_for_their_turn():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    outcomes = flood(policy(queue={"max_concurrent": 2}), transport, requests(5))
    assert [each.at_s for each in outcomes] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert transport.peak == {"a": 2}
    assert [each.queued_s for each in outcomes] == [0.0, 0.0, 1.0, 1.0, 2.0]
    assert outcomes[4].result.metadata == {"queued_s": 2.0}
    assert outcomes[0].result.metadata is None


def test_the_more_important_go_first():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    asked = [Request(number, priority=priority) for number, priority in enumerate([0, 0, 1, 5, 1])]
    flood(policy(queue={"max_concurrent": 1}), transport, asked)
    assert [each.id for each in transport.requests] == [0, 3, 2, 4, 1]


def test_the_error_says_why_a_request_was_shed():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    outcomes = flood(policy(queue={"max_concurrent": 1, "max_waiting": 1}), transport, requests(3))
    assert isinstance(outcomes[2].result, Shed)
    assert "the queue is full" in str(outcomes[2].result)
    assert outcomes[2].at_s == 0.0
    (step,) = outcomes[2].result.explanation.steps
    assert step[1:] == ("queue", "shed", "the queue is full")


@pytest.mark.parametrize(
    ("settings", "at_s"),
    [({"max_wait_s": 2.0}, 2.0), ({"min_service_s": 3.0}, 7.0), ({}, 10.0)],
)
def test_nobody_waits_longer_than_is_useful(settings, at_s):
    transport = ScriptedTransport(A, {"a": [HANG]})
    routing = policy(
        queue={"max_concurrent": 1, **settings}, deadline_s=20, timeouts={"total_s": 20}, breaker=None
    )
    (_, shed) = flood(routing, transport, [Request(0), Request(1, deadline=1010.0)])
    assert isinstance(shed.result, Shed)
    assert "in time" in str(shed.result)
    assert shed.at_s == shed.queued_s == at_s


def test_a_request_that_would_be_late_is_shed_before_it_waits():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    asked = [*requests(1), *(Request(number, deadline=1010.0) for number in range(1, 12))]
    outcomes = flood(policy(queue={"max_concurrent": 1}), transport, asked, every_s=0.1)
    # Before the first answer nobody knows how long one takes. The last comes when that is known: ten are to
    # be served before it, in 9.9 s from then on, and 8.9 s are left.
    assert outcomes[11].at_s == pytest.approx(1.1)
    assert "too late" in str(outcomes[11].result)
    assert all(isinstance(each.result, Reply) for each in outcomes[:9])


@pytest.mark.parametrize("at_s", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("who", [0, 1])
def test_whoever_is_cancelled_makes_way(who, at_s):
    """At 1.0 also in the very instant in which the turn comes."""
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    outcomes = flood(policy(queue={"max_concurrent": 1}), transport, requests(3), cancel=(who, at_s))
    assert isinstance(outcomes[2].result, Reply)
    # The first is broken off at 0.5 or answered at 1.0; the second is not begun, broken off at 1.5 or
    # answered a second after the first.
    ends = {(0, 0.5): 2.5, (0, 1.0): 3.0, (0, 1.5): 3.0, (1, 0.5): 2.0, (1, 1.0): 2.0, (1, 1.5): 2.5}
    assert outcomes[2].at_s == ends[who, at_s]
    assert transport.peak == {"a": 1}


def test_a_hit_in_the_cache_needs_no_place():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    routing = policy(queue={"max_concurrent": 1, "max_waiting": 0}, cache={"threshold": 0.9})
    asked = [Request(0, messages=[{"role": "user", "content": "why?"}])]
    asked += [Request(1, prompt_tokens=7), Request(2, messages=asked[0].messages)]
    outcomes = flood(routing, transport, asked, every_s=1.5)
    assert [type(each.result) for each in outcomes] == [Reply] * 3
    assert len(transport.attempts) == 2


# The line before rate-limited deployments.


def test_a_429_makes_requests_wait_and_they_come_back_gradually():
    transport = ScriptedTransport(A, {"a": [*[limited(5.0)] * 20, Answer(0.1)]})
    outcomes = flood(policy(queue=LINE, breaker=None), transport, requests(20))
    assert all(isinstance(each.result, Reply) for each in outcomes)
    again = begun(transport)[20:]
    counts = [again.count(at) for at in sorted(set(again))]
    assert sorted(set(again))[0] == pytest.approx(5.1)
    # 19 were in flight beside the first 429.
    assert counts == [1, 2, 4, 8, 5]
    assert outcomes[0].result.metadata["queued_s"] == pytest.approx(5.0)
    assert outcomes[0].result.metadata["attempts"] == 2


def test_without_the_queue_they_fail():
    transport = ScriptedTransport(A, {"a": [*[limited(5.0)] * 20, Answer(0.1)]})
    outcomes = flood(policy(queue={"max_concurrent": 50}, breaker=None), transport, requests(20))
    assert all(isinstance(each.result, AllAttemptsFailed) for each in outcomes)


def test_newcomers_go_in_line_without_an_attempt():
    transport = ScriptedTransport(A, {"a": [limited(5.0), Answer(0.1)]})
    outcomes = flood(policy(queue=LINE, breaker=None), transport, requests(5), every_s=1.0)
    assert begun(transport) == pytest.approx([0.0, 5.1, 5.2, 5.2, 5.3, 5.3])
    assert [each.id for each in transport.requests] == [0, 0, 1, 2, 3, 4]
    assert isinstance(outcomes[4].result, Reply)


def test_the_line_keeps_the_order_of_the_queue():
    transport = ScriptedTransport(A, {"a": [limited(5.0), Answer(0.1)]})
    asked = [Request(number, priority=number % 3) for number in range(7)]
    flood(policy(queue=LINE, breaker=None), transport, asked, every_s=0.5)
    assert [each.id for each in transport.requests] == [0, 2, 5, 1, 4, 0, 3, 6]


def test_as_long_as_another_deployment_is_free_nobody_waits():
    transport = ScriptedTransport(AB, {"a": [limited(5.0), Answer(0.1)]})
    outcomes = flood(policy(queue=LINE, breaker=None), transport, requests(10), every_s=1.0)
    assert all(each.queued_s == 0.0 for each in outcomes)
    assert transport.called == ["a", *"bbbbbb", *"aaaa"]


def test_who_can_be_answered_by_several_is_answered_by_the_first_that_opens():
    transport = ScriptedTransport(AB, {"a": [limited(9.0), Answer(0.1)], "b": [limited(4.0), Answer(0.1)]})
    (outcome,) = flood(policy(queue=LINE, breaker=None), transport, requests(1))
    assert outcome.result.deployment == "b"
    assert begun(transport) == pytest.approx([0.0, 0.1, 4.2])


def test_all_attempts_together_stay_within_their_most():
    transport = ScriptedTransport(A, {"a": [limited(1.0)]})
    (outcome,) = flood(policy(queue=LINE, breaker=None, max_attempts=4), transport, requests(1))
    assert isinstance(outcome.result, AllAttemptsFailed)
    assert begun(transport) == pytest.approx([0.0, 1.1, 2.2, 3.3])


@pytest.mark.parametrize(
    ("retry_after_s", "settings"), [(30.0, {}), (8.0, {"max_wait_s": 5.0}), (8.0, {"min_service_s": 2.0})]
)
def test_a_rate_limit_that_ends_too_late_sheds_at_once(retry_after_s, settings):
    transport = ScriptedTransport(A, {"a": [limited(retry_after_s)]})
    routing = policy(queue=LINE | settings, breaker=None, deadline_s=10)
    (outcome,) = flood(routing, transport, requests(1))
    assert isinstance(outcome.result, Shed)
    assert "too late" in str(outcome.result)
    assert isinstance(outcome.result.__cause__, RateLimited)
    assert outcome.at_s == pytest.approx(0.1)


def test_all_waits_of_a_request_together_have_a_limit():
    transport = ScriptedTransport(A, {"a": [limited(2.0)]})
    (outcome,) = flood(policy(queue=LINE | {"max_wait_s": 5.0}, breaker=None), transport, requests(1))
    assert isinstance(outcome.result, Shed)
    assert outcome.queued_s == pytest.approx(4.0)


def test_other_failures_are_not_waited_for():
    transport = ScriptedTransport(A, {"a": [fails(ServerError)]})
    outcomes = flood(policy(queue=LINE), transport, requests(12), every_s=0.2)
    assert {type(each.result) for each in outcomes} == {AllAttemptsFailed, NoDeployment}
    assert all(each.queued_s == 0.0 for each in outcomes)


def test_when_all_open_decides_where_no_rate_limit_does():
    script = {"a": [*[fails(ServerError)] * 3, Answer(0.1)]}
    breaker = {"failures": 3, "open_s": 10}
    transport = ScriptedTransport(A, script)
    routing = policy(queue=LINE, breaker=breaker, when_all_open={"kind": "wait"})
    outcomes = flood(routing, transport, requests(4), every_s=0.2)
    assert outcomes[3].result.metadata["waited_for_deployment_s"] == pytest.approx(9.9)


def test_a_breaker_that_rate_limits_have_opened_is_waited_for_in_line():
    transport = ScriptedTransport(A, {"a": [*[limited(2.0)] * 3, Answer(0.1)]})
    routing = policy(queue=LINE, breaker={"failures": 3, "open_s": 10})
    outcomes = flood(routing, transport, requests(5))
    assert all(isinstance(each.result, Reply) for each in outcomes)
    # The other two were answered at once, which closes the breaker again or not.
    assert transport.called.count("a") == 8


def test_client_side_rates_are_waited_for():
    transport = ScriptedTransport(A)
    routing = policy(queue=LINE, limits={"each": {"rpm": 60}, "burst_s": 1})
    outcomes = flood(routing, transport, requests(6))
    assert all(isinstance(each.result, Reply) for each in outcomes)
    assert begun(transport) == pytest.approx([0, 1, 2, 3, 4, 5])
    assert [each.id for each in transport.requests] == list(range(6))


def test_tokens_that_one_request_lacks_are_waited_for_and_it_is_not_overtaken():
    transport = ScriptedTransport(A)
    routing = policy(queue=LINE, limits={"each": {"tpm": 6000}, "burst_s": 10})
    asked = [Request(number, prompt_tokens=size, max_tokens=10) for number, size in enumerate([900, 900, 20])]
    outcomes = flood(routing, transport, asked)
    assert all(isinstance(each.result, Reply) for each in outcomes)
    assert [each.id for each in transport.requests] == [0, 1, 2]
    assert begun(transport) == pytest.approx([0.0, 8.2, 8.4], abs=0.3)


def test_a_bulkhead_is_waited_for_without_losing_time():
    transport = ScriptedTransport(A, {"a": [Answer(1.0)]})
    routing = policy(queue=LINE, limits={"each": {"max_concurrent": 2}})
    outcomes = flood(routing, transport, requests(6))
    assert [each.at_s for each in outcomes] == pytest.approx([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert transport.peak == {"a": 2}


def test_a_spend_cap_is_not_waited_for():
    priced = [deployment("a", usd_per_mtok_in=10.0, usd_per_mtok_out=100.0)]
    transport = ScriptedTransport(priced, {"a": [Answer(1.0)]})
    routing = policy(
        queue=LINE, limits={"each": {"max_concurrent": 1}}, spend={"per_request_usd": 0.01}, deadline_s=20
    )
    dear = Request(1, prompt_tokens=5000)
    outcomes = flood(routing, transport, [Request(0, prompt_tokens=10), dear, dear])
    assert isinstance(outcomes[0].result, Reply)
    for each in outcomes[1:]:
        assert isinstance(each.result, Shed)
        assert "spend cap per request" in str(each.result)
        assert each.at_s <= 1.1


@pytest.mark.parametrize("at_s", [3.0, 5.1, 5.15])
def test_whoever_is_cancelled_in_line_leaves_no_trace(at_s):
    """At 5.1 in the very instant in which its turn comes."""
    transport = ScriptedTransport(A, {"a": [*[limited(5.0)] * 3, Answer(0.1)]})
    outcomes = flood(policy(queue=LINE, breaker=None), transport, requests(3), cancel=(0, at_s))
    assert outcomes[0] is None
    assert [type(each.result) for each in outcomes[1:]] == [Reply, Reply]
    assert outcomes[2].at_s == pytest.approx(5.35 if at_s > 5.1 else 5.3)


moments = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])
answers = (
    st.builds(Answer, moments)
    | st.builds(limited, moments, moments)
    | st.builds(lambda after_s: fails(ServerError, after_s), moments)
)
scripts = st.fixed_dictionaries({name: st.lists(answers, min_size=1, max_size=6) for name in "ab"})


@settings(max_examples=60, deadline=None)
@given(
    script=scripts,
    asked=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.5, 1.0, 3.0, 8.0])), max_size=12),
    every_s=st.sampled_from([0.0, 0.25]),
    max_concurrent=st.none() | st.integers(1, 3),
    max_waiting=st.integers(0, 4),
    cancel=st.none() | st.tuples(st.integers(0, 11), moments),
    limits=st.sampled_from([{}, {"each": {"max_concurrent": 1}}, {"each": {"rpm": 60}, "burst_s": 1}]),
)
def test_each_gets_one_reply_or_one_error_in_time(
    script, asked, every_s, max_concurrent, max_waiting, cancel, limits
):
    transport = ScriptedTransport(AB, script)
    routing = policy(
        queue=LINE | {"max_concurrent": max_concurrent, "max_waiting": max_waiting},
        max_attempts=4,
        limits=limits,
        deadline_s=10,
        timeouts={"total_s": 10},
        breaker={"failures": 2, "open_s": 1},
    )
    batch = [
        Request(number, priority=priority, deadline=1000.0 + number * every_s + left_s)
        for number, (priority, left_s) in enumerate(asked)
    ]
    if cancel is not None and cancel[0] >= len(batch):
        cancel = None
    *outcomes, last = flood(routing, transport, batch, every_s, cancel, Request("last"))
    for number, (each, (_, left_s)) in enumerate(zip(outcomes, asked, strict=True)):
        if each is None:
            assert number == cancel[0]
            continue
        assert isinstance(each.result, Reply | RoutingError)
        assert each.at_s <= number * every_s + left_s + 0.002
    ids = [each.id for each in transport.requests]
    assert all(ids.count(each.id) <= 4 for each in batch)
    assert set(transport.in_flight.values()) == {0}
    # Nothing was left behind.
    assert isinstance(last.result, Reply)
    assert last.queued_s == 0.0


# In a simulated world: one deployment of 4 places, each answer 1.1 s, and 429 beyond them.


def simulated(queue, classes, **routing):
    world = scenarios.scenario(
        {"a": scenarios.deployment(max_concurrency=4, queue_limit=0, retry_after=1.0)},
        classes,
        horizon=300.0,
        routing={"breaker": None, "retry": {"max_attempts": 1}, "queue": queue} | routing,
    )
    run = run_one(world, seed=1)
    outcomes = [OUTCOMES[code] for code in run.requests["outcome"]]
    latency = run.requests["end_s"] - run.requests["arrival_s"]
    return run, outcomes, latency


def test_with_the_queue_the_failures_vanish_at_the_price_of_latency():
    classes = {"chat": scenarios.traffic(2.5)}
    _, outcomes, latency = simulated(None, classes)
    assert outcomes.count("error") > 0.1 * len(outcomes)
    for queue in (LINE, {"max_concurrent": 4}):
        run, queued, waited = simulated(queue, classes)
        assert set(queued) == {"ok"}
        assert waited.mean() > latency[[each == "ok" for each in outcomes]].mean()
        assert waited.max() < 60.0
        refused = [ATTEMPT_OUTCOMES[code] for code in run.attempts["outcome"]].count("rate_limited")
        # Who knows the limit never meets it; who does not probes for it, far less than once a request.
        assert refused == 0 if "max_concurrent" in queue else refused < 0.1 * len(queued)


@pytest.mark.parametrize("queue", [{"max_concurrent": 4}, LINE])
def test_the_premium_class_keeps_its_latency_while_economy_is_shed(queue):
    """1.2 + 6 requests a second where 3.6 are served."""
    premium = scenarios.traffic(1.2, priority=1)
    classes = {"premium": premium, "economy": scenarios.traffic(6.0)}
    _, _, latency = simulated(queue, {"premium": premium})
    run, outcomes, together = simulated(queue | {"max_wait_s": 10.0}, classes)
    is_premium = run.requests["request_class"] == list(classes).index("premium")
    shed = np.array([each == "shed" for each in outcomes])
    assert set(outcomes) == {"ok", "shed"}
    assert not shed[is_premium].any()
    assert shed[~is_premium].mean() > 0.3
    # One service of 1.1 s may be between it and its turn, or a probe; economy waits for all of its 10 s.
    assert together[is_premium].mean() < latency.mean() + 0.8
    assert np.quantile(together[is_premium], 0.99) < np.quantile(latency, 0.99) + 1.2
    assert together[~is_premium & ~shed].mean() > 5.0
