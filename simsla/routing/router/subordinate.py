"""Calls that a request needs beside its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from simsla.routing.progress import Progress
from simsla.routing.types import Reply, Request

Ask = Callable[[Request, Progress], Awaitable[Reply]]
"""Sends a subordinate request through attempts of its own. Raises what `Router.handle` raises."""


class Subordinate:
    """One call on behalf of another request, whose spend cap pays for it."""

    __slots__ = ("_parent", "_progress", "_reply")

    def __init__(self, request: Request, deadline: float, parent: Progress) -> None:
        self._parent = parent
        self._progress = Progress(request, deadline)
        self._progress.account = parent.account or parent
        self._progress.explains = False
        self._reply: Reply | None = None

    @property
    def spent_usd(self) -> float:
        """What it has cost so far, its reply included."""
        progress, reply = self._progress, self._reply
        if reply is None or progress.answered_by is None:
            return progress.spent_usd
        deployment = progress.answered_by.deployment
        return progress.spent_usd + deployment.cost_usd(reply.tokens_in, reply.tokens_out)

    async def reply(self, call: Ask) -> Reply:
        """The reply; raises what ``call`` raises."""
        try:
            self._reply = await call(self._progress.request, self._progress)
        finally:
            # Each error's traceback refers to a frame and the frame to the errors: undo the cycle.
            self._progress.errors = ()
        return self._reply

    async def reply_within(self, call: Ask) -> Reply:
        """The same for a call that the request waits for: its decisions and its cost are the request's."""
        parent, progress = self._parent, self._progress
        progress.explains, progress.steps = parent.explains, parent.steps
        try:
            return await self.reply(call)
        finally:
            parent.steps = progress.steps
            parent.spent_usd += self.spent_usd
