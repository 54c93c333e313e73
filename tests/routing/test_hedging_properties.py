"""What holds of hedged requests whatever happens, exact coincidences included."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, Streamed, deployment, play, policy

from simsla.routing import (
    ConnectError,
    ContentFiltered,
    NoDeployment,
    RateLimited,
    Reply,
    Request,
    RoutingError,
    ServerError,
)
from simsla.routing.router import Router

NAMES = "abc"

# On a grid, so that much happens in the same instant.
moments = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0])
errors = st.sampled_from([None, None, ServerError, RateLimited, ConnectError, ContentFiltered])
answers = st.builds(Answer, moments, errors) | st.builds(
    lambda gaps, error: Streamed(*gaps, error=error), st.lists(moments, min_size=1, max_size=3), errors
)
scripts = st.fixed_dictionaries({name: st.lists(answers, min_size=1, max_size=4) for name in NAMES})
shared = {
    "budget": st.fixed_dictionaries({"ratio": st.sampled_from([0.0, 0.25, 1.0]), "reserve": st.just(2.0)}),
    "max_hedges": st.integers(1, 3),
    "to": st.sampled_from(["other", "any"]),
    "on": st.sampled_from(["completion", "first_token"]),
    "min_headroom_s": st.sampled_from([0.0, 1.0]),
    "when_headroom_below_s": st.sampled_from([None, 3.0]),
}
hedges = st.fixed_dictionaries(
    {"kind": st.just("fixed"), "delay_s": st.sampled_from([0.0, 0.25, 0.5, 1.0]), **shared}
) | st.fixed_dictionaries(
    {
        "kind": st.just("percentile"),
        "percentile": st.just(0.5),
        "min_samples": st.just(1),
        "initial_delay_s": st.sampled_from([None, 0.25]),
        **shared,
    }
)
# When a request begins, how long it may take, and when its caller leaves.
requests = st.lists(
    st.tuples(moments, st.sampled_from([2.0, 3.0, 6.0]), st.none() | moments), min_size=1, max_size=5
)


class World:
    def __init__(self, hedge, script, max_attempts, most):
        self.transport = ScriptedTransport([deployment(name, capabilities=(name,)) for name in NAMES], script)
        routing = policy(
            hedge=hedge,
            max_attempts=max_attempts,
            retry={"max_attempts": 2, "backoff": {"kind": "constant", "interval_s": 0.25}},
            breaker=None,
            limits={"each": {"max_concurrent": most}},
            deadline_s=10,
            timeouts={"total_s": 4},
        )
        self.router = Router(routing, self.transport)

    async def one(self, number, begins_s, within_s, leaves_after_s):
        """Its outcome: a reply, an error or "cancelled"."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(begins_s)
        deadline = loop.time() + within_s
        task = asyncio.create_task(self.router.handle(Request(number, deadline=deadline)))
        if leaves_after_s is not None:
            loop.call_later(leaves_after_s, task.cancel)
        await asyncio.wait([task])
        assert loop.time() <= deadline + 1e-6
        if task.cancelled():
            assert leaves_after_s is not None
            return "cancelled"
        return task.exception() or task.result()

    async def all(self, plan):
        outcomes = await asyncio.gather(*(self.one(number, *each) for number, each in enumerate(plan)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert set(self.transport.in_flight.values()) == {0}
        return outcomes

    async def all_and_afterwards(self, plan):
        outcomes = await self.all(plan)
        for name in NAMES:
            # Each ticket is back: every place is free.
            probe = asyncio.create_task(self.router.handle(Request(name, needs=(name,))))
            await asyncio.wait([probe])
            assert not isinstance(probe.exception(), NoDeployment)
        return outcomes


@settings(max_examples=400, deadline=None)
@given(hedges, scripts, requests, st.integers(4, 6), st.sampled_from([1, 2, 100]))
def test_hedged_requests(hedge, script, plan, max_attempts, most):
    world = World(hedge, script, max_attempts, most)
    outcomes = play(world.all_and_afterwards(plan))

    begun = Counter(request.id for request in world.transport.requests)
    sent = 0
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, Reply | RoutingError) or outcome == "cancelled"
        assert begun[number] <= max_attempts
        if outcome != "cancelled":
            explanation = outcome.explanation
            assert explanation.attempts == begun[number]
            sent += sum(step.what == "hedge" and step.subject != "none" for step in explanation.steps)
        if isinstance(outcome, Reply):
            assert explanation.steps[-1].subject == outcome.deployment
    assert sent <= hedge["budget"]["reserve"] + hedge["budget"]["ratio"] * len(plan)
    assert max(world.transport.peak.values()) <= most


@settings(max_examples=30, deadline=None)
@given(hedges, scripts, requests)
def test_the_same_again_goes_the_same_way(hedge, script, plan):
    def once():
        world = World(hedge, script, 6, 2)
        outcomes = play(world.all(plan))
        return world.transport.attempts, [str(outcome) for outcome in outcomes]

    assert once() == once()
