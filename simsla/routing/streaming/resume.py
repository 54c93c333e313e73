"""How an answer that broke off is asked for again: only what is missing."""

from __future__ import annotations

from typing import Any

from simsla.routing.types import Request


def continuation(request: Request, text: str, tokens: int) -> Request:
    """The request for the rest of an answer of which ``tokens`` tokens, ``text``, have arrived.

    The partial answer is the last message, by the assistant, and counts as prompt.
    """
    messages = list(request.messages)
    partial: dict[str, Any] = {"role": "assistant", "content": text}
    if request.prefix_tokens:
        # The request was itself for the rest of an answer: one message in all.
        begun = messages.pop()
        content = begun.get("content")
        more = text if isinstance(content, str) else [{"type": "text", "text": text}]
        partial = {**begun, "content": content + more if content else text}
    return request.derive(
        purpose=request.purpose,
        id=request.id,
        parent_id=request.parent_id,
        messages=[*messages, partial],
        prompt_tokens=request.prompt_tokens + tokens,
        prefix_tokens=request.prefix_tokens + tokens,
        max_tokens=None if request.max_tokens is None else request.max_tokens - tokens,
    )
