from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, copied, deployment, fails, play, policy

from simsla.routing import (
    AllAttemptsFailed,
    BreakerPolicy,
    ConfigError,
    EnvoyBudget,
    NoDeployment,
    RateLimited,
    Reply,
    Request,
    RoutingError,
    RoutingPolicy,
    ServerError,
    Timeouts,
)
from simsla.routing.health.gate import Gate, combined
from simsla.routing.health.last_resort import FailWhenOpen, LeastBadWhenOpen, WaitWhenOpen
from simsla.routing.progress import Progress
from simsla.routing.protocols import Exhausted
from simsla.routing.selection.chains import Candidate


class Health:
    """Returns at a time; its limit may be full."""

    refusal = "open"

    def __init__(self, at, full=False):
        self.at = at
        self.full = full
        self.forced = 0

    def available_at(self, now):
        return max(now, self.at)

    def admit_anyway(self, progress, now):
        self.forced += not self.full
        return None if self.full else ("forced",)


def plan(*healths):
    return [
        Candidate(
            deployment(f"d{index}"), asked="standard", chain="standard", timeouts=Timeouts(), health=health
        )
        for index, health in enumerate(healths)
    ]


def decide(resort, candidates, now=100.0, deadline=math.inf, refused=True, progress=None):
    progress = progress or Progress(Request(0), deadline)
    return resort.decide(Exhausted(progress, candidates, refused, now))


def test_to_fail_needs_no_last_resort():
    assert FailWhenOpen().build() is None
    for resort in (WaitWhenOpen(), LeastBadWhenOpen()):
        assert resort.build() == resort
    assert not FailWhenOpen.overrides
    assert not WaitWhenOpen.overrides
    assert LeastBadWhenOpen.overrides


@pytest.mark.parametrize("resort", [WaitWhenOpen(), LeastBadWhenOpen()])
def test_where_all_have_failed_or_nothing_is_planned_the_request_fails(resort):
    assert decide(resort, plan(Health(110.0)), refused=False).action == "fail"
    assert decide(resort, []).action == "fail"


def test_it_waits_for_the_first_to_return():
    resort = decide(WaitWhenOpen(), plan(Health(140.0), Health(110.0)))
    assert (resort.action, resort.delay_s) == ("wait", 10.0)


def test_what_may_return_at_any_moment_is_asked_again_and_again():
    resort = decide(WaitWhenOpen(), plan(Health(140.0), Health(110.0), Health(math.inf)))
    assert (resort.action, resort.delay_s) == ("wait", 0.05)


def failed_at(*names):
    progress = Progress(Request(0))
    for name in names:
        progress.failed(100.0, name, ServerError(deployment=name))
    return progress


def test_what_has_failed_and_may_be_called_is_nothing_to_wait_for():
    candidates = plan(Health(100.0), Health(130.0))
    assert decide(WaitWhenOpen(), candidates, progress=failed_at("d0")).delay_s == 30.0
    assert decide(WaitWhenOpen(), candidates[:1], progress=failed_at("d0")).action == "fail"
    assert decide(WaitWhenOpen(), candidates[:1], progress=failed_at("d1")).action == "wait"
    # One that its own failure has opened is waited for.
    assert decide(WaitWhenOpen(), plan(Health(130.0)), progress=failed_at("d0")).delay_s == 30.0


def test_what_has_failed_is_not_the_least_bad():
    candidates = plan(Health(100.0), Health(130.0))
    assert decide(LeastBadWhenOpen(), candidates, progress=failed_at("d0")).candidate is candidates[1]
    assert decide(LeastBadWhenOpen(), candidates, progress=failed_at("d0", "d1")).action == "fail"


@pytest.mark.parametrize("at", [0.0, 100.0, 100.01, math.inf])
def test_it_never_waits_for_less_than_the_shortest_wait(at):
    resort = decide(WaitWhenOpen(min_wait_s=0.2), plan(Health(at)))
    assert (resort.action, resort.delay_s) == ("wait", 0.2)


