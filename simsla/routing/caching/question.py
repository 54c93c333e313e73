"""What a request asks, as far as a cache may compare it."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from simsla.routing.types import Request


class Question(NamedTuple):
    """The text to compare, and what must be the same to the letter: everything before it."""

    text: str
    context: str

    @property
    def key(self) -> str:
        """The hash of the text."""
        return _hash(self.text)


def question_of(request: Request) -> Question | None:
    """The question, or None where the text does not say all of it.

    That is so for images and other parts that are no text, where the last word is not the user's but, say,
    the result of a tool, and for a synthetic prompt, unless it is about a topic.
    """
    messages = request.given_messages
    if messages is None:
        return None if request.topic is None else Question(request.prompt, "")
    if not messages or messages[-1].get("role") != "user":
        return None
    content = messages[-1].get("content")
    if not isinstance(content, str) and any(part.get("type") != "text" for part in content or ()):
        return None
    if not request.prompt.strip():
        return None
    before = [dict(message) for message in messages[:-1]]
    return Question(request.prompt, _hash(json.dumps(before, sort_keys=True, default=repr)))


def _hash(text: str) -> str:
    # A lone surrogate is a legal character of a Python text.
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
