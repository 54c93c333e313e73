"""Whatever a server sends, it is an answer or an error of ours, and no key is told."""

from __future__ import annotations

import json
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.routing import AttemptError, BadRequest, MalformedReply, ServerError
from simsla.routing.production.answers import Answer, Piece
from simsla.routing.production.keys import Scrubber
from simsla.routing.production.sdk_errors import in_band, of_network, of_status

KEY = "sk-0123456789"
SCRUB = Scrubber([KEY])

WORDS = st.sampled_from(
    ["choices", "message", "content", "error", "usage", "code", "type", "finish_reason", "innererror"]
) | st.sampled_from(["completion_tokens", "prompt_tokens", "rate_limit", "503", KEY, f"a {KEY} b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)
CHOICES = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": JSON}, optional={"finish_reason": JSON}))},
    optional={"usage": JSON, "error": JSON},
)


@settings(deadline=None)
@given(said=JSON | CHOICES)
def test_a_body_is_an_answer_or_an_error(said):
    found = Answer.read(json.dumps(said).encode(), "a", SCRUB)
    if isinstance(found, AttemptError):
        assert found.deployment == "a"
        assert KEY not in str(found)
    else:
        assert isinstance(found.text, str)
        assert isinstance(found.finish_reason, str)
        assert type(found.tokens_out) is int


@given(body=st.binary(max_size=50))
def test_any_bytes_are_an_answer_or_an_error(body):
    assert isinstance(Answer.read(body, "a", SCRUB), Answer | AttemptError)


@settings(deadline=None)
@given(choices=JSON | st.lists(st.builds(SimpleNamespace, delta=JSON, finish_reason=JSON)), usage=JSON)
def test_an_event_is_a_piece_or_malformed(choices, usage):
    try:
        piece = Piece.read(SimpleNamespace(choices=choices, usage=usage), "a")
    except MalformedReply:
        return
    assert isinstance(piece.text, str)
    assert piece.alive or not piece.text


@settings(deadline=None)
@given(status=st.integers(400, 599), body=JSON, headers=st.dictionaries(st.just("retry-after"), st.text()))
def test_every_status_and_body_is_an_error(status, body, headers):
    error = of_status(status, body, headers, "a", SCRUB)
    assert (error.status, error.deployment) == (status, "a")
    assert isinstance(error, ServerError) or status < 500
    assert KEY not in str(error)
    assert error.retry_after_s is None or error.retry_after_s >= 0
    assert isinstance(in_band(body, "a", SCRUB), AttemptError)


@given(said=st.sampled_from(["m", "maximum context length", "content_filter"]), status=st.integers(500, 599))
def test_a_servers_failure_never_blames_the_request(said, status):
    assert not isinstance(of_status(status, {"message": said}, {}, "a", SCRUB), BadRequest)


def test_what_no_network_does_stays_what_it_is():
    mistake = ZeroDivisionError()
    assert of_network(mistake, "a", answering=False) is mistake
    assert isinstance(of_network(OSError(), "a", answering=False), AttemptError)


def test_what_headers_say_of_limits_is_kept_and_nothing_else():
    said = {"X-RateLimit-Remaining-Requests": "0", "retry-after": "2", "set-cookie": "secret"}
    error = of_status(429, {"message": "slow down"}, said, "a", SCRUB)
    assert error.headers == {"x-ratelimit-remaining-requests": "0"}
    assert error.retry_after_s == 2
    assert of_status(500, "boom", {}, "a", SCRUB).headers is None
