from __future__ import annotations

import pytest
from routing.fakes import copied

from simsla.routing import TIERS, Chunk, ConfigError, Deployment, Reply, Request, Timeouts


def test_a_subordinate_call_names_the_root_and_inherits_the_rest():
    request = Request(7, prompt_tokens=50, tier="premium", deadline=9.0, region="us", client="c", topic="t")
    classify = request.derive(purpose="classify", tier="economy", prompt_tokens=60)
    assert (classify.id, classify.parent_id, classify.purpose) == ("7/classify", 7, "classify")
    assert (classify.tier, classify.prompt_tokens) == ("economy", 60)
    assert (classify.deadline, classify.region, classify.client, classify.topic) == (9.0, "us", "c", "t")
    check = classify.derive(purpose="check")
    assert (check.id, check.parent_id) == ("7/check", 7)
    assert (request.purpose, request.parent_id) == ("answer", None)


def test_derive_refuses_what_a_request_does_not_have():
    with pytest.raises(TypeError, match="teir"):
        Request(1).derive(purpose="check", teir="economy")


def test_a_request_without_text_makes_one_of_its_length():
    request = Request(1, prompt_tokens=12)
    assert len(request.prompt.split()) == 12
    assert request.messages == [{"role": "user", "content": request.prompt}]
    assert Request(1).prompt == ""


def test_the_prompt_is_the_last_user_message():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "se"}, {"type": "text", "text": "cond"}]},
        {"role": "assistant", "content": None},
    ]
    request = Request(1, messages=messages)
    assert request.prompt == "second"
    assert request.messages is messages
    assert request.derive(purpose="check").messages is messages
    assert Request(1, messages=[{"role": "system", "content": "alone"}]).prompt == ""


def test_values_are_frozen_where_they_are_shared():
    deployment = Deployment("a", "m", components=("gateway",))
    with pytest.raises(AttributeError):
        deployment.name = "b"
    with pytest.raises(AttributeError):
        Timeouts(1, 2, 3).total_s = 4
    assert hash(deployment) == hash(Deployment("a", "m", components=("gateway",)))


def test_an_unknown_tier_is_refused_with_the_nearest():
    assert TIERS == ("economy", "standard", "premium")
    with pytest.raises(ConfigError, match=r"a\.tier: expected one of economy.*did you mean 'premium'"):
        Deployment("a", "m", tier="premum")


def test_values_travel_between_processes():
    request = copied(Request(3, prompt_tokens=5, tier="economy"))
    assert (request.id, request.prompt_tokens, request.tier) == (3, 5, "economy")
    reply = copied(Reply("t", "d", "m", 1, 2, 0.1, 0.2, metadata={"a": 1}))
    assert (reply.text, reply.metadata, reply.finish_reason) == ("t", {"a": 1}, "stop")
    assert copied(Deployment("a", "m")) == Deployment("a", "m")


def test_reprs_say_what_matters():
    assert repr(Request(3, prompt_tokens=5, complexity=0.25)) == (
        "<Request 3 default/answer, 5 tokens, complexity 0.25>"
    )
    assert "from d (m), 1 tokens in, 2 out" in repr(Reply("t", "d", "m", 1, 2, 0.1, 0.2))
    assert repr(Chunk("ab", 1, "stop")) == "<Chunk 1 tokens 'ab', stop>"
