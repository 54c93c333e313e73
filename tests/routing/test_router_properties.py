"""What holds for every policy, in every world."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, deployment, play

from simsla.routing import ATTEMPT_ERRORS, TIERS, Reply, Request, RoutingError, RoutingPolicy
from simsla.routing.retries.rule import RETRYABLE
from simsla.routing.router.verdict import SHORTEST_ATTEMPT_S

regions = st.sampled_from([None, "us", "eu"])
deployments = st.lists(
    st.tuples(st.sampled_from(TIERS), regions, st.sampled_from([None, 10, 20])), max_size=5
).map(
    lambda rows: [
        deployment(f"d{i}", tier, where, context_window=w) for i, (tier, where, w) in enumerate(rows)
    ]
)


def errors(kind, retry_after_s):
    return lambda: ATTEMPT_ERRORS[kind](retry_after_s=retry_after_s)


failing = st.builds(
    lambda after_s, kind, wait_s: Answer(after_s, errors(kind, wait_s)),
    st.floats(0, 5),
    st.sampled_from(sorted(ATTEMPT_ERRORS)),
    st.none() | st.floats(0, 20),
)
answers = st.lists(st.one_of(failing, failing, st.builds(Answer, st.floats(0, 100))), min_size=1, max_size=6)
policies = st.fixed_dictionaries(
    {
        "deadline_s": st.floats(0.5, 30),
        "max_attempts": st.integers(1, 8),
        "degrade": st.booleans(),
        "retry": st.fixed_dictionaries(
            {
                "max_attempts": st.integers(1, 4),
                "on_errors": st.lists(st.sampled_from(RETRYABLE), unique=True),
                "backoff": st.fixed_dictionaries({"base_s": st.floats(0, 4), "cap_s": st.floats(0, 8)}),
                "retry_after_cap_s": st.floats(0, 20),
            }
        ),
        "breaker": st.none()
        | st.fixed_dictionaries(
            {
                "failures": st.integers(1, 3),
                "open_s": st.floats(0.1, 20),
                "half_open_probes": st.integers(1, 2),
            }
        ),
    }
)
requests = st.lists(
    st.tuples(
        st.floats(0, 3),
        st.none() | st.sampled_from(TIERS),
        st.none() | st.floats(0, 1),
        regions,
        st.none() | st.floats(-1, 40),
        st.none() | st.floats(0, 20),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), world=deployments, values=policies, asked=requests)
def test_one_outcome_in_time_within_the_attempts_allowed(data, world, values, asked):
    script = {each.name: data.draw(answers) for each in world}
    transport = ScriptedTransport(world, script)
    policy = RoutingPolicy.from_dict(values)
    sent = []
    send = transport.send

    async def counted(request, deployment, **kwargs):
        sent.append((request.id, deployment.name))
        return await send(request, deployment, **kwargs)

    transport.send = counted

    async def one(handle, number, after_s, tier, complexity, region, deadline_s, patience_s):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after_s)
        start = loop.time()
        deadline = None if deadline_s is None else start + deadline_s
        request = Request(number, tier=tier, complexity=complexity, region=region, deadline=deadline)
        task = asyncio.create_task(handle(request))
        if patience_s is not None:
            loop.call_later(patience_s, task.cancel)
        try:
            outcome = await task
        except (RoutingError, asyncio.CancelledError) as error:
            outcome = error
        limit_s = policy.deadline_s if deadline_s is None else max(0.0, min(policy.deadline_s, deadline_s))
        return outcome, loop.time() - start, limit_s

    async def main():
        handle = policy(transport)
        return await asyncio.gather(*(one(handle, number, *each) for number, each in enumerate(asked)))

    outcomes = play(main())
    per_request = Counter(number for number, _ in sent)
    for number, (outcome, took_s, limit_s) in enumerate(outcomes):
        assert took_s <= limit_s + SHORTEST_ATTEMPT_S
        assert per_request[number] <= policy.max_attempts
        failed = len(getattr(outcome, "errors", ()))
        if isinstance(outcome, Reply):
            said = outcome.metadata["attempts"] if outcome.metadata else 1
            assert said == per_request[number]
        elif failed:
            assert failed == per_request[number]
    assert all(count <= policy.retry.max_attempts for count in Counter(sent).values())
    assert set(transport.in_flight.values()) <= {0}
