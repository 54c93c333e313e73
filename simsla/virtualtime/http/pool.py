"""How many connections a client may have open at a time."""

from __future__ import annotations

import asyncio
from collections import deque


class Connections:
    """The connections of one pool: who finds none free waits in line."""

    __slots__ = ("_waiting", "free")

    def __init__(self, most: int) -> None:
        self.free = most
        """Where it is above zero, taking one off takes a connection, without a call."""
        self._waiting: deque[asyncio.Future[bool]] = deque()

    async def wait(self, limit_s: float | None) -> bool:
        """Wait for at most `limit_s`; whether there is a connection now, which is taken then."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = None if limit_s is None else loop.call_later(limit_s, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            # It may have come in the very instant of the cancellation.
            if turn.done() and not turn.cancelled() and turn.result():
                self.release()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self) -> None:
        """One is free again, for whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self.free += 1

    @staticmethod
    def _give_up(turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            turn.set_result(False)
