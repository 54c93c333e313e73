"""The openai SDK, as production uses it, against the world."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx2
import numpy as np
import openai
import pytest
from world.endpoint.worlds import CHAT, URL, play, world

from simsla.records import NOBODY
from simsla.routing import RoutingPolicy
from simsla.routing.production import OpenAITransport
from simsla.simulation import run_one
from simsla.virtualtime import VirtualTimeError


def client(**options):
    return openai.AsyncOpenAI(**({"base_url": URL, "api_key": "key-us", "max_retries": 0} | options))


def collecting(ask, **options):
    """A policy that keeps what `ask(client, request)` returns or raises, and when."""
    seen = []

    def factory(transport):
        sdk = client(**options)

        async def handle(request):
            begin_s = asyncio.get_running_loop().time()
            try:
                seen.append(await ask(sdk, request))
            except openai.OpenAIError as error:
                seen.append(error)
                raise
            finally:
                times.append(asyncio.get_running_loop().time() - begin_s)

        return handle

    times = []
    return factory, seen, times


async def whole(sdk, request, **options):
    return await sdk.chat.completions.create(model="gpt-4o", messages=request.messages, **options)


async def streamed(sdk, request, **options):
    options = {"stream": True, "stream_options": {"include_usage": True}} | options
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    stream = await sdk.chat.completions.create(model="gpt-4o", messages=request.messages, **options)
    return [(event, loop.time() - begin_s) async for event in stream]


def test_a_whole_answer():
    factory, seen, times = collecting(whole)
    played = play(world(), factory)
    assert played.outcomes() == ["ok"] * len(seen)
    assert len(seen) > 50
    answer = seen[0]
    assert answer.choices[0].message.content == " ".join(["word"] * 50)
    assert (answer.model, answer.choices[0].finish_reason) == ("gpt-4o", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        100,
        50,
        150,
    )
    assert times == pytest.approx([0.7] * len(seen))
    assert played.attempts("request") == played.run.requests["request"].tolist()
    assert set(played.attempts("tokens_in")) == {100}
    assert played.run.unowned == 0
    assert played.run.complaints == {}


def test_an_answer_in_pieces_comes_token_by_token():
    factory, seen, times = collecting(streamed)
    played = play(world(), factory)
    events = seen[0]
    text = "".join(event.choices[0].delta.content or "" for event, _ in events if event.choices)
    assert text.split() == ["word"] * 50
    assert events[0][1] == pytest.approx(0.2)
    assert events[-1][1] == pytest.approx(0.7)
    assert [event.choices[0].finish_reason for event, _ in events if event.choices][-1] == "stop"
    assert events[-1][0].usage.completion_tokens == 50
    assert times == pytest.approx([0.7] * len(times))
    assert played.outcomes() == ["ok"] * len(seen)


def test_a_stream_has_no_count_unless_it_is_asked_for():
    factory, seen, _ = collecting(lambda sdk, request: streamed(sdk, request, stream_options=None))
    play(world(horizon=20.0), factory)
    assert all(event.usage is None and event.choices for event, _ in seen[0])


def test_a_limit_of_tokens_holds():
    factory, seen, _ = collecting(lambda sdk, request: whole(sdk, request, max_tokens=7))
    played = play(world(horizon=20.0), factory)
    assert (seen[0].usage.completion_tokens, seen[0].choices[0].finish_reason) == (7, "length")
    assert set(played.attempts("tokens_out")) == {7}


def test_the_limit_of_the_class_is_not_sent_unless_the_code_sends_it():
    factory, _, _ = collecting(whole)
    played = play(world(horizon=20.0, max_tokens=10), factory)
    assert set(played.attempts("tokens_out")) == {50}


def test_messages_of_the_codes_own_are_counted_by_their_words():
    async def ask(sdk, request):
        messages = [{"role": "system", "content": "You are a helpful assistant"}, *request.messages]
        parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "x"}}]
        messages.append({"role": "user", "content": parts})
        return await sdk.chat.completions.create(model="gpt-4o", messages=messages)

    factory, seen, _ = collecting(ask)
    played = play(world(horizon=20.0), factory)
    assert set(played.attempts("tokens_in")) == {108}
    assert seen[0].usage.prompt_tokens == 108
    assert played.attempts("request") == played.run.requests["request"].tolist()


def test_an_answer_that_is_begun_is_continued():
    async def ask(sdk, request):
        messages = [*request.messages, {"role": "assistant", "content": "word word word"}]
        return await sdk.chat.completions.create(model="gpt-4o", messages=messages)

    factory, seen, _ = collecting(ask)
    play(world(horizon=20.0), factory)
    assert (seen[0].usage.prompt_tokens, seen[0].usage.completion_tokens) == (103, 47)


@pytest.mark.parametrize("stream", [False, True])
def test_who_asks_for_json_gets_json(stream):
    async def ask(sdk, request):
        options = {"response_format": {"type": "json_object"}}
        if not stream:
            return (await whole(sdk, request, **options)).choices[0].message.content
        events = await streamed(sdk, request, **options)
        return "".join(event.choices[0].delta.content or "" for event, _ in events if event.choices)

    factory, seen, _ = collecting(ask)
    play(world(horizon=20.0), factory)
    assert json.loads(seen[0])["text"].split() == ["word"] * 50


# Errors


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("400", openai.BadRequestError, 400),
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("503", openai.InternalServerError, 503),
    ],
)
@pytest.mark.parametrize("ask", [whole, streamed])
def test_errors_with_a_status(kind, error, status, ask):
    factory, seen, _ = collecting(ask)
    spec = {"api_key": "key-us", "errors": {kind: 1.0}, "retry_after": 2.5}
    played = play(world({"us": spec}, horizon=20.0), factory)
    assert set(played.outcomes()) == {"error"}
    failed = seen[0]
    assert type(failed) is error
    assert failed.status_code == status
    assert failed.body["message"]
    told = status in (429, 503)
    assert failed.response.headers.get("retry-after") == ("3" if told else None)
    assert failed.response.headers.get("retry-after-ms") == ("2500" if told else None)


@pytest.mark.parametrize("ask", [whole, streamed])
def test_a_prompt_that_does_not_fit(ask):
    factory, seen, _ = collecting(ask)
    play(world({"us": {"api_key": "key-us", "context_window": 50}}, horizon=20.0), factory)
    assert seen[0].code == "context_length_exceeded"


def test_limits_on_rate_are_told_in_headers():
    async def ask(sdk, request):
        response = await sdk.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=request.messages
        )
        return dict(response.headers)

    factory, seen, _ = collecting(ask)
    play(world({"us": {"api_key": "key-us", "rpm": 30}}, horizon=100.0), factory)
    answered = [each for each in seen if isinstance(each, dict)]
    refused = [each for each in seen if isinstance(each, openai.RateLimitError)]
    assert answered
    assert refused
    assert answered[0]["x-ratelimit-limit-requests"] == "30"
    assert refused[0].response.headers["x-ratelimit-remaining-requests"] == "0"
    assert int(refused[0].response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("ask", [whole, streamed])
def test_a_refused_connection(ask):
    factory, seen, _ = collecting(ask)
    played = play(world({"us": {"api_key": "key-us", "errors": {"connect": 1.0}}}, horizon=20.0), factory)
    assert type(seen[0]) is openai.APIConnectionError
    assert type(seen[0].__cause__) is httpx2.ConnectError
    assert set(played.attempt_outcomes()) == {"connect"}


@pytest.mark.parametrize("ask", [whole, streamed])
def test_a_hang_ends_by_the_read_limit_and_an_unreachable_deployment_by_that_of_the_connection(ask):
    for timeout, errors, cause, after_s in (
        (5.0, {"hang": 1.0}, httpx2.ReadTimeout, 5.0),
        (httpx2.Timeout(7.0, connect=2.0), {"hang": 1.0}, httpx2.ReadTimeout, 7.0),
    ):
        factory, seen, times = collecting(ask, timeout=timeout)
        played = play(world({"us": {"api_key": "key-us", "errors": errors}}, horizon=20.0), factory)
        assert type(seen[0]) is openai.APITimeoutError
        assert type(seen[0].__cause__) is cause
        assert times == pytest.approx([after_s] * len(times))
        assert set(played.attempt_outcomes()) == {"timeout"}


@pytest.mark.parametrize("timeout", [5.0, httpx2.Timeout(30.0, connect=5.0)])
def test_an_unreachable_deployment_ends_by_the_limit_of_the_connection(timeout):
    factory, seen, times = collecting(whole, timeout=timeout)
    late = {"kind": "constant", "value": 60.0}
    spec = {"api_key": "key-us", "errors": {"connect": 1.0}, "error_latency": late}
    played = play(world({"us": spec}, horizon=20.0), factory)
    assert type(seen[0].__cause__) is httpx2.ConnectTimeout
    assert times == pytest.approx([5.0] * len(times))
    assert set(played.attempt_outcomes()) == {"timeout"}


def test_a_read_limit_is_for_each_read_of_a_stream_and_for_all_of_a_whole_answer():
    """An answer of 50 s with a token each second: two seconds are too few for it, and enough for a token."""
    slow = {"api_key": "key-us", "latency": {"first_token": 0.5, "per_token": 1.0}}
    for ask, outcome in ((streamed, "ok"), (whole, "error")):
        factory, _, _ = collecting(ask, timeout=2.0)
        assert set(play(world({"us": slow}, horizon=20.0), factory).outcomes()) == {outcome}
    factory, _, times = collecting(streamed, timeout=0.9)
    played = play(world({"us": slow}, horizon=20.0), factory)
    assert set(played.attempt_outcomes()) == {"timeout"}
    assert times == pytest.approx([0.5 + 0.9] * len(times))


@pytest.mark.parametrize(
    ("ask", "errors", "cause"),
    [(whole, "cut", "RemoteProtocolError"), (streamed, "cut", "RemoteProtocolError")],
)
def test_an_answer_that_breaks_off(ask, errors, cause):
    async def ask_and_name(sdk, request):
        try:
            return await ask(sdk, request)
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            return type(error.__cause__ or error).__name__

    factory, seen, _ = collecting(ask_and_name)
    played = play(world({"us": {"api_key": "key-us", "errors": {errors: 1.0}}}, horizon=20.0), factory)
    assert seen[0] == cause
    assert set(played.attempt_outcomes()) == {"interrupted"}


@pytest.mark.parametrize("ask", [whole, streamed])
def test_an_answer_that_cannot_be_read(ask):
    async def ask_and_name(sdk, request):
        try:
            return await ask(sdk, request)
        except ValueError as error:
            return type(error).__name__

    factory, seen, _ = collecting(ask_and_name)
    played = play(world({"us": {"api_key": "key-us", "errors": {"malformed": 1.0}}}, horizon=20.0), factory)
    assert seen[0] == "JSONDecodeError"
    assert set(played.attempt_outcomes()) == {"malformed"}


# Capacity


@pytest.mark.parametrize("stream", [False, True])
def test_giving_a_call_up_frees_its_place(stream):
    """One slot, held by the first call until it is given up at 1 s; the second waits for it."""
    slow = {"api_key": "key-us", "latency": {"first_token": 0.5, "per_token": 1.0}, "max_concurrency": 1}
    numbers = iter(range(1000))

    async def ask(sdk, request):
        if next(numbers) % 2:
            return await whole(sdk, request, max_tokens=1)
        try:
            async with asyncio.timeout(1.0):
                return await (streamed if stream else whole)(sdk, request)
        except TimeoutError:
            return "given up"

    factory, seen, _ = collecting(ask, timeout=500.0)
    played = play(world({"us": slow}, horizon=30.0), factory)
    assert "given up" in seen
    assert set(played.outcomes()) <= {"ok", "cached"}
    assert "cancelled" in played.attempt_outcomes()
    assert "ok" in played.attempt_outcomes()


def test_leaving_a_stream_early_is_a_cancellation_that_costs_what_was_generated():
    async def ask(sdk, request):
        stream = await sdk.chat.completions.create(model="gpt-4o", messages=request.messages, stream=True)
        async with stream:
            async for _ in stream:
                return

    factory, _, _ = collecting(ask)
    played = play(world(horizon=20.0), factory)
    assert set(played.attempt_outcomes()) == {"cancelled"}
    assert set(played.attempts("tokens_out")) == {1}


def test_a_stream_that_is_left_open_ends_with_its_request():
    """Otherwise the garbage collector would end it, at a moment that is not the simulation's."""
    kept = []

    async def ask(sdk, request):
        stream = await sdk.chat.completions.create(model="gpt-4o", messages=request.messages, stream=True)
        kept.append(stream)
        async for _ in stream:
            break
        await asyncio.sleep(0.1)

    factory, _, _ = collecting(ask)
    played = play(world(horizon=20.0), factory)
    assert set(played.attempt_outcomes()) == {"cancelled"}
    took_s = [
        end - start for start, end in zip(played.attempts("start_s"), played.attempts("end_s"), strict=True)
    ]
    assert took_s == pytest.approx([0.3] * len(took_s))


