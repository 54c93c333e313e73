"""Hedged calls: a further attempt beside one that is late, and the first success wins."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from simsla.routing.hedging.hedges import Hedges
from simsla.routing.hedging.policy import HedgePolicy
from simsla.routing.progress import Progress
from simsla.routing.protocols import Selector
from simsla.routing.router.calls import Call
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.live import LiveStream
from simsla.routing.router.race import Race
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Reply, Timeouts

R = TypeVar("R")

Discard = Callable[[Progress, Candidate, R], Coroutine[Any, Any, None]]
"""What becomes of a success that came too late to win."""


async def discard_reply(progress: Progress, candidate: Candidate, reply: Reply) -> None:
    """Nothing is open any more, but it is paid for."""
    progress.spent_usd += candidate.deployment.cost_usd(reply.tokens_in, reply.tokens_out)


async def discard_stream(progress: Progress, candidate: Candidate, live: LiveStream) -> None:
    """It ends here; what came of it is paid for."""
    await live.aclose()


class Hedged(Generic[R]):
    """A `Call` around another one, which it makes again elsewhere when the first is late."""

    def __init__(
        self,
        call: Call[R],
        discard: Discard[R],
        tokens: Callable[[R], int],
        hedges: Hedges,
        selector: Selector,
        max_attempts: int,
        clock: LoopClock,
    ) -> None:
        """``tokens``: the output tokens in whose time the result came."""
        self.call = call
        self.discard = discard
        self.tokens = tokens
        self.hedges = hedges
        self.selector = selector
        self.max_attempts = max_attempts
        self.clock = clock

    def __call__(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts
    ) -> Coroutine[Any, Any, R]:
        """The first success; raises what the call at ``candidate`` raised where there is none."""
        return Race(self, progress, candidate).run(ticket, timeouts)


def hedged(
    policy: HedgePolicy,
    send: Call[Reply],
    opening: Call[LiveStream],
    selector: Selector,
    max_attempts: int,
    clock: LoopClock,
) -> tuple[Call[Reply], Call[LiveStream]]:
    """The two calls, of which that one is hedged whose end the policy races for."""
    hedges = policy.build()
    if policy.on == "first_token":
        return send, Hedged(
            opening, discard_stream, lambda live: live.tokens, hedges, selector, max_attempts, clock
        )
    return Hedged(
        send, discard_reply, lambda reply: reply.tokens_out, hedges, selector, max_attempts, clock
    ), opening
