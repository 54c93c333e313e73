"""The one seam between a policy and the world it calls."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from simsla.routing.types import Chunk, Deployment, Reply, Request, Timeouts


class Transport(Protocol):
    """What a policy may use: an HTTP client in production, the simulated world in a study.

    ``deployments`` is what can be called. ``random`` is the only source of chance: seeded per replication in
    simulation, from the system in production. Time comes from the running event loop.

    A transport may have a ``cache_store(policy)`` as well, which makes the `CacheBackend` of a Router that is
    given none: the simulated one does where its scenario has a ``cache``.
    """

    @property
    def deployments(self) -> Sequence[Deployment]: ...

    @property
    def random(self) -> random.Random: ...

    async def send(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> Reply:
        """One attempt. Raises `AttemptError`; cancelling it ends the attempt at once.

        ``max_tokens`` limits the output of this attempt below what the request allows.
        """
        ...

    def stream(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """One attempt whose chunks are seen arriving; leaving the context ends the attempt at once.

        The iterator may have a method ``rest()`` beside ``__anext__``, for a reader who does not look at when
        each chunk comes: all of the answer that is still to come as one `Chunk` when it is there. Where the
        answer breaks off, the chunk is what had come, without a ``finish_reason``, and the next step raises
        the error.
        """
        ...


Handler = Callable[[Request], Awaitable[Reply]]
"""Answers a request, or raises."""

PolicyFactory = Callable[[Transport], Handler]
"""A policy: called once per event loop with the transport that it may use."""
