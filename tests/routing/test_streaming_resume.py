"""Answers that broke off and are continued, by the next deployment or by a hedge."""

from __future__ import annotations

import pytest
from routing.fakes import ScriptedTransport, Streamed, fails, policy
from routing.streams import ABC, CUT, PRICED, RESUME, THREE, Ledger, ask, handled, said, watched

from simsla.routing import (
    AllAttemptsFailed,
    ContentFiltered,
    DeadlineExceeded,
    Request,
    ServerError,
    StreamInterrupted,
)
from simsla.routing.streaming.resume import continuation


def test_a_resumed_answer_goes_on_where_it_broke_off():
    ledger = Ledger()
    transport = ScriptedTransport(PRICED, {"a": [CUT], "b": [THREE]})
    question = {"role": "user", "content": "Count."}
    request = Request(7, prompt_tokens=100, max_tokens=20, messages=[question], stream=True)
    texts, reply = ask(transport, watched(ledger, **RESUME), request)
    assert texts == [(0.1, "0 "), (0.2, "1 "), (0.4, "2 "), (0.5, "3 "), (0.6, "4 ")]
    assert (reply.text, reply.tokens_in, reply.tokens_out) == ("0 1 2 3 4 ", 100, 5)
    assert (reply.deployment, reply.finish_reason) == ("b", "stop")
    assert (reply.first_token_s, reply.total_s) == (pytest.approx(0.1), pytest.approx(0.3))
    assert reply.metadata["resumed"] == [{"deployment": "a", "tokens": 2, "error": "stream_interrupted"}]
    assert reply.metadata["attempts"] == 2
    rest = transport.requests[1]
    assert (rest.id, rest.parent_id, rest.purpose, rest.stream) == (7, None, "answer", True)
    assert (rest.prompt_tokens, rest.prefix_tokens, rest.max_tokens) == (102, 2, 18)
    assert rest.messages == [question, {"role": "assistant", "content": "0 1 "}]
    assert rest.prompt == "Count."
    assert ledger.ends == ["stream_interrupted", "succeeded"]
    assert (ledger.replies[0].text, ledger.replies[0].tokens_in) == ("2 3 4 ", 102)
    spent = (100 * 1 + 2 * 10 + 102 * 2 + 3 * 20) / 1e6
    assert reply.explanation.spent_usd == pytest.approx(spent)
    assert [(step.what, step.subject) for step in reply.explanation.steps] == [
        ("attempt", "a"),
        ("failed", "a"),
        ("attempt", "b"),
        ("answered", "b"),
    ]


def test_an_answer_can_break_off_again_and_again():
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [CUT], "c": [THREE]})
    texts, reply = ask(transport, policy(**RESUME), Request(1, prompt_tokens=10))
    assert said(texts) == reply.text == "0 1 2 3 4 5 6 "
    assert [part["deployment"] for part in reply.metadata["resumed"]] == ["a", "b"]
    assert transport.requests[2].messages[1:] == [{"role": "assistant", "content": "0 1 2 3 "}]
    assert transport.requests[2].prefix_tokens == 4


def test_a_resumed_answer_fails_over_like_any_other():
    down = fails(ServerError)
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [down], "c": [THREE]})
    texts, reply = ask(transport, policy(**RESUME))
    assert said(texts) == "0 1 2 3 4 "
    assert transport.called == ["a", "b", "c"]
    assert [part["deployment"] for part in reply.metadata["resumed"]] == ["a"]
    texts, error = ask(ScriptedTransport(ABC, {"a": [CUT], "b": [down], "c": [down]}), policy(**RESUME))
    assert said(texts) == "0 1 "
    assert isinstance(error, AllAttemptsFailed)
    assert [each.kind for each in error.errors] == ["stream_interrupted", "server_error", "server_error"]


def test_resumptions_are_attempts_like_any_other():
    transport = ScriptedTransport(ABC, {name: [CUT] for name in "abc"})
    eager = {"max_attempts": 4, "backoff": {"base_s": 0}}
    texts, error = ask(transport, policy(max_attempts=3, retry=eager, **RESUME))
    assert transport.called == ["a", "a", "a"]
    assert said(texts) == "0 1 2 3 4 5 "
    assert isinstance(error, AllAttemptsFailed)
    transport = ScriptedTransport(ABC, {name: [CUT] for name in "abc"})
    broke = {"kind": "aws", "capacity": 14}
    texts, error = ask(transport, policy(retry_budget=broke, **RESUME))
    assert transport.called == ["a", "b"]
    assert error.explanation.steps[-1].why == "retry budget spent"