@pytest.mark.parametrize(("deadline", "action"), [(109.0, "fail"), (110.0, "fail"), (110.5, "wait")])
def test_it_fails_at_once_where_the_first_returns_after_the_deadline(deadline, action):
    assert decide(WaitWhenOpen(), plan(Health(110.0)), deadline=deadline).action == action


def test_all_waits_of_a_request_together_have_a_limit():
    progress = Progress(Request(0))
    resort = WaitWhenOpen(max_wait_s=25.0)
    candidates = plan(Health(0.0))
    actions = []
    for now in (100.0, 110.0, 120.0):
        candidates[0].health.at = now + 10.0
        actions.append(decide(resort, candidates, now=now, progress=progress).action)
    assert actions == ["wait", "wait", "fail"]
    assert progress.notes == {"waited_for_deployment_s": 20.0}


@given(
    st.lists(st.floats(0, 1000) | st.just(math.inf), min_size=1, max_size=5),
    st.floats(0.01, 5),
    st.none() | st.floats(5, 500),
    st.floats(0, 1000),
)
def test_a_wait_ends_before_the_deadline_and_within_its_limit(ats, min_wait_s, max_wait_s, left_s):
    resort = WaitWhenOpen(min_wait_s=min_wait_s, max_wait_s=max_wait_s)
    progress = Progress(Request(0), 100.0 + left_s)
    candidates = plan(*map(Health, ats))
    now, waited_s = 100.0, 0.0
    for _ in range(200):
        decision = decide(resort, candidates, now=now, progress=progress)
        if decision.action == "fail":
            break
        assert decision.delay_s >= min_wait_s
        now += decision.delay_s
        waited_s += decision.delay_s
        assert now < progress.deadline
        assert max_wait_s is None or waited_s <= max_wait_s + 1e-9
        assert progress.notes["waited_for_deployment_s"] == pytest.approx(waited_s)


def test_the_least_bad_returns_first_and_is_used_once():
    candidates = plan(Health(math.inf), Health(140.0), Health(110.0), Health(110.0))
    progress = Progress(Request(0))
    resort = decide(LeastBadWhenOpen(), candidates, progress=progress)
    assert (resort.action, resort.candidate, resort.ticket) == ("use", candidates[2], ("forced",))
    assert progress.notes == {"least_bad": "d2"}
    assert decide(LeastBadWhenOpen(), candidates, progress=progress).action == "fail"
    assert [each.health.forced for each in candidates] == [0, 0, 1, 0]


def test_where_nobody_knows_the_first_of_the_plan_is_the_least_bad():
    candidates = plan(Health(math.inf), Health(math.inf))
    assert decide(LeastBadWhenOpen(), candidates).candidate is candidates[0]


def test_limits_are_not_overridden():
    candidates = plan(Health(110.0, full=True), Health(120.0), None)
    assert decide(LeastBadWhenOpen(), candidates).candidate is candidates[1]
    candidates = plan(Health(110.0, full=True), None)
    progress = Progress(Request(0))
    assert decide(LeastBadWhenOpen(), candidates, progress=progress).action == "fail"
    assert progress.notes is None


def test_parts_are_combined_only_where_that_is_needed():
    breaker, limit = BreakerPolicy().build(), Health(0.0)
    assert combined([], []) is None
    assert combined([breaker], []) is breaker
    assert combined([], [limit]) is limit
    assert isinstance(combined([breaker], [limit]), Gate)


@pytest.mark.parametrize(
    ("values", "kind"),
    [({}, "fail"), ({"kind": "wait", "max_wait_s": "5s"}, "wait"), ({"kind": "least_bad"}, "least_bad")],
)
def test_each_is_configured_by_its_name(values, kind):
    routing = RoutingPolicy.from_dict({"when_all_open": values})
    assert routing.when_all_open.kind == kind
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing
    assert RoutingPolicy().when_all_open == FailWhenOpen()


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"kind": "waits"}, "routing.when_all_open.kind"),
        ({"kind": "wait", "min_wait_s": 0}, "routing.when_all_open.min_wait_s"),
        ({"kind": "wait", "max_wait_s": 0.01}, "routing.when_all_open.max_wait_s"),
        ({"kind": "wait", "max_wait_s": 90}, "routing.when_all_open.max_wait_s"),
        ({"kind": "fail", "max_wait_s": 1}, "routing.when_all_open.max_wait_s"),
    ],
)
def test_impossible_values_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"when_all_open": values})
    assert caught.value.path == path


