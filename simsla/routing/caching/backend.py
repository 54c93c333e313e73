"""The place where answers are kept, as a protocol, and what is kept there."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from simsla.routing.types import RequestId

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A kept answer: plain values, of the question no more than its hash.

    ``scope`` says to whom it may be given, ``key`` is the hash of the question. ``request`` and
    ``topic`` are those of the request that was answered. ``at_s`` is when, on the event loop's clock, or
    None where another process kept it.
    """

    scope: str
    key: str
    text: str
    model: str
    deployment: str
    tokens_out: int
    request: RequestId
    topic: str | None
    at_s: float | None


class CacheBackend(Protocol[V]):
    """Where answers are kept and found again by the likeness of their questions.

    ``V`` is its own kind of vector, which is only handed back to it. Whatever it raises, or a call that takes
    too long, costs the request its hit and nothing else. ``now`` is the event loop's time in seconds, which
    means nothing to other processes: a backend that is shared keeps its own time.
    """

    async def embed(self, text: str) -> V | None:
        """The vector of a question, or None for one that cannot have one."""
        ...

    async def nearest(self, vector: V, scopes: Sequence[str], now: float) -> tuple[CacheEntry, float] | None:
        """The most similar of the entries in ``scopes`` whose time is not over, and its cosine."""
        ...

    def put(self, vector: V, entry: CacheEntry, now: float) -> Awaitable[None] | None:
        """Keep an entry, in place of one with its scope and key; a plain function takes no task for it."""
        ...

    def expire(self, now: float) -> Awaitable[None] | None:
        """Forget what is too old; asked now and then."""
        ...