def test_a_stream_that_another_task_reads_goes_on_after_its_request():
    tasks = []
    read = []

    async def ask(sdk, request):
        stream = await sdk.chat.completions.create(model="gpt-4o", messages=request.messages, stream=True)

        async def reading():
            read.append(len([event async for event in stream]))

        tasks.append(asyncio.create_task(reading()))
        await asyncio.sleep(0.1)

    factory, _, _ = collecting(ask)
    played = play(world(horizon=20.0), factory)
    outcomes = played.attempt_outcomes()
    # The run may end before the last of them.
    assert outcomes.count("ok") == len(read) >= len(outcomes) - 1


# Retries of the SDK


def test_the_sdks_own_retries_are_counted():
    factory, _, _ = collecting(whole, max_retries=2)
    played = play(world({"us": {"api_key": "key-us", "errors": {"500": 1.0}}}, horizon=50.0), factory)
    requests = len(played.outcomes())
    assert len(played.attempts("request")) == 3 * requests
    assert (played.run.http_calls, played.run.sdk_retries) == (3 * requests, 2 * requests)


def test_the_sdk_obeys_what_a_deployment_says():
    factory, _, times = collecting(whole, max_retries=1)
    spec = {
        "api_key": "key-us",
        "errors": {"429": 1.0},
        "retry_after": 7.25,
        "error_latency": {"kind": "constant", "value": 0.25},
    }
    play(world({"us": spec}, horizon=20.0), factory)
    assert times == pytest.approx([7.75] * len(times))


