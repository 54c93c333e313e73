"""HTTP/1.1 and the OpenAI chat protocol, as much of them as a test server needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

_LONGEST_BODY: Final = 16 * 1024 * 1024


class Asked(NamedTuple):
    """A request, as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body.get("model"))

    @property
    def streams(self) -> bool:
        """Whether the answer is wanted in pieces."""
        return bool(self.body.get("stream"))

    @property
    def counts(self) -> bool:
        """Whether a stream shall end with a count of tokens."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def key(self) -> str:
        """The key that came with it."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def most_tokens(self) -> int | None:
        """How long the answer may be."""
        most = self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        return most if isinstance(most, int) else None

    @property
    def prompt_tokens(self) -> int:
        """The length of the prompt, a token for each word."""
        return sum(len(str(message.get("content")).split()) for message in self.body.get("messages", ()))

    @property
    def begun_tokens(self) -> int:
        """The length of the answer so far, where its beginning is the last message."""
        last: dict[str, Any] = (self.body.get("messages") or [{}])[-1]
        return len(str(last.get("content")).split()) if last.get("role") == "assistant" else 0


async def read_request(reader: asyncio.StreamReader) -> Asked | None:
    """The next request on a connection, or None where the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", "0"))
    if length > _LONGEST_BODY:
        raise ValueError("a request of more than 16 MiB")
    body = json.loads(await reader.readexactly(length) or b"{}")
    return Asked(first.split(" ")[1], headers, body)


def head(status: int, **headers: object) -> bytes:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status} {_reason(status)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def completion(asked: Asked, tokens: int, finish_reason: str) -> bytes:
    """A whole answer."""
    message = {"role": "assistant", "content": words(tokens)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json.dumps(
        {**_common(asked, "chat.completion"), "choices": [choice], "usage": usage(asked, tokens)}
    ).encode()


def event(asked: Asked, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    """A piece of an answer, as an event of a chunked stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return data(json.dumps({**_common(asked, "chat.completion.chunk"), "choices": [choice]}))


def count(asked: Asked, tokens: int) -> bytes:
    """The event that counts the tokens."""
    chunk = {**_common(asked, "chat.completion.chunk"), "choices": [], "usage": usage(asked, tokens)}
    return data(json.dumps(chunk))


def data(text: str) -> bytes:
    """An event with any data."""
    line = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(line), line)


def words(tokens: int) -> str:
    """So many tokens."""
    return " ".join(["word"] * tokens)


def usage(asked: Asked, tokens: int) -> dict[str, int]:
    """What is billed."""
    prompt = asked.prompt_tokens
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def _common(asked: Asked, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-test", "object": kind, "created": 0, "model": asked.model}
