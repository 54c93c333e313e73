"""A transport that fails on purpose now and then."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from simsla.routing.chaos.policy import ChaosPolicy
from simsla.routing.errors import AttemptTimeout
from simsla.routing.transport import Transport
from simsla.routing.types import Chunk, Deployment, Reply, Request, Timeouts


class ChaosTransport:
    """`Transport` around another one, with the faults and delays that a `ChaosPolicy` draws."""

    def __init__(self, policy: ChaosPolicy, inner: Transport) -> None:
        self._policy = policy
        self._inner = inner
        self.cache_store = getattr(inner, "cache_store", None)

    @property
    def deployments(self) -> Sequence[Deployment]:
        """As the inner transport."""
        return self._inner.deployments

    @property
    def random(self) -> random.Random:
        """As the inner transport."""
        return self._inner.random

    async def send(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> Reply:
        """One attempt, unless it is made to fail."""
        left = await self._meddle(deployment, timeouts, timeouts.total_s)
        return await self._inner.send(request, deployment, timeouts=left, max_tokens=max_tokens)

    @asynccontextmanager
    async def stream(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> AsyncGenerator[AsyncIterator[Chunk]]:
        """One attempt, unless it is made to fail."""
        limits_s = [each for each in (timeouts.first_token_s, timeouts.total_s) if each is not None]
        left = await self._meddle(deployment, timeouts, min(limits_s, default=None))
        inner = self._inner.stream(request, deployment, timeouts=left, max_tokens=max_tokens)
        async with inner as chunks:
            yield chunks

    async def _meddle(self, deployment: Deployment, timeouts: Timeouts, limit_s: float | None) -> Timeouts:
        """What is left of the timeouts after the delay; raises the error that was drawn."""
        mischief = self._policy.draw(deployment.name, self.random)
        if mischief is None:
            return timeouts
        error, delay_s = mischief
        if delay_s > 0.0:
            most_s = math.inf if limit_s is None else limit_s
            await asyncio.sleep(min(delay_s, most_s))
            if delay_s >= most_s:
                raise AttemptTimeout("injected", deployment=deployment.name)
        if error is not None:
            raise error
        return Timeouts(
            timeouts.connect_s,
            _less(timeouts.first_token_s, delay_s),
            timeouts.idle_s,
            _less(timeouts.total_s, delay_s),
        )


def _less(limit_s: float | None, delay_s: float) -> float | None:
    return None if limit_s is None else limit_s - delay_s