# Through the Router: `a` fails three times, which opens its breaker for 10 s, and is then back.


def outcomes(when_all_open, script, requests=5, names="a", every_s=0.0, **settings):
    """Each request's outcome and when it ended, after the start."""
    transport = ScriptedTransport([deployment(name) for name in names], script)
    settings = {"breaker": {"failures": 3, "open_s": 10}, "deadline_s": 60} | settings
    routing = policy(when_all_open=when_all_open, **settings)

    async def one(handle, number):
        await asyncio.sleep(number * every_s)
        try:
            outcome = await handle(Request(number))
        except RoutingError as error:
            outcome = error
        return outcome, asyncio.get_running_loop().time()

    async def main():
        start = asyncio.get_running_loop().time()
        handle = routing(transport)
        if every_s:
            ends = await asyncio.gather(*(one(handle, number) for number in range(requests)))
        else:
            ends = [await one(handle, number) for number in range(requests)]
        return [(outcome, end - start) for outcome, end in ends]

    return play(main()), transport


BACK = {"a": [fails(ServerError)] * 3 + [Answer()]}
DOWN = {"a": [fails(ServerError)]}


def test_by_default_a_request_fails_when_all_are_open():
    ends, transport = outcomes({}, BACK)
    assert [type(outcome) for outcome, _ in ends] == [AllAttemptsFailed] * 3 + [NoDeployment] * 2
    assert len(transport.called) == 3


def test_waiting_requests_are_answered_when_the_first_returns():
    ends, _ = outcomes({"kind": "wait"}, BACK)
    reply, at = ends[3]
    assert isinstance(reply, Reply)
    assert at == pytest.approx(0.3 + 10.0 + 0.1)
    assert reply.metadata["waited_for_deployment_s"] == pytest.approx(10.0)
    assert isinstance(ends[4][0], Reply)
    assert ends[4][1] == pytest.approx(at + 0.1)


def test_many_wait_while_one_probes():
    ends, transport = outcomes({"kind": "wait"}, BACK, requests=20, every_s=0.2)
    assert sum(isinstance(outcome, Reply) for outcome, _ in ends) == 17
    assert len(transport.called) == 20
    first = sorted(at for _, at in ends[3:])[0]
    assert all(at - first < 0.3 for _, at in ends[3:])


def test_a_wait_beyond_the_deadline_is_not_begun():
    ends, _ = outcomes({"kind": "wait"}, BACK, requests=4, deadline_s=9)
    outcome, at = ends[3]
    assert isinstance(outcome, NoDeployment)
    assert at == pytest.approx(0.3)


def test_the_least_bad_is_called_once_though_its_breaker_is_open():
    ends, transport = outcomes({"kind": "least_bad"}, BACK)
    assert [type(outcome) for outcome, _ in ends] == [AllAttemptsFailed] * 3 + [Reply] * 2
    assert ends[3][0].metadata["least_bad"] == "a"
    assert len(transport.called) == 5

    ends, transport = outcomes({"kind": "least_bad"}, DOWN)
    assert all(isinstance(outcome, AllAttemptsFailed) for outcome, _ in ends)
    assert len(transport.called) == 5


def test_the_least_bad_of_several_returns_first():
    script = {"a": [fails(ServerError)], "b": [fails(ServerError, 0.5)]}
    ends, transport = outcomes({"kind": "least_bad"}, script, requests=4, names="ab")
    assert transport.called == ["a", "b"] * 3 + ["a"]
    assert len(ends[3][0].errors) == 1


def test_a_request_has_one_outcome_when_it_waits_for_what_stays_down():
    ends, transport = outcomes({"kind": "wait"}, DOWN, requests=4, breaker={"failures": 3, "open_s": 5})
    outcome, at = ends[3]
    assert isinstance(outcome, RoutingError)
    assert at <= 60.3 + 0.001
    assert len(transport.called) <= 3 + 6  # max_attempts