# Other paths


def test_a_probe_of_models_meets_the_faults_of_the_deployment():
    async def ask(sdk, request):
        return [model.id async for model in sdk.models.list()], (await sdk.models.retrieve("gpt-4o")).id

    factory, seen, _ = collecting(ask)
    played = play(world(horizon=20.0), factory)
    assert seen[0] == (["gpt-4o"], "gpt-4o")
    assert set(played.attempts("purpose")) == {2}
    assert played.run.http_calls == 0
    factory, seen, _ = collecting(ask)
    play(world({"us": {"api_key": "key-us", "errors": {"503": 1.0}}}, horizon=20.0), factory)
    assert isinstance(seen[0], openai.InternalServerError)


def test_a_probe_outside_of_any_request_is_nobodys():
    def factory(transport):
        sdk = client()

        async def probe():
            while True:
                await sdk.models.list()
                await asyncio.sleep(10.0)

        kept = [asyncio.get_running_loop().create_task(probe())]

        async def handle(request):
            assert not kept[0].done()
            return await whole(sdk, request)

        return handle

    played = play(world(horizon=100.0), factory)
    assert played.attempts("request").count(NOBODY) == played.run.unowned >= 9


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "'messages'"),
        (b'{"messages": [1]}', "not an object"),
        (b'{"messages": [{"role": "user", "content": 1}]}', "neither a text nor a list"),
        (b'{"messages": [{"content": "a"}]}', "no 'model'"),
        (b'{"messages": [{"content": "a"}], "model": 1}', "'model'"),
        (b'{"messages": [{"content": "a"}], "model": "gpt-4o", "max_tokens": 0}', "'max_tokens'"),
        (b'{"messages": [{"content": "a"}], "model": "gpt-4o", "n": 3}', "'n' is not 1"),
    ],
)
def test_a_body_that_asks_for_nothing_is_refused(body, says):
    seen = []

    def factory(transport):
        http = httpx2.AsyncClient(headers={"authorization": "Bearer key-us"})

        async def handle(request):
            seen.append(await http.post(CHAT, content=body))

        return handle

    played = play(world(horizon=5.0), factory)
    assert seen[0].status_code == 400
    assert says in seen[0].json()["error"]["message"]
    assert says in next(iter(played.run.complaints))
    assert not played.attempts("request")


