"""What a `FaultServer` sends back."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Final

from simsla.testing import http_messages as http
from simsla.testing.behaviours import TOKENS, Behaviour
from simsla.testing.http_messages import Asked

_ERRORS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "server_error": (500, {"type": "server_error", "message": "The server had an error."}),
    "unavailable": (503, {"type": "server_error", "message": "The engine is overloaded."}),
    "rate_limited": (
        429,
        {"type": "requests", "code": "rate_limit_exceeded", "message": "Rate limit reached."},
    ),
    "bad_request": (400, {"type": "invalid_request_error", "message": "Invalid value for temperature."}),
    "context_length": (
        400,
        {
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
            "message": "This model's maximum context length is 1 tokens.",
        },
    ),
    "content_filter": (
        400,
        {"type": "invalid_request_error", "code": "content_filter", "message": "The prompt was filtered."},
    ),
    "unauthorized": (
        401,
        {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key: {key}"},
    ),
    "not_found": (
        404,
        {
            "type": "invalid_request_error",
            "code": "model_not_found",
            "message": "The model does not exist.",
        },
    ),
}


async def respond(asked: Asked, writer: asyncio.StreamWriter, behaviour: Behaviour) -> bool:
    """Behave so. Whether the connection may be used again."""
    if behaviour.kind in _ERRORS:
        return await send_error(asked, writer, behaviour)
    if behaviour.kind == "hang":
        await asyncio.sleep(math.inf)
    return await (_streamed if asked.streams else _whole)(asked, writer, behaviour)


async def send_error(asked: Asked, writer: asyncio.StreamWriter, behaviour: Behaviour) -> bool:
    """An error of its kind."""
    await asyncio.sleep(behaviour.after_s)
    status, said = _ERRORS[behaviour.kind]
    error = said | {"message": said["message"].format(key=asked.key)}
    body = json.dumps({"error": error}).encode()
    wish = {} if behaviour.retry_after_s is None else _retry_after(behaviour.retry_after_s)
    writer.write(http.head(status, content_type="application/json", content_length=len(body), **wish) + body)
    await writer.drain()
    return True


def _retry_after(seconds: float) -> dict[str, object]:
    """Whole seconds as the standard has it; parts of them as OpenAI does."""
    if seconds == int(seconds):
        return {"retry_after": int(seconds)}
    return {"retry_after_ms": seconds * 1000.0}


def _length(asked: Asked) -> tuple[int, str]:
    """What is left of the answer where it has been begun, within the limit."""
    left, most = max(1, TOKENS - asked.begun_tokens), asked.most_tokens
    return (left, "stop") if most is None or most >= left else (most, "length")


async def _whole(asked: Asked, writer: asyncio.StreamWriter, behaviour: Behaviour) -> bool:
    tokens, finish_reason = _length(asked)
    await asyncio.sleep(math.inf if behaviour.kind == "stall" else behaviour.after_s)
    await asyncio.sleep(tokens * behaviour.per_token_s)
    body = http.completion(asked, tokens, finish_reason)
    if behaviour.kind == "malformed":
        body = body[: len(body) // 2]
    writer.write(http.head(200, content_type="application/json", content_length=len(body)))
    writer.write(body[: len(body) // 2] if behaviour.kind == "cut" else body)
    await writer.drain()
    return behaviour.kind != "cut"


async def _streamed(asked: Asked, writer: asyncio.StreamWriter, behaviour: Behaviour) -> bool:
    tokens, finish_reason = _length(asked)
    shown = {"stall": 1, "cut": max(1, tokens // 2), "malformed": tokens - 1}.get(behaviour.kind, tokens)
    writer.write(http.head(200, content_type="text/event-stream", transfer_encoding="chunked"))
    writer.write(http.event(asked, {"role": "assistant", "content": ""}))
    await asyncio.sleep(behaviour.after_s)
    for number in range(shown):
        writer.write(http.event(asked, {"content": " word" if number or asked.begun_tokens else "word"}))
        await writer.drain()
        await asyncio.sleep(behaviour.per_token_s)
    if behaviour.kind == "stall":
        await asyncio.sleep(math.inf)
    if behaviour.kind == "cut":
        return False
    if behaviour.kind == "malformed":
        writer.write(http.data('{"choices": [{"delta": '))
    else:
        writer.write(http.event(asked, {}, finish_reason))
        if asked.counts:
            writer.write(http.count(asked, tokens))
    writer.write(http.data("[DONE]") + b"0\r\n\r\n")
    await writer.drain()
    return True
