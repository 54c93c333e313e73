"""Until when a stream may be waited for."""

from __future__ import annotations

import asyncio

from simsla.routing.types import Timeouts


class Wait:
    """The limits of one streamed attempt, which begins now, on the running loop's clock."""

    __slots__ = ("_begin_s", "_loop", "_since_s", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin_s = self._loop.time()
        self._since_s: float | None = None
        self._timeouts = timeouts

    def token(self) -> None:
        """A token came, or its reader is back: the idle time begins anew."""
        self._since_s = self._loop.time()

    def until(self) -> tuple[float | None, str]:
        """The moment, and which limit it is of; None where there is no limit."""
        total_s, begin_s = self._timeouts.total_s, self._begin_s
        if self._since_s is None:
            inner_s, inner, since_s = self._timeouts.first_token_s, "first_token", begin_s
        else:
            inner_s, inner, since_s = self._timeouts.idle_s, "idle", self._since_s
        limits = [(begin_s + total_s, "total")] if total_s is not None else []
        limits += [(since_s + inner_s, inner)] if inner_s is not None else []
        return min(limits, default=(None, "total"))
