"""Requests as the world sees them: what the policy sees, and what it must not."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from simsla.routing import Request

if TYPE_CHECKING:
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
        self.patience: asyncio.TimerHandle | None = None
        self.calls: dict[Any, int] = {}
        # The latest attempt that was answered: its deployment's code, when its first token came, its length.
        self.answered_by = -1
        self.first_token_s = math.nan
        self.output_tokens = 0


class SimRequest(Request):
    """A request that carries the world's knowledge of it, so that no table is searched for each attempt."""

    __slots__ = ("_world",)

    _world: OpenRequest

    def derive(self, *, purpose: str, **changes: Any) -> Request:
        """As `Request.derive`; the world still knows whose call it is."""
        derived = super().derive(purpose=purpose, **changes)
        request = SimRequest.__new__(SimRequest)
        for name in Request.__slots__:
            setattr(request, name, getattr(derived, name))
        request._world = self._world
        return request
