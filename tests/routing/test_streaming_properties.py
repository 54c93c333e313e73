"""What holds for every stream, whatever it meets."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import ScriptedTransport, Streamed, deployment, play
from routing.streams import Ledger, watched

from simsla.routing import ATTEMPT_ERRORS, AttemptError, Reply, Request, Router, RoutingError
from simsla.routing.router.verdict import SHORTEST_ATTEMPT_S

gaps = st.lists(st.sampled_from([0.0, 0.1, 0.7, 1.3, 2.5]), max_size=6)
streams = st.builds(
    lambda gaps_s, kind, then_s, cut: Streamed(
        *gaps_s, error=ATTEMPT_ERRORS[kind] if kind else None, then_s=then_s, cut=cut
    ),
    gaps,
    st.none() | st.sampled_from(sorted(ATTEMPT_ERRORS)),
    st.sampled_from([0.0, 0.4, 3.0]),
    st.booleans(),
)
sections = st.fixed_dictionaries(
    {"resume": st.booleans(), "guard": st.none() | st.just({"min_tokens_per_s": 1.5, "over_s": 1})}
)


@settings(max_examples=200, deadline=None)
@given(
    scripts=st.lists(st.lists(streams, min_size=1, max_size=3), min_size=1, max_size=3),
    section=sections,
    deadline_s=st.floats(1.1, 12),
    max_attempts=st.integers(1, 5),
    retries=st.integers(1, 3),
    max_tokens=st.none() | st.integers(1, 8),
    patience_s=st.none() | st.floats(0, 8),
    leave_after=st.none() | st.integers(1, 5),
)
def test_one_end_for_the_request_and_for_each_attempt(
    scripts, section, deadline_s, max_attempts, retries, max_tokens, patience_s, leave_after
):
    names = [f"d{number}" for number in range(len(scripts))]
    transport = ScriptedTransport(
        [deployment(name) for name in names], dict(zip(names, scripts, strict=True))
    )
    ledger = Ledger()
    routing = watched(
        ledger,
        streaming=section,
        deadline_s=deadline_s,
        max_attempts=max_attempts,
        timeouts={"total_s": deadline_s, "first_token_s": 1, "idle_s": 1},
        retry={"max_attempts": retries, "backoff": {"base_s": 0}},
    )
    seen, left = [], []

    async def consume(router):
        stream = router.stream(Request(1, max_tokens=max_tokens))
        async with stream:
            async for chunk in stream:
                seen.append(chunk)
                if len(seen) == leave_after:
                    left.append(True)
                    return stream.reply
        assert stream.reply is not None
        return stream.reply

    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        task = asyncio.create_task(consume(Router(routing, transport)))
        if patience_s is not None:
            loop.call_later(patience_s, task.cancel)
        try:
            outcome = await task
        except (RoutingError, asyncio.CancelledError) as error:
            outcome = error
        assert loop.time() - start <= deadline_s + SHORTEST_ATTEMPT_S
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        return outcome

    outcome = play(main())
    assert not ledger.out
    assert len(ledger.ends) == len(transport.attempts) <= max_attempts
    assert set(transport.in_flight.values()) == {0}
    ends = [chunk.finish_reason for chunk in seen if chunk.finish_reason]
    text = "".join(chunk.text for chunk in seen)
    assert text == "".join(f"{number} " for number in range(sum(chunk.tokens for chunk in seen)))
    assert max_tokens is None or sum(chunk.tokens for chunk in seen) <= max_tokens
    if isinstance(outcome, Reply):
        assert ends == [outcome.finish_reason]
        assert (outcome.text, outcome.tokens_out) == (text, sum(chunk.tokens for chunk in seen))
        assert ledger.ends[-1] == "succeeded" or outcome.finish_reason == "length"
    else:
        assert ends == []
        assert left or isinstance(outcome, RoutingError | asyncio.CancelledError)
    if not section["resume"] and seen and isinstance(outcome, RoutingError):
        assert isinstance(outcome, AttemptError)