def test_a_resumed_answer_keeps_the_deadline():
    slow = Streamed(1, 1, error=StreamInterrupted, then_s=1)
    transport = ScriptedTransport(ABC, {name: [slow] for name in "abc"})
    routing = policy(deadline_s=5, timeouts={"total_s": 5}, **RESUME)
    texts, error = ask(transport, routing)
    assert isinstance(error, DeadlineExceeded)
    assert texts == [(1, "0 "), (2, "1 "), (4, "2 "), (5, "3 ")]


def test_a_request_at_fault_is_not_resumed():
    transport = ScriptedTransport(ABC, {"a": [Streamed(0.1, error=ContentFiltered)]})
    texts, error = ask(transport, policy(**RESUME))
    assert (said(texts), type(error), transport.called) == ("0 ", ContentFiltered, ["a"])


def test_an_answer_that_lacks_only_its_last_chunk_is_not_asked_for_again():
    class Uncounted(ScriptedTransport):
        """Cuts the stream in the place of the last chunk's reason."""

        async def _chunks(self, *args):
            async for chunk in super()._chunks(*args[:-1], float("inf")):
                yield chunk

    transport = Uncounted(PRICED, {"a": [CUT], "b": [Streamed(0.1, cut=True)]})
    texts, reply = ask(transport, policy(**RESUME), Request(1, prompt_tokens=100, max_tokens=3))
    assert texts == [(0.1, "0 "), (0.2, "1 "), (0.4, "2 "), (0.4, "")]
    assert (reply.text, reply.tokens_out, reply.finish_reason) == ("0 1 2 ", 3, "length")
    assert transport.called == ["a", "b"]
    assert reply.explanation.spent_usd == pytest.approx((100 * 1 + 2 * 10 + 102 * 2 + 1 * 20) / 1e6)
    transport = Uncounted(PRICED, {"a": [CUT]})
    texts, reply = ask(transport, policy(**RESUME), Request(1, prompt_tokens=100, max_tokens=2))
    assert (said(texts), reply.finish_reason, reply.metadata) == ("0 1 ", "length", None)
    assert reply.explanation.spent_usd == pytest.approx((100 * 1 + 2 * 10) / 1e6)


def test_a_request_that_was_itself_for_the_rest_of_an_answer():
    begun = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "x y "}]
    first = Request(1, prompt_tokens=10, prefix_tokens=2, messages=begun, max_tokens=None)
    rest = continuation(first, "z ", 1)
    assert rest.messages == [begun[0], {"role": "assistant", "content": "x y z "}]
    assert (rest.prompt_tokens, rest.prefix_tokens, rest.max_tokens) == (11, 3, None)
    parts = [{"type": "text", "text": "x y "}]
    first = Request(1, prefix_tokens=2, messages=[begun[0], {"role": "assistant", "content": parts}])
    assert continuation(first, "z ", 1).messages[1]["content"] == [*parts, {"type": "text", "text": "z "}]
    assert first.messages[1]["content"] == [{"type": "text", "text": "x y "}]


# Hedges

HEDGED = {"kind": "fixed", "delay_s": 0.3, "on": "first_token", "budget": {"ratio": 1}}


def test_a_hedge_that_wins_is_read_by_the_caller():
    ledger = Ledger()
    transport = ScriptedTransport(ABC, {"a": [Streamed(0.5, 0.1)], "b": [THREE]})
    texts, reply = ask(transport, watched(ledger, hedge=HEDGED))
    assert texts == [(0.4, "0 "), (0.5, "1 "), (0.6, "2 ")]
    assert reply.deployment == "b"
    assert sorted(ledger.ends) == ["released", "succeeded"]
    assert set(transport.in_flight.values()) == {0}


def test_a_hedged_answer_is_resumed_like_any_other():
    slow = Streamed(0.5, 0.1)
    transport = ScriptedTransport(ABC, {"a": [slow], "b": [CUT]})
    texts, reply = ask(transport, policy(hedge=HEDGED, **RESUME))
    assert said(texts) == reply.text
    assert [part["deployment"] for part in reply.metadata["resumed"]] == ["b", "b"]
    assert (transport.called, said(texts)[:8]) == (["a", "b", "b", "c"], "0 1 2 3 ")


def test_a_reply_that_nobody_reads_along_is_begun_anew():
    """Hedges on the first token make streams of requests whose callers see nothing but the reply."""
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]})
    reply, took_s = handled(transport, Request(1), hedge=HEDGED)
    assert (reply.text, reply.deployment, reply.metadata["attempts"]) == ("0 1 2 ", "b", 2)
    assert "resumed" not in reply.metadata
    assert took_s == pytest.approx(0.6)
    assert transport.requests[1] is transport.requests[0]
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]})
    error, _ = handled(transport, Request(1, stream=True), hedge=HEDGED)
    assert type(error) is StreamInterrupted