def test_an_ejected_deployment_gets_no_calls():
    script = {"a": [fails(ServerError)], "b": [Answer()], "c": [Answer()]}
    ends, transport = outcomes({}, script, requests=20, names="abc", breaker=None, outlier={})
    assert all(isinstance(outcome, Reply) for outcome, _ in ends)
    assert transport.called.count("a") == 5


def test_rate_limits_are_no_reason_to_eject():
    ends, transport = outcomes({}, {"a": [fails(RateLimited)]}, names="abc", breaker=None, outlier={})
    assert transport.called.count("a") == 5
    assert len(ends) == 5


@pytest.mark.parametrize(
    "budget",
    [
        {"kind": "aws", "capacity": 14},
        {"kind": "finagle", "reserve_per_s": 0.05, "ttl_s": 20},
        {"kind": "envoy"},
    ],
    ids=["aws", "finagle", "envoy"],
)
def test_the_retry_budget_pays_once_for_an_attempt_however_often_it_waits(budget):
    transport = ScriptedTransport(
        [deployment("a"), deployment("b")], {"a": [fails(ServerError)], "b": [Answer(1.0)]}
    )
    settings = {
        "tiers": {"premium": ["b"], "standard": ["a", "b"]},
        "limits": {"deployments": {"b": {"max_concurrent": 1}}},
        "when_all_open": {"kind": "wait"},
        "breaker": {"failures": 1, "open_s": 50},
        "retry_budget": budget,
    }

    async def main():
        handle = policy(**settings)(transport)
        # The first keeps the only place at b, which the other waits for.
        first = asyncio.create_task(handle(Request(0, tier="premium")))
        await asyncio.sleep(0.01)
        return (await handle(Request(1))).deployment, (await first).deployment

    assert play(main()) == ("b", "b")
    assert transport.called == ["b", "a", "b"]


def test_a_wait_leaves_no_retry_behind():
    budget = EnvoyBudget(ratio=0.0, min_retries=1)
    transport = ScriptedTransport(
        [deployment("a"), deployment("b")], {"a": [fails(ServerError)], "b": [Answer(1.0)]}
    )
    settings = {
        "tiers": {"premium": ["b"], "standard": ["a", "b"]},
        "limits": {"deployments": {"b": {"max_concurrent": 1}}},
        "when_all_open": {"kind": "wait"},
        "breaker": {"failures": 1, "open_s": 5},
        "retry_budget": budget.to_dict(),
    }

    async def main():
        handle = policy(**settings)(transport)
        for _ in range(3):
            first = asyncio.create_task(handle(Request(0, tier="premium")))
            await asyncio.sleep(0.01)
            assert (await handle(Request(1))).deployment == "b"
            await first
            await asyncio.sleep(10.0)

    play(main())
    assert transport.called == ["b", "a", "b"] * 3


@pytest.mark.parametrize("cap", ["per_request_usd", "per_day_usd"])
def test_nobody_waits_for_what_is_too_dear(cap):
    transport = ScriptedTransport([deployment("a", usd_per_mtok_out=100.0)])
    settings = {"when_all_open": {"kind": "wait"}, "spend": {cap: 1e-3, "min_output_tokens": 100}}

    async def main():
        with pytest.raises(NoDeployment, match="spend cap"):
            await policy(**settings)(transport)(Request(1, max_tokens=1000))
        return asyncio.get_running_loop().time()

    assert play(main()) == 1000.0


def test_a_long_wait_is_one_step_of_the_explanation():
    transport = ScriptedTransport([deployment("a")], {"a": [Answer(20.0)]})
    settings = {"when_all_open": {"kind": "wait"}, "limits": {"each": {"max_concurrent": 1}}}

    async def main():
        handle = policy(**settings)(transport)
        first = asyncio.create_task(handle(Request(1)))
        await asyncio.sleep(1.0)
        second = await handle(Request(2))
        await first
        return second.explanation.steps

    steps = play(main())
    assert [(step.what, step.subject) for step in steps] == [
        ("skipped", "a"),
        ("wait", ""),
        ("attempt", "a"),
        ("answered", "a"),
    ]
    assert steps[1].why == pytest.approx(19.0, abs=0.1)
