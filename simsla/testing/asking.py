"""The words of the transport's cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from simsla.routing import Chunk, Reply, Request, Timeouts
from simsla.testing.arms import Bench
from simsla.testing.behaviours import Behaviour

PROMPT_TOKENS: Final = 7

AMPLE: Final = Timeouts(connect_s=10.0, first_token_s=10.0, idle_s=10.0, total_s=10.0)
"""Limits that no case may reach on a busy machine."""

SHORT_S: Final = 0.15
"""A limit that a case is to reach."""


@dataclass(frozen=True)
class TransportCase:
    """One thing that a transport must do.

    ``script`` is what its one deployment does with the attempts in turn; ``body`` raises AssertionError
    where the transport does otherwise.
    """

    name: str
    script: tuple[Behaviour, ...]
    body: Callable[[Bench], Awaitable[None]]

    def __repr__(self) -> str:
        return f"<TransportCase {self.name}>"


def ensure(holds: bool, message: str) -> None:
    """An assertion that also holds under ``python -O``."""
    if not holds:
        raise AssertionError(message)


def question(**changes: object) -> Request:
    """A request."""
    # What a test changes has the types of the arguments it names; a mapping cannot say so.
    return Request("conformance", **({"prompt_tokens": PROMPT_TOKENS} | changes))  # type: ignore[arg-type]


async def ask(bench: Bench, timeouts: Timeouts = AMPLE, max_tokens: int | None = None) -> Reply:
    """One whole reply."""
    return await bench.transport.send(
        question(), bench.deployments[0], timeouts=timeouts, max_tokens=max_tokens
    )


async def read(
    bench: Bench, timeouts: Timeouts = AMPLE, max_tokens: int | None = None, into: list[Chunk] | None = None
) -> list[Chunk]:
    """All chunks of one streamed reply."""
    chunks = [] if into is None else into
    opened = bench.transport.stream(
        question(stream=True), bench.deployments[0], timeouts=timeouts, max_tokens=max_tokens
    )
    async with opened as stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


def limits(**changes: float) -> Timeouts:
    """Ample limits but for those given."""
    return replace(AMPLE, **changes)
