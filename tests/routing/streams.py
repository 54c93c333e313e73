"""What the tests of streams stand on: a reader, and a health that counts its tickets."""

from __future__ import annotations

import asyncio

import pytest
from routing.fakes import Streamed, deployment, play, policy

from simsla.routing import BreakerPolicy, Request, Router, RoutingError, StreamInterrupted

ABC = [deployment("a"), deployment("b"), deployment("c")]
PRICED = [
    deployment("a", usd_per_mtok_in=1, usd_per_mtok_out=10),
    deployment("b", usd_per_mtok_in=2, usd_per_mtok_out=20),
]
CUT = Streamed(0.1, 0.1, error=StreamInterrupted, then_s=0.1)
THREE = Streamed(0.1, 0.1, 0.1)
RESUME = {"streaming": {"resume": True}}
TIGHT = {"first_token_s": 1, "idle_s": 2, "total_s": 4}


class Ledger:
    """A health that admits everything and counts what becomes of its tickets."""

    refusal = "full"

    def __init__(self):
        self.out = set()
        self.ends = []
        self.replies = []

    def admit(self, progress, now):
        ticket = object()
        self.out.add(ticket)
        return ticket

    def _end(self, ticket, how):
        self.out.remove(ticket)  # raises for a ticket that was handed back before
        self.ends.append(how)

    def succeeded(self, ticket, now, reply):
        self._end(ticket, "succeeded")
        self.replies.append(reply)

    def failed(self, ticket, now, error):
        self._end(ticket, error.kind)

    def released(self, ticket, now, error=None):
        self._end(ticket, "released")

    def available_at(self, now):
        return now


class Ledgers(BreakerPolicy):
    """In the place of a breaker: the same ledger for every deployment."""

    def build(self, *_):
        return self.ledger


def watched(ledger, **settings):
    breaker = Ledgers()
    object.__setattr__(breaker, "ledger", ledger)
    return policy(**{"breaker": breaker, **settings})


async def reading(router, request, *, leave_after=None, pause_s=0.0):
    """The texts with the times when they came, and the reply or the error."""
    loop = asyncio.get_running_loop()
    start, texts = loop.time(), []
    try:
        async with router.stream(request) as stream:
            async for chunk in stream:
                texts.append((pytest.approx(loop.time() - start), chunk.text))
                if len(texts) == leave_after:
                    break
                if pause_s:
                    await asyncio.sleep(pause_s)
    except RoutingError as error:
        return texts, error
    return texts, stream.reply


def ask(transport, routing, request=None, **options):
    async def main():
        return await reading(Router(routing, transport), request or Request(1), **options)

    return play(main())


def said(texts):
    return "".join(text for _, text in texts)


def handled(transport, request, **settings):
    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            outcome = await Router(policy(**settings), transport).handle(request)
        except RoutingError as error:
            outcome = error
        return outcome, loop.time() - start

    return play(main())
