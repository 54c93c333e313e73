"""A stream that has begun, and what the health of its deployment hears of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from simsla.routing.errors import AttemptError, AttemptTimeout, StreamInterrupted
from simsla.routing.progress import Progress
from simsla.routing.router.calls import settle
from simsla.routing.router.clock import LoopClock
from simsla.routing.selection.chains import Candidate
from simsla.routing.streaming.guard import Probe
from simsla.routing.transport import Transport
from simsla.routing.types import Chunk, Reply, Timeouts


class LiveStream:
    """A stream that has begun: `read` it to its end or `aclose` it.

    The ticket is handed back exactly once, whichever comes first: the last chunk (the attempt succeeded), an
    error (settled like that of any attempt), or the caller leaving (no verdict on the deployment). What
    arrived before a stream broke off or was left adds to ``progress.spent_usd``, at the least that a provider
    bills for it.
    """

    __slots__ = (
        "_chunks",
        "_clock",
        "_context",
        "_ended",
        "_first_s",
        "_probe",
        "_progress",
        "_sent_s",
        "_slow",
        "_texts",
        "_ticket",
        "_timeouts",
        "candidate",
        "ended_s",
        "held",
        "reply",
        "request",
        "tokens",
    )

    _chunks: AsyncIterator[Chunk]

    def __init__(
        self,
        progress: Progress,
        candidate: Candidate,
        ticket: object,
        timeouts: Timeouts,
        clock: LoopClock,
        probe: Probe | None,
    ) -> None:
        self.candidate = candidate
        self.request = progress.request
        """What was asked; another attempt may meanwhile have been asked for something else."""
        self.tokens = 0
        """Output tokens so far."""
        self.reply: Reply | None = None
        """The whole of it, once the last chunk has come."""
        self.held: list[Chunk] = []
        """The chunks that had come when it `started`; whoever reads takes them first."""
        self._progress = progress
        self._ticket = ticket
        self._timeouts = timeouts
        self._clock = clock
        self._context: AbstractAsyncContextManager[AsyncIterator[Chunk]] | None = None
        self._probe = probe
        self._texts: list[str] = []
        self._sent_s = self._first_s = self.ended_s = clock.now()
        self._ended = False
        self._slow = False

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._texts)

    def so_far(self, reason: str) -> Reply:
        """What has come of a stream that has ended, as a reply."""
        deployment = self.candidate.deployment
        return Reply(
            self.text,
            deployment.name,
            deployment.model,
            self.request.prompt_tokens,
            self.tokens,
            self._first_s - self._sent_s,
            self.ended_s - self._sent_s,
            reason,
        )

    async def started(self, transport: Transport, holds_back: bool) -> Self:
        """Itself, with the first chunk in hand, or, where chunks are held back, once the probe has passed."""
        progress, deployment = self._progress, self.candidate.deployment
        try:
            if progress.max_tokens is None:
                context = transport.stream(self.request, deployment, timeouts=self._timeouts)
            else:
                context = transport.stream(
                    self.request, deployment, timeouts=self._timeouts, max_tokens=progress.max_tokens
                )
            self._chunks = await context.__aenter__()
            self._context = context
        except AttemptError as error:
            await self._broken(error)
            raise
        except BaseException:
            await self.aclose()
            raise
        self.held.append(await self._next())
        if holds_back:
            while not (self._ended or self._probe is None or self._probe.passed):
                self.held.append(await self._next())
        return self

    def read(self) -> Coroutine[Any, Any, Chunk]:
        """The next chunk after those that are `held`; the one with a ``finish_reason`` is the last. Raises
        `AttemptError`.
        """
        return self._next()

    def rest(self) -> Coroutine[Any, Any, Chunk]:
        """As `read`, for who does not look at when each chunk comes: as much of the answer as there is to be
        had at once, where the transport can tell (`Transport.stream`).
        """
        return self._next(getattr(self._chunks, "rest", None) if self._probe is None else None)

    @property
    def left(self) -> bool:
        """Whether it has ended and nothing of it is open."""
        return self._ended and self._context is None

    async def aclose(self) -> None:
        """End the attempt at once; nothing where it has ended."""
        if not self._ended:
            self._end()
            self._spend()
            if self.candidate.health is not None:
                self.candidate.health.released(self._ticket, self.ended_s)
        await self._leave()

    async def _next(self, step: Callable[[], Awaitable[Chunk]] | None = None) -> Chunk:
        probe, texts = self._probe, self._texts
        asked_s = 0.0 if probe is None else self._clock.now()
        try:
            if self._slow:
                raise AttemptTimeout("slower than its throughput guard allows", phase="idle")
            chunk = await (anext(self._chunks) if step is None else step())
            if not texts:
                self._first_s = self._clock.now()
            texts.append(chunk.text)
            self.tokens += chunk.tokens
            if chunk.finish_reason is not None:
                self._finish(chunk.finish_reason)
                await self._leave()
            elif probe is not None and not probe.passed:
                waited_s = self._clock.now() - asked_s if len(texts) > 1 else 0.0
                # This chunk is the caller's all the same.
                self._slow = probe.too_slow(chunk.tokens, waited_s)
        except StopAsyncIteration:
            # No local name for the error: it would tie the error to its own traceback.
            raise await self._broken(StreamInterrupted("ended before its last chunk")) from None
        except AttemptError as error:
            await self._broken(error)
            raise
        except BaseException:
            await self.aclose()
            raise
        return chunk

    def _finish(self, reason: str) -> None:
        self._end()
        self.reply = self.so_far(reason)
        self._progress.answered_by = self.candidate
        if self.candidate.health is not None:
            self.candidate.health.succeeded(self._ticket, self.ended_s, self.reply)

    async def _broken(self, error: AttemptError) -> AttemptError:
        """The attempt failed; the error, with the name of the deployment."""
        if error.deployment is None:
            error.deployment = self.candidate.deployment.name
        if not self._ended:
            self._end()
            self._spend()
            settle(self._progress, self.candidate, self._ticket, self._timeouts, self.ended_s, error)
        await self._leave()
        return error

    def _end(self) -> None:
        self._ended = True
        self.ended_s = self._clock.now()

    def _spend(self) -> None:
        if self._texts:
            cost_usd = self.candidate.deployment.cost_usd(self.request.prompt_tokens, self.tokens)
            self._progress.spent_usd += cost_usd

    async def _leave(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            # The verdict on the attempt is known: no error of hanging up changes it.
            with contextlib.suppress(AttemptError):
                await context.__aexit__(None, None, None)
