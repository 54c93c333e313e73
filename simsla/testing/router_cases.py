"""Episodes in which a router must decide, and what it did in them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from simsla.routing import (
    AttemptError,
    Chunk,
    Deployment,
    Handler,
    PolicyFactory,
    Reply,
    Request,
    Router,
    RoutingError,
    RoutingPolicy,
    Timeouts,
    Transport,
)
from simsla.testing import behaviours as b
from simsla.testing.arms import Bench
from simsla.testing.asking import ensure
from simsla.testing.behaviours import Behaviour, Scripts

_SEED: Final = 20

_UNNAMED: Final = (
    Deployment("first", "first"),
    Deployment("second", "second"),
    Deployment("cheap", "cheap", tier="economy"),
)
"""The deployments of a policy that names none."""


@dataclass(frozen=True)
class Episode:
    """What the deployments do while requests come.

    ``scripts`` belong to the deployments in their order; further deployments do what the last script
    says. ``requests`` come one after the other, each ``gap_s`` after the end of the one before; with
    ``stream`` they ask for a stream.
    """

    name: str
    scripts: tuple[tuple[Behaviour, ...], ...]
    requests: int = 1
    gap_s: float = 0.0
    stream: bool = False

    def scripts_for(self, deployments: Sequence[Deployment]) -> Scripts:
        """The script of each deployment."""
        last = len(self.scripts) - 1
        return {each.name: self.scripts[min(at, last)] for at, each in enumerate(deployments)}


_SOON_S: Final = 0.05

ROUTER_EPISODES: Final[tuple[Episode, ...]] = (
    Episode("all is well", ((b.OK,),), requests=3),
    Episode("the first fails once", ((b.SERVER_ERROR, b.OK), (b.OK,)), requests=2),
    Episode("the first fails for good", ((b.SERVER_ERROR,), (b.OK,)), requests=8),
    Episode("the first comes back", ((b.SERVER_ERROR,) * 4 + (b.OK,), (b.OK,)), requests=6),
    Episode("the first is rate limited", ((b.RATE_LIMITED,), (b.OK,)), requests=2),
    Episode(
        "the first wants to be asked again soon",
        ((replace(b.UNAVAILABLE, retry_after_s=_SOON_S), b.OK), (b.OK,)),
    ),
    Episode(
        "the first wants to be asked again in an hour",
        ((replace(b.RATE_LIMITED, retry_after_s=3600.0),), (b.OK,)),
    ),
    Episode("the first hangs", ((b.HANG,), (b.OK,))),
    Episode("the first never begins", ((b.SLOW_FIRST_TOKEN,), (b.OK,))),
    Episode("the first refuses connections", ((b.REFUSED,), (b.OK,)), requests=2),
    Episode("the first breaks off", ((b.CUT,), (b.OK,)), requests=2),
    Episode("the first cannot be read", ((b.MALFORMED, b.OK), (b.OK,))),
    Episode("the first has no such model", ((b.NOT_FOUND,), (b.OK,))),
    Episode("the first wants another key", ((b.UNAUTHORIZED,), (b.OK,)), requests=2),
    Episode("the first is too small", ((b.CONTEXT_LENGTH,), (b.OK,))),
    Episode("the request is refused", ((b.BAD_REQUEST,),)),
    Episode("the request is filtered", ((b.CONTENT_FILTER,), (b.OK,))),
    Episode("only the last answers", ((b.SERVER_ERROR,), (b.UNAVAILABLE,), (b.OK,)), requests=2),
    Episode("all are down", ((b.UNAVAILABLE,),), requests=4),
    Episode("all refuse connections", ((b.REFUSED,),), requests=2),
    Episode("all hang", ((b.HANG,),)),
    Episode("all is well with streams", ((b.OK,),), requests=2, stream=True),
    Episode("the first stream fails before it begins", ((b.SERVER_ERROR,), (b.OK,)), stream=True),
    Episode("the first stream never begins", ((b.HANG,), (b.OK,)), stream=True),
    Episode("the first stream stalls", ((b.STALLED_STREAM,), (b.OK,)), stream=True),
    Episode("the first stream breaks off", ((b.CUT,), (b.OK,)), stream=True),
    Episode("the first stream ends in what cannot be read", ((b.MALFORMED,), (b.OK,)), stream=True),
)
"""Every episode of `check_router`."""


def deployments_of(policy: PolicyFactory) -> list[Deployment]:
    """Those that the policy's tiers name, each in its first tier, or three of our own."""
    named: dict[str, Deployment] = {}
    for tier, chain in getattr(policy, "tiers", {}).items():
        for name in chain:
            named.setdefault(name, Deployment(name, name, tier=tier))
    return list(named.values() or _UNNAMED)


def play(policy: PolicyFactory, episode: Episode) -> Callable[[Bench], Awaitable[list[str]]]:
    """A test body: what became of each request, in words."""

    async def body(bench: Bench) -> list[str]:
        observed = _Observed(bench.transport)
        handle = _handler(policy, observed, episode.stream)
        told = []
        for number in range(episode.requests):
            if number > 0 and episode.gap_s > 0:
                await asyncio.sleep(episode.gap_s)
            observed.attempts.clear()
            try:
                reply = await handle(Request(number, prompt_tokens=7, stream=episode.stream))
            except RoutingError as error:
                end = type(error).__name__
            else:
                end = f"answered by {reply.deployment} with {reply.tokens_out} tokens"
            if not await bench.quiet():
                end += ", with attempts still in flight"
            told.append(f"{', '.join(' '.join(each) for each in observed.attempts)} -> {end}")
        return told

    return body


def _handler(policy: PolicyFactory, transport: Transport, stream: bool) -> Handler:
    """How a request is answered: a stream of the Router is read by `Router.stream`."""
    if not (stream and isinstance(policy, RoutingPolicy)):
        return policy(transport)
    router = Router(policy, transport)

    async def read(request: Request) -> Reply:
        async with router.stream(request) as chunks:
            pieces = [chunk async for chunk in chunks]
            reply = await chunks.read()
        ends = [piece.finish_reason is not None for piece in pieces]
        ensure(ends == [False] * (len(ends) - 1) + [True], f"finish reasons, or none: {ends}")
        ensure("".join(piece.text for piece in pieces) == reply.text, "the chunks are not the reply")
        return reply

    return read


class _Observed:
    """A transport that writes down each attempt, and whose random numbers are the same on both arms."""

    def __init__(self, inner: Transport) -> None:
        self.deployments = inner.deployments
        self.random = random.Random(_SEED)
        self.attempts: list[list[str]] = []
        """Deployment and end of each attempt, in the order of their beginning."""
        self._inner = inner

    async def send(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> Reply:
        attempt = self._begin(deployment)
        try:
            reply = await self._inner.send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        except AttemptError as error:
            attempt[1] = error.kind
            raise
        attempt[1] = "answered"
        return reply

    @asynccontextmanager
    async def stream(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> AsyncGenerator[AsyncIterator[Chunk]]:
        attempt = self._begin(deployment)
        opened = self._inner.stream(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        async with opened as chunks, aclosing(_watched(chunks, attempt)) as watched:
            yield watched

    def _begin(self, deployment: Deployment) -> list[str]:
        attempt = [deployment.name, "cancelled"]
        self.attempts.append(attempt)
        return attempt


async def _watched(chunks: AsyncIterator[Chunk], attempt: list[str]) -> AsyncGenerator[Chunk]:
    try:
        async for chunk in chunks:
            if chunk.finish_reason is not None:
                attempt[1] = "answered"
            yield chunk
    except AttemptError as error:
        attempt[1] = error.kind
        raise
