"""Reading answers: what a chat completion says, whole or in pieces, and nothing that it does not say."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from simsla.routing.errors import AttemptError, ContentFiltered, MalformedReply
from simsla.routing.production.keys import Scrubber
from simsla.routing.production.sdk_errors import in_band

_CHARACTERS_PER_TOKEN = 4
"""Of English text, as OpenAI's guide to tokens has it: for servers that do not count."""


class Answer(NamedTuple):
    """A whole answer. A count is None where the server gave none."""

    text: str
    finish_reason: str
    tokens_in: int | None
    tokens_out: int

    @classmethod
    def read(cls, body: bytes, deployment: str, scrub: Scrubber) -> Answer | AttemptError:
        """The answer, or the error that its body describes or amounts to."""
        try:
            said = json.loads(body)
        except ValueError:
            return MalformedReply("the answer is not JSON", deployment=deployment)
        if isinstance(said, dict) and said.get("error"):
            return in_band(said["error"], deployment, scrub)
        try:
            choice = said["choices"][0]
            content = choice["message"].get("content")
            finish_reason = choice.get("finish_reason") or "stop"
            text = content if isinstance(content, str) else ""
            if not isinstance(finish_reason, str) or not isinstance(content, str | None):
                raise TypeError
        except (AttributeError, IndexError, KeyError, TypeError):
            return MalformedReply("the answer is no chat completion", deployment=deployment)
        if finish_reason == "content_filter" and not text:
            return ContentFiltered("the answer was withheld", deployment=deployment)
        tokens_in, tokens_out = counts(said.get("usage"))
        if tokens_out is None:
            tokens_out = -(-len(text) // _CHARACTERS_PER_TOKEN)
        return cls(text, finish_reason, tokens_in, tokens_out)


class Piece(NamedTuple):
    """What one event of a stream adds. ``alive``: it holds a token, whether or not of the text."""

    text: str
    alive: bool
    finish_reason: str | None
    tokens_out: int | None

    @classmethod
    def read(cls, event: Any, deployment: str) -> Piece:
        """The piece in an event, which the SDK has parsed and not checked. Raises `MalformedReply`."""
        choices = getattr(event, "choices", None)
        _, tokens_out = counts(getattr(event, "usage", None))
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = getattr(choice, "delta", None)
        text = getattr(delta, "content", None)
        finish_reason = getattr(choice, "finish_reason", None)
        readable = isinstance(choices, list) and isinstance(text, str | None)
        if not readable or not isinstance(finish_reason, str | None):
            raise MalformedReply("an event of the stream is no chunk of an answer", deployment=deployment)
        alive = bool(text) or (delta is not None and _says_more(delta))
        return cls(text or "", alive, finish_reason, tokens_out)


def _says_more(delta: Any) -> bool:
    """Whether it holds anything but a role: a call of a tool, or reasoning, which some servers show."""
    extra = getattr(delta, "model_extra", None) or {}
    return bool(getattr(delta, "tool_calls", None)) or any(
        isinstance(value, str) and value for value in extra.values()
    )


def counts(usage: Any) -> tuple[int | None, int | None]:
    """The tokens in and out that a ``usage`` tells, a mapping or an object."""
    counted: Any = usage if isinstance(usage, dict) else getattr(usage, "__dict__", {})
    tokens_in, tokens_out = counted.get("prompt_tokens"), counted.get("completion_tokens")
    return (
        tokens_in if type(tokens_in) is int else None,
        tokens_out if type(tokens_out) is int else None,
    )