# Against the seam itself


def test_the_production_transport_over_http_meets_what_a_policy_on_the_seam_meets():
    """The built-in router over `OpenAITransport`: the same attempts, at the same times, as over the world."""
    scenario = world(
        {
            "us": {"api_key": "key-us", "errors": {"500": 0.1, "429": 0.1, "connect": 0.1, "400": 0.02}},
            "eu": {"base_url": "https://eu.example/v1", "errors": {"503": 0.2, "cut": 0.1, "malformed": 0.1}},
        },
        horizon=300.0,
    )
    policy = RoutingPolicy()
    keys = {"US": "key-us", "EU": "none"}

    def over_http(transport):
        deployments = [replace(each, api_key_env=each.name.upper()) for each in transport.deployments]
        http = OpenAITransport(deployments, random=transport.random, environ=keys)
        return policy(http)

    there, here = play(scenario, over_http), run_one(scenario, policy)
    assert there.run.complaints == {}
    for name, column in here.attempts.items():
        np.testing.assert_allclose(there.run.attempts[name], column, rtol=1e-9, err_msg=name)
    for name in ("request", "end_s", "outcome", "output_tokens"):
        np.testing.assert_allclose(there.run.requests[name], here.requests[name], rtol=1e-9, err_msg=name)
    assert len(set(there.attempt_outcomes())) >= 7


# Mistakes


@pytest.mark.parametrize("swallowing", [False, True])
def test_a_blocking_client_in_a_coroutine_ends_the_run_and_says_where(swallowing):
    """Though the SDK takes it for a broken connection, and the policy for a failed call."""

    def factory(transport):
        sdk = openai.OpenAI(base_url=URL, api_key="key-us", max_retries=0)

        async def handle(request):
            try:
                sdk.chat.completions.create(model="gpt-4o", messages=request.messages)
            except openai.OpenAIError:
                if not swallowing:
                    raise

        return handle

    with pytest.raises(VirtualTimeError, match=r"blocking HTTP client is used in a coroutine.*test_chat\.py"):
        run_one(world(horizon=20.0), factory)
