"""The transport of production, against scripted HTTP. Its behaviour on real sockets: tests/testing."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import logging
import random
import subprocess
import sys
import traceback

import pytest
from testing.test_fault_server import serve

from simsla.routing import (
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    Deployment,
    MalformedReply,
    NotFound,
    RateLimited,
    Request,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
    Timeouts,
)
from simsla.routing.production import OpenAITransport
from simsla.routing.production.keys import Scrubber
from simsla.routing.production.sdk_errors import retry_after_s
from simsla.testing import CONFORMANCE_CASES, check_transport
from simsla.testing.arms import KEY, KEY_ENV
from simsla.testing.behaviours import CUT, HANG, OK, UNAUTHORIZED

# The HTTP library that the SDK stands on: httpx, or httpx2.
NEEDED = " ".join(importlib.metadata.requires("openai"))
HTTP = importlib.import_module("httpx2" if "httpx2" in NEEDED else "httpx")

LOCAL = Deployment("local", "llama", base_url="http://127.0.0.1:9/v1")
SECRET = "sk-very-secret-0123456789"  # noqa: S105 - nobody's


def completion(**changes):
    message = {"role": "assistant", "content": "four words of text"}
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage} | changes


def chosen(content, finish_reason="stop", **message):
    return completion(choices=[{"message": {"content": content, **message}, "finish_reason": finish_reason}])


class Played:
    """A transport whose HTTP is played: what was asked, and one answer for all."""

    def __init__(self, status=200, body=None, headers=None, deployment=LOCAL, **options):
        self.asked = []
        self.status = status
        self.body = completion() if body is None else body
        self.headers = headers or {}
        self.deployment = deployment
        self.made = 0
        self.transport = OpenAITransport([deployment], http_client=self.client, **options)

    def client(self):
        self.made += 1
        return HTTP.AsyncClient(transport=HTTP.MockTransport(self.answer))

    def answer(self, request):
        self.asked.append(request)
        if isinstance(self.body, Exception):
            raise self.body
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return HTTP.Response(self.status, headers=self.headers, content=content)

    def send(self, request=None, **options):
        options.setdefault("timeouts", Timeouts())
        return asyncio.run(
            self.transport.send(request or Request("r", prompt_tokens=3), self.deployment, **options)
        )

    def stream(self):
        async def read():
            opened = self.transport.stream(
                Request("r", prompt_tokens=3), self.deployment, timeouts=Timeouts()
            )
            async with opened as stream:
                async for chunk in stream:
                    chunks.append(chunk)  # noqa: PERF401 - those before an error count too

        chunks = []
        try:
            asyncio.run(read())
        except Exception as error:
            return chunks, error
        return chunks, None

    @property
    def body_asked(self):
        return json.loads(self.asked[-1].content)


def failed(*args, **options):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what the tests look at
        Played(*args, **options).send()
    return caught.value


# What is asked and what is read


def test_a_reply():
    played = Played()
    reply = played.send()
    assert (reply.text, reply.deployment, reply.model) == ("four words of text", "local", "llama")
    assert (reply.tokens_in, reply.tokens_out, reply.finish_reason) == (11, 5, "stop")
    assert str(played.asked[0].url) == "http://127.0.0.1:9/v1/chat/completions"
    assert played.body_asked == {
        "model": "llama",
        "messages": [{"role": "user", "content": "word word word"}],
    }


def test_messages_go_as_they_are():
    played = Played()
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"})
    played.send(Request("r", messages=messages))
    assert played.body_asked["messages"] == list(messages)


@pytest.mark.parametrize(("asked", "given", "sent"), [(None, None, None), (50, None, 50), (50, 20, 20)])
def test_max_tokens_by_the_name_that_the_server_takes(asked, given, sent):
    played = Played()
    played.send(Request("r", prompt_tokens=1, max_tokens=asked), max_tokens=given)
    assert played.body_asked.get("max_tokens") == sent
    vendor = Played(deployment=Deployment("openai", "gpt"), environ={"OPENAI_API_KEY": SECRET})
    vendor.send(Request("r", prompt_tokens=1, max_tokens=asked), max_tokens=given)
    assert vendor.body_asked.get("max_completion_tokens") == sent
    assert "max_tokens" not in vendor.body_asked
    assert vendor.asked[0].url.host == "api.openai.com"


def test_further_arguments_go_first():
    def options(request, deployment):
        return {"temperature": 0.5, "model": f"{deployment.model}-{request.id}"}

    played = Played(options=options)
    played.send()
    assert played.body_asked["temperature"] == 0.5
    assert played.body_asked["model"] == "llama-r"


def test_a_wrong_argument_is_nobodys_error():
    error = failed(options=lambda request, deployment: {"temprature": 1})
    assert type(error) is TypeError


def test_a_server_that_does_not_count():
    reply = Played(body=chosen("x" * 41) | {"usage": None}).send()
    assert (reply.tokens_in, reply.tokens_out) == (3, 11)


def test_an_answer_of_tools_only_has_no_text():
    reply = Played(body=chosen(None, "tool_calls", tool_calls=[{"id": "1"}])).send()
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"\xff\xfe",
        b'{"choices": [',
        b"[]",
        b"null",
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": 5}]},
    ],
    ids=str,
)
def test_what_is_no_completion_is_malformed(body):
    error = failed(body=body)
    assert type(error) is MalformedReply
    assert error.deployment == "local"


def test_an_encoding_that_is_none_is_malformed():
    error = failed(body=b"not gzip", headers={"content-encoding": "gzip", "content-type": "application/json"})
    assert type(error) is MalformedReply


def test_a_withheld_answer():
    assert type(failed(body=chosen("", "content_filter"))) is ContentFiltered
    assert Played(body=chosen("a part", "content_filter")).send().finish_reason == "content_filter"


# Streams


def events(*payloads, end=True):
    lines = [p if isinstance(p, str) else json.dumps(p) for p in payloads] + ["[DONE]"] * end
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def piece(content=None, finish_reason=None, **delta):
    return {"choices": [{"delta": {"content": content, **delta}, "finish_reason": finish_reason}]}


def usage(tokens):
    return {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": tokens}}


def streamed(*payloads, end=True):
    headers = {"content-type": "text/event-stream"}
    return Played(body=events(*payloads, end=end), headers=headers).stream()


def test_a_stream_ends_with_its_reason_and_the_count_of_the_server():
    chunks, error = streamed(
        piece("", role="assistant"), piece("a"), piece(" b c d"), piece(finish_reason="stop"), usage(5)
    )
    assert error is None
    assert [(c.text, c.tokens, c.finish_reason) for c in chunks] == [
        ("a", 1, None),
        (" b c d", 1, None),
        ("", 3, "stop"),
    ]


def test_a_stream_without_a_count_counts_its_events():
    chunks, _ = streamed(piece("a"), piece("b"), piece(finish_reason="length"))
    assert [(c.tokens, c.finish_reason) for c in chunks] == [(1, None), (1, None), (0, "length")]


def test_a_reason_may_come_with_the_last_text():
    chunks, _ = streamed(piece("a"), piece("b", "stop"))
    assert [c.text for c in chunks] == ["a", "b", ""]
    assert chunks[-1].finish_reason == "stop"


def test_reasoning_and_calls_of_tools_are_tokens_without_text():
    chunks, _ = streamed(
        piece(reasoning_content="hm"),
        piece(reasoning_content="hm"),
        piece("a"),
        piece(tool_calls=[{"index": 0}]),
        piece(finish_reason="tool_calls"),
    )
    assert [(c.text, c.tokens) for c in chunks] == [("a", 3), ("", 1)]


@pytest.mark.parametrize("after", [0, 2])
def test_a_stream_without_its_end_is_interrupted(after):
    chunks, error = streamed(*[piece("a")] * after, end=False)
    assert type(error) is StreamInterrupted
    assert len(chunks) == after
    assert error.deployment == "local"


def test_an_answer_is_whole_once_its_reason_has_come():
    chunks, error = streamed(piece("a"), piece(finish_reason="stop"), '{"choices": [', end=False)
    assert error is None
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("event", ['{"choices": [', '"text"', "5", '{"choices": 5}', '{"object": "other"}'])
def test_an_event_that_is_no_chunk_is_malformed(event):
    chunks, error = streamed(piece("a"), event)
    assert type(error) is MalformedReply
    assert len(chunks) == 1
    assert error.deployment == "local"


def test_a_withheld_stream():
    _, error = streamed(piece("", role="assistant"), piece(finish_reason="content_filter"))
    assert type(error) is ContentFiltered


IN_BAND = [
    ({"message": "m", "code": 429}, RateLimited, 429),
    ({"message": "m", "code": "503"}, ServiceUnavailable, 503),
    ({"message": "m", "code": 400, "type": "BadRequestError"}, BadRequest, 400),
    ({"message": "maximum context length is 10", "code": 400}, ContextLengthExceeded, 400),
    ({"message": "m", "code": "rate_limit_exceeded"}, RateLimited, 429),
    ({"message": "m", "type": "overloaded_error"}, ServiceUnavailable, 503),
    ({"message": "m", "type": "invalid_request_error"}, BadRequest, 400),
    ({"message": "m", "type": "authentication_error"}, AuthenticationFailed, 401),
    ({"message": "m", "type": "server_error"}, ServerError, 500),
    ({"message": "m", "code": "content_filter"}, ContentFiltered, 400),
    ("anything", ServerError, 500),
]


@pytest.mark.parametrize(("said", "error", "status"), IN_BAND, ids=str)
def test_an_error_in_a_200(said, error, status):
    """As OpenRouter and vLLM send them, whole and among the events of a stream."""
    whole = failed(body={"error": said})
    assert (type(whole), whole.status, whole.deployment) == (error, status, "local")
    chunks, within = streamed(piece("a"), {"error": said})
    assert (type(within), within.status, within.deployment) == (error, status, "local")
    assert len(chunks) == 1


# Errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (401, AuthenticationFailed),
        (402, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, NotFound),
        (408, AttemptTimeout),
        (409, ServerError),
        (413, BadRequest),
        (422, BadRequest),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServiceUnavailable),
        (504, ServerError),
        (529, ServiceUnavailable),
    ],
)
def test_every_status_is_an_error_of_ours(status, error):
    played = Played(status, {"error": {"message": "No.", "type": "t", "code": None}})
    with pytest.raises(error) as caught:
        played.send()
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.deployment) == (status, "local")
    assert "No." in str(caught.value)
    assert len(played.asked) == 1, "the SDK must not retry"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"code": "context_length_exceeded", "message": "too long"}, ContextLengthExceeded),
        ({"message": "This model's maximum context length is 8192 tokens."}, ContextLengthExceeded),
        ({"message": "prompt is too long: 210000 tokens > 200000 maximum"}, ContextLengthExceeded),
        ({"code": "content_filter", "message": "filtered"}, ContentFiltered),
        ({"code": "content_policy_violation", "message": "no"}, ContentFiltered),
        ({"message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, ContentFiltered),
        ({"message": "'temperature' must be at most 2"}, BadRequest),
        ("just a text", BadRequest),
        (None, BadRequest),
    ],
    ids=str,
)
def test_what_a_400_is_about(said, error):
    assert type(failed(400, {"error": said})) is error


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", [1], {"detail": "x"}], ids=str)
def test_an_error_may_say_anything(body):
    assert type(failed(502, body)) is ServerError


def test_an_error_tells_the_number_for_the_support_and_does_not_ramble():
    error = failed(500, {"error": {"message": "long " * 1000}}, {"x-request-id": "req-7"})
    assert "[request req-7]" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT"}, 0.0),
        (
            {"retry-after": "Wed, 21 Oct 2026 09:00:10 GMT", "date": "Wed, 21 Oct 2026 09:00:00 GMT"},
            10.0,
        ),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after_s(headers, 1792567680.0) == seconds
    if "GMT" not in str(headers):
        assert failed(429, {"error": {"message": "m"}}, headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (HTTP.ConnectError("refused"), ConnectError),
        (HTTP.RemoteProtocolError("Server disconnected without sending a response."), ConnectError),
        (HTTP.ReadError("reset"), ConnectError),
        (HTTP.ProxyError("403"), ConnectError),
        (HTTP.ConnectTimeout("slow"), AttemptTimeout),
        (HTTP.ReadTimeout("slow"), AttemptTimeout),
        (HTTP.DecodingError("garbage"), MalformedReply),
    ],
)
def test_what_the_http_library_raises_before_an_answer(raised, error):
    found = failed(body=raised)
    assert type(found) is error
    assert found.deployment == "local"
    if error is AttemptTimeout:
        assert found.phase == ("connect" if type(raised).__name__ == "ConnectTimeout" else "total")


def test_a_deployment_that_it_does_not_have():
    played = Played()
    with pytest.raises(NotFound, match="did you mean 'local'"):
        asyncio.run(played.transport.send(Request("r"), Deployment("lokal", "m")))


# Keys


def keyed(name="a", variable="A_KEY", **changes):
    return Deployment(name, "m", base_url="http://127.0.0.1:9/v1", api_key_env=variable, **changes)


def test_each_deployment_is_called_with_its_own_key():
    played = Played(deployment=keyed(), environ={"A_KEY": f" {SECRET}\n", "OPENAI_API_KEY": "sk-other-0000"})
    played.send()
    assert played.asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_server_without_keys_never_sees_that_of_openai(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    played = Played()
    played.send()
    assert SECRET not in str(played.asked[0].headers)


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\u2019smart", "sk-a\nb"])
def test_a_missing_key_is_refused_with_the_variable(value):
    environ = {"A_KEYS": SECRET} | ({} if value is None else {"A_KEY": value})
    with pytest.raises(ConfigError) as caught:
        OpenAITransport([keyed()], environ=environ)
    error = caught.value
    assert error.path == "deployments.a.api_key_env"
    assert error.value == "A_KEY"
    assert error.suggestion == "A_KEYS"
    assert SECRET not in str(error)
    assert value is None or not value.strip() or value not in str(error)


def test_openai_itself_needs_its_key():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        OpenAITransport([Deployment("gpt", "gpt")], environ={})


def test_names_are_unique():
    with pytest.raises(ConfigError, match="each name once"):
        OpenAITransport([LOCAL, LOCAL])


@pytest.mark.parametrize("streams", [False, True])
def test_a_key_that_the_server_repeats_goes_no_further(monkeypatch, caplog, streams):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_ENV, KEY)

    async def script(server):
        (deployment,) = server.place([Deployment("m", "m")], KEY_ENV)
        async with OpenAITransport([deployment]) as transport:
            caught = await error_of(transport, deployment, streams)
        return caught, repr(transport), repr(vars(transport))

    error, *shown = serve({"m": [UNAUTHORIZED]}, script)
    assert type(error) is AuthenticationFailed
    assert "[key]" in str(error)
    told = "".join(traceback.format_exception(error))
    for text in (str(error), repr(error), told, caplog.text, *shown):
        assert KEY not in text
    assert error.__cause__ is None
    assert error.__context__ is None


async def error_of(transport, deployment, streams, timeouts=None):
    timeouts = timeouts or Timeouts()
    request = Request("r", prompt_tokens=1)
    try:
        if streams:
            async with transport.stream(request, deployment, timeouts=timeouts) as chunks:
                async for _ in chunks:
                    pass
        else:
            await transport.send(request, deployment, timeouts=timeouts)
    except Exception as error:
        return error


@pytest.mark.parametrize("streams", [False, True])
def test_no_error_of_the_sdk_is_chained(streams):
    """It holds the request, and with it the key."""

    async def script(server):
        placed = server.place([Deployment(name, name) for name in ("cut", "hang")])
        async with OpenAITransport(placed) as transport:
            return [
                await error_of(transport, each, streams, Timeouts(first_token_s=0.1, total_s=0.1))
                for each in placed
            ]

    cut, hang = serve({"cut": [CUT], "hang": [HANG]}, script)
    assert isinstance(cut, StreamInterrupted | AttemptTimeout)
    assert isinstance(hang, AttemptTimeout)
    for error in (cut, hang):
        assert error.__cause__ is None
        assert error.__context__ is None


def test_the_scrubber_takes_the_longest_first_and_leaves_words_alone():
    scrub = Scrubber(["none", "sk-abcdef", "sk-abcdef-long"])
    assert scrub("none of sk-abcdef-long, sk-abcdef") == "none of [key], [key]"
    assert "sk-" not in repr(scrub)


# Clients


def test_one_client_for_an_address_and_a_key():
    made = []

    def client():
        made.append(HTTP.AsyncClient())
        return made[-1]

    places = [
        keyed("a"),
        keyed("b"),
        keyed("c", "B_KEY"),
        Deployment("d", "m", base_url="http://127.0.0.1:10/v1", api_key_env="A_KEY"),
    ]

    async def main():
        environ = {"A_KEY": SECRET, "B_KEY": f"{SECRET}-b"}
        async with OpenAITransport(places, environ=environ, http_client=client) as transport:
            assert len(made) == 3
            assert repr(transport) == "<OpenAITransport to a, b, c, d>"
        assert all(each.is_closed for each in made)

    asyncio.run(main())


def test_chance_is_the_systems_or_the_one_given():
    assert isinstance(Played().transport.random, random.SystemRandom)
    generator = random.Random(1)
    assert Played(random=generator).transport.random is generator


def test_a_client_of_the_older_http_library_does_as_well():
    cases = [case for case in CONFORMANCE_CASES if case.name.startswith(("answers", "streams", "s"))]
    assert len(cases) > 20

    def make(deployments):
        return OpenAITransport(deployments, http_client=HTTP.AsyncClient)

    check_transport(make, cases)


def test_a_slow_reader_is_not_an_idle_server():
    async def script(server):
        (deployment,) = server.place([Deployment("m", "m")])
        async with OpenAITransport([deployment]) as transport:
            tokens = 0
            timeouts = Timeouts(idle_s=0.5)
            async with transport.stream(Request("r"), deployment, timeouts=timeouts, max_tokens=3) as chunks:
                async for chunk in chunks:
                    tokens += chunk.tokens
                    if tokens == 1:
                        await asyncio.sleep(0.7)
            return tokens

    assert serve({"m": [OK]}, script) == 3


# Without the SDK


def test_the_sdk_is_loaded_by_the_transport_alone():
    code = (
        "import sys, simsla.routing.production as p; assert 'openai' not in sys.modules;"
        "from simsla.routing import Deployment; sys.modules['openai'] = None;"
        "p.OpenAITransport([Deployment('m', 'm', base_url='http://127.0.0.1/v1')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "ImportError: OpenAITransport needs the openai SDK: pip install 'simsla[openai]'" in ran.stderr
