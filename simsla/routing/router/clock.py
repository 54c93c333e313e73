"""The event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LoopClock:
    """``now()`` is the time of the event loop on which it is first asked, in seconds.

    A Router is made before or inside its loop and reads the time twice a request: asking for the running
    loop each time would cost more than the reading.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Callable[[], float] = self._first

    def _first(self) -> float:
        self.now = asyncio.get_running_loop().time
        return self.now()
