"""What the world adds to a call of the openai SDK, beside a transport that does nothing.

Run by hand: `python tests/benchmarks/bench_http.py`. The same requests come to three policies in turn: one
that makes no call, one whose client has a transport that does nothing, one whose client is answered by the
world. The goal is at most 25 % on top of `AsyncOpenAI.chat.completions.create`, streamed or not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import openai

from simsla.routing import Chunk
from simsla.scenario import Scenario
from simsla.simulation import run_one
from simsla.world.endpoint.bodies import Voice

ROUNDS = 7
URL = "https://gateway.example/v1"
PROMPT_TOKENS, ANSWER_TOKENS = 200, 64

SCENARIO = Scenario.from_dict(
    {
        "name": "bench",
        "horizon": "2000s",
        "deployments": {
            "us": {
                "model": "gpt-4o",
                "base_url": URL,
                "api_key": "made-up",
                "latency": {"first_token": 0.2, "per_token": 0.01},
            }
        },
        "traffic": {
            "chat": {
                "arrivals": {"kind": "poisson", "rate": 1.0},
                "prompt_tokens": PROMPT_TOKENS,
                "output_tokens": ANSWER_TOKENS,
            }
        },
    }
)


class Nothing(httpx2.AsyncBaseTransport):
    """The same bytes as the world's, at once."""

    def __init__(self, stream: bool) -> None:
        voice = Voice(SCENARIO.deployments["us"].to_deployment())
        self._whole = voice.completion("1", 0, (PROMPT_TOKENS, ANSWER_TOKENS), "stop", False)
        chunks = [Chunk("word ", 1), *[Chunk("word " * 16, 16)] * 3, Chunk("word " * 15, 15)]
        self._events = [voice.piece("1", 0, chunk.text) for chunk in chunks]
        self._events[0] = voice.opening("1", 0) + self._events[0]
        self._events[-1] += voice.ending("1", 0, "stop", None)
        self._stream = stream

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._stream:
            headers = [("content-type", "text/event-stream; charset=utf-8")]
            return httpx2.Response(200, headers=headers, content=self._pieces())
        headers = [("content-type", "application/json"), ("x-request-id", "1")]
        return httpx2.Response(200, headers=headers, content=self._whole)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event


def handle_of(client: openai.AsyncOpenAI, stream: bool) -> Callable[[Any], Any]:
    create = client.chat.completions.create

    async def handle(request: Any) -> None:
        answer = await create(model="gpt-4o", messages=request.messages, stream=stream)
        if stream:
            async for _ in answer:
                pass

    return handle


def without_calls(stream: bool) -> Callable[[Any], Any]:
    async def handle(request: Any) -> None:
        _ = request.messages

    return lambda transport: handle


def with_nothing(stream: bool) -> Callable[[Any], Any]:
    def factory(transport: Any) -> Any:
        http_client = httpx2.AsyncClient(transport=Nothing(stream))
        return handle_of(openai.AsyncOpenAI(base_url=URL, api_key="made-up", http_client=http_client), stream)

    return factory


def in_the_world(stream: bool) -> Callable[[Any], Any]:
    return lambda transport: handle_of(openai.AsyncOpenAI(base_url=URL, api_key="made-up"), stream)


def microseconds(policy: Callable[[Any], Any]) -> float:
    """CPU time for each request."""
    start = time.process_time()
    run = run_one(SCENARIO, policy)
    return (time.process_time() - start) / len(run.requests["request"]) * 1e6


def report(name: str, stream: bool) -> None:
    kinds = (without_calls, with_nothing, in_the_world)
    rounds = [[microseconds(kind(stream)) for kind in kinds] for _ in range(ROUNDS)]
    none, nothing, world = (statistics.median(column) for column in zip(*rounds, strict=True))
    added = statistics.median((world - nothing) / (nothing - none) for none, nothing, world in rounds)
    print(
        f"{name}: {nothing - none:,.0f} us with a transport that does nothing, {world - none:,.0f} us in the "
        f"world: {added:+.0%} (goal: at most +25 %)"
    )


if __name__ == "__main__":
    report("AsyncOpenAI.create", stream=False)
    report("AsyncOpenAI.create, streamed", stream=True)
