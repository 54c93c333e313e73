"""Attempts whose chunks are seen arriving."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from simsla.routing.progress import Progress
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.live import LiveStream
from simsla.routing.selection.chains import Candidate
from simsla.routing.streaming.policy import StreamingPolicy
from simsla.routing.transport import Transport
from simsla.routing.types import Timeouts


class Streams:
    """Streamed attempts over a transport."""

    def __init__(self, transport: Transport, clock: LoopClock, policy: StreamingPolicy) -> None:
        self._transport = transport
        self._clock = clock
        self._guard = policy.guard
        self._holds_back = policy.guard is not None and not policy.resume

    def open(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts
    ) -> Coroutine[Any, Any, LiveStream]:
        """A `Call`: the stream of one deployment, with its first chunk in hand.

        Every error before that chunk, and before the throughput guard is content where it holds chunks
        back, is that of an attempt which failed.
        """
        progress.attempts += 1
        probe = None if self._guard is None else self._guard.build()
        live = LiveStream(progress, candidate, ticket, timeouts, self._clock, probe)
        return live.started(self._transport, self._holds_back)
