"""Requests as the world sees them: what the policy sees, and what it must not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simsla.routing import Request
from simsla.world.topics import question

if TYPE_CHECKING:
    from simsla.routing.types import Message
    from simsla.scenario import RequestClass
    from simsla.virtualtime.handles import SimTimerHandle
    from simsla.world.traffic import Block


class OpenRequest:
    """What the world knows of a request and a policy does not.

    Its number, its place in its block (and so its true length), its calls so far by deployment, and how the
    harness stands with it: whether its outcome is decided, its task, and the timer of its client's patience.
    """

    __slots__ = (
        "answered_by",
        "block",
        "calls",
        "closed",
        "first_token_s",
        "number",
        "output_tokens",
        "patience",
        "place",
        "task",
    )

    task: asyncio.Task[None]

    def __init__(self, number: int, block: Block, place: int) -> None:
        self.number = number
        self.block = block
        self.place = place
        self.closed = False
        self.patience: SimTimerHandle | None = None
        self.calls: dict[Any, int] = {}
        # The latest attempt that was answered: its deployment's code, when its first token came, its length.
        # Where it continued an answer that had broken off, the first token and the length are of the whole.
        self.answered_by = -1
        self.first_token_s = math.nan
        self.output_tokens = 0


class Prompt(str):
    """The question of a request about its topic; the world knows whose it is."""

    asked: SimRequest
    topic: str


class SimRequest(Request):
    """A request that carries the world's knowledge of it, so that no table is searched for each attempt.

    If it has a topic, its prompt is the question about it, before which its messages have as much context as
    its length leaves room for.
    """

    __slots__ = ("_world",)

    def __init__(
        self,
        world: OpenRequest,
        spec: RequestClass,
        deadline: float,
        complexity: float | None,
        region: str | None,
    ) -> None:
        """The request of class `spec` at the world's place in its block; `deadline` is on the run's clock."""
        # The stores of Request.__init__ without its keywords, which cost more than the stores.
        self._world = world
        self.id = world.number
        self.prompt_tokens = world.block.prompt_tokens[world.place]
        self.max_tokens = spec.max_tokens
        self.request_class = world.block.request_class
        self.purpose = "answer"
        self.parent_id = None
        self.tier = spec.tier
        self.complexity = complexity
        self.deadline = deadline
        self.priority = spec.priority
        self.stream = spec.stream
        self.client = None
        self.region = region
        self.session = None
        topic = world.block.topic
        self.topic = None if topic is None else topic[world.place]
        self._messages = None
        self.needs = spec.needs
        self.prefix_tokens = 0

    @property
    def prompt(self) -> str:
        """The question about its topic, as many words of its end as the prompt has tokens; see `Request`."""
        block = self._world.block
        if self._messages is not None or block.topic is None:
            return super().prompt
        place = self._world.place
        words = question(block.topic[place], block.wording[place], block.words)
        prompt = Prompt(" ".join(words[-max(self.prompt_tokens, 1) :]))
        prompt.asked, prompt.topic = self, block.topic[place]
        return prompt

    @property
    def messages(self) -> Sequence[Message]:
        """The chat form of the request; see `Request`."""
        if self._messages is not None or self._world.block.topic is None:
            return super().messages
        # A plain text, for who sends it on.
        messages = [{"role": "user", "content": str(self.prompt)}]
        context = self.prompt_tokens - self._world.block.words
        if context <= 0:
            return messages
        return [{"role": "system", "content": " ".join(["word"] * context)}, *messages]

    def derive(self, *, purpose: str, **changes: Any) -> Request:
        """As `Request.derive`; the world still knows whose call it is."""
        derived = super().derive(purpose=purpose, **changes)
        request = SimRequest.__new__(SimRequest)
        for name in Request.__slots__:
            setattr(request, name, getattr(derived, name))
        request._world = self._world
        return request
