"""The throughput guard, and what the section refuses."""

from __future__ import annotations

import pytest
from routing.fakes import ScriptedTransport, Streamed, policy
from routing.streams import ABC, RESUME, Ledger, ask, said, watched

from simsla.routing import ConfigError, RoutingPolicy
from simsla.routing.streaming.guard import ThroughputGuard


def test_a_stream_is_judged_over_its_first_seconds():
    guard = ThroughputGuard(min_tokens_per_s=10)
    probe = guard.build()
    assert not any(probe.too_slow(10, 0.9) for _ in range(4))
    assert not probe.passed
    assert not probe.too_slow(10, 0.9)
    assert probe.passed, "50 tokens are what 5 s need"
    probe = guard.build()
    assert not probe.too_slow(1, 0.0)
    assert not probe.too_slow(40, 4.0)
    assert probe.too_slow(8, 1.0), "49 tokens in 5 s"
    probe = guard.build()
    assert not probe.too_slow(60, 6.0), "judged by its rate when a chunk comes late"
    assert probe.passed


SLOW = Streamed(0.1, 1, 1, 1, 1, 1, 1, 1)
FAST = Streamed(0.1, *[0.2] * 20)
GUARD = {"min_tokens_per_s": 2, "over_s": 3}


def test_without_resume_chunks_wait_for_the_guard():
    ledger = Ledger()
    transport = ScriptedTransport(ABC, {"a": [SLOW], "b": [FAST]})
    texts, reply = ask(transport, watched(ledger, streaming={"guard": GUARD}))
    assert said(texts) == reply.text == "".join(f"{number} " for number in range(21))
    # The slow stream fails with its fourth chunk, 3 s after its first; the fast one passes with its sixth.
    assert [at for at, _ in texts[:7]] == [pytest.approx(3.1 + 1.1)] * 6 + [pytest.approx(4.4)]
    assert ledger.ends == ["timeout", "succeeded"]
    assert reply.metadata["attempts"] == 2
    assert "resumed" not in reply.metadata


def test_with_resume_chunks_come_at_once_and_none_is_lost():
    transport = ScriptedTransport(ABC, {"a": [SLOW], "b": [FAST]})
    texts, reply = ask(transport, policy(streaming={"guard": GUARD, "resume": True}))
    assert said(texts) == "".join(f"{number} " for number in range(4 + 21))
    assert [at for at, _ in texts[:5]] == [0.1, 1.1, 2.1, 3.1, 3.2]
    assert reply.metadata["resumed"] == [{"deployment": "a", "tokens": 4, "error": "timeout"}]


def test_a_short_answer_and_a_slow_reader_pass_the_guard():
    short = {"a": [Streamed(0.1, 1)]}
    texts, _ = ask(ScriptedTransport(ABC, short), policy(streaming={"guard": GUARD}))
    assert texts == [(1.1, "0 "), (1.1, "1 ")]
    routing = policy(streaming={"guard": GUARD, "resume": True}, timeouts={"total_s": 60})
    transport = ScriptedTransport(ABC, {"a": [FAST]})
    texts, reply = ask(transport, routing, pause_s=2)
    assert (len(texts), transport.called, reply.metadata) == (21, ["a"], None)


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"resume": "yes"}, "routing.streaming.resume"),
        ({"guard": {}}, "routing.streaming.guard.min_tokens_per_s"),
        ({"guard": {"min_tokens_per_s": 0}}, "routing.streaming.guard.min_tokens_per_s"),
        ({"guard": {"min_tokens_per_s": 1, "over_s": "10s"}}, "routing.streaming.guard.over_s"),
        ({"gaurd": {}}, "routing.streaming.gaurd"),
    ],
)
def test_impossible_sections_are_refused_with_their_path(section, path):
    with pytest.raises(ConfigError) as caught:
        policy(timeouts={"total_s": 10}, streaming=section)
    assert caught.value.path == path
    assert policy(streaming={"guard": GUARD}).streaming.guard.over_s == 3
    assert RoutingPolicy.from_dict(policy(**RESUME).to_dict()) == policy(**RESUME)
