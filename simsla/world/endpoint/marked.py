"""Requests whose text tells which they are.

A worker that takes texts from a queue runs in the context of whoever started it, not of the request that it
serves, so the context cannot tell to whom its call belongs. The text can: its first word is a mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from simsla.routing import Request
from simsla.world.requests import SimRequest

if TYPE_CHECKING:
    from simsla.routing.types import Message

MARK: Final = re.compile(rb"simsla:(\d+)(?:/(\w+))?")


class MarkedRequest(SimRequest):
    """As a `SimRequest`; where its text is made up, or it has made-up context, the mark is the first word.

    Where a prompt is the question about a topic, it stays as it is, so that a cache of the policy's own can
    find what is asked again.
    """

    __slots__ = ()

    @classmethod
    def of(cls, request: SimRequest) -> MarkedRequest:
        """The same request, marked."""
        marked = cls.__new__(cls)
        for name in Request.__slots__:
            setattr(marked, name, getattr(request, name))
        marked._world = request._world
        return marked

    @property
    def prompt(self) -> str:
        """See `SimRequest.prompt`."""
        prompt = super().prompt
        if self._messages is not None or self._world.block.topic is not None or not prompt:
            return prompt
        return self._with_mark(prompt)

    @property
    def messages(self) -> Sequence[Message]:
        """See `SimRequest.messages`."""
        messages = super().messages
        if self._messages is not None or len(messages) == 1:
            return messages
        context, *rest = messages
        return [{**context, "content": self._with_mark(context["content"])}, *rest]

    def derive(self, *, purpose: str, **changes: Any) -> Request:
        """As `Request.derive`; the mark tells the purpose too."""
        derived = super().derive(purpose=purpose, **changes)
        return MarkedRequest.of(derived) if isinstance(derived, SimRequest) else derived

    def _with_mark(self, text: str) -> str:
        _, space, rest = text.partition(" ")
        return f"simsla:{self.id}{space}{rest}"
