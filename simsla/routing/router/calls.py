"""One attempt at one deployment, and what its health hears of it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from simsla.routing.errors import AttemptError, AttemptTimeout
from simsla.routing.progress import Progress
from simsla.routing.router.clock import LoopClock
from simsla.routing.selection.chains import Candidate
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Timeouts

R_co = TypeVar("R_co", covariant=True)


class Call(Protocol[R_co]):
    """An attempt in progress: a whole reply, a race of hedges, or a stream up to its first chunk.

    ``ticket`` is what the candidate's health gave; the call hands it back. A hurried attempt got only what
    earlier ones had left of the deadline. Counts its attempts in ``progress.attempts`` and leaves in
    ``progress.answered_by`` what answered. Raises `AttemptError`.
    """

    async def __call__(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts, hurried: bool
    ) -> R_co: ...


class Calls:
    """Plain attempts over a transport."""

    def __init__(self, transport: Transport, clock: LoopClock) -> None:
        self._send = transport.send
        self._clock = clock

    async def send(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts, hurried: bool
    ) -> Reply:
        """The whole reply of one deployment."""
        health = candidate.health
        progress.attempts += 1
        try:
            if progress.max_tokens is None:
                reply = await self._send(progress.request, candidate.deployment, timeouts=timeouts)
            else:
                reply = await self._send(
                    progress.request,
                    candidate.deployment,
                    timeouts=timeouts,
                    max_tokens=progress.max_tokens,
                )
        except AttemptError as error:
            settle(candidate, ticket, self._clock.now(), error, hurried)
            raise
        except BaseException:
            # Cancelled, or a mistake in the transport: no verdict on the deployment.
            if health is not None:
                health.released(ticket, self._clock.now())
            raise
        if health is not None:
            health.succeeded(ticket, self._clock.now(), reply)
        credit(progress, candidate, reply.tokens_in, reply.tokens_out)
        return reply


def credit(progress: Progress, candidate: Candidate, tokens_in: int, tokens_out: int) -> None:
    """The candidate has answered, at the price of its deployment."""
    deployment = candidate.deployment
    progress.spent_usd += (
        tokens_in * deployment.usd_per_mtok_in + tokens_out * deployment.usd_per_mtok_out
    ) * 1e-6
    progress.answered_by = candidate


def settle(candidate: Candidate, ticket: object, now: float, error: AttemptError, hurried: bool) -> None:
    """Hold the error against the deployment where it is the deployment's.

    The timeout of a hurried attempt does not count: one hung deployment would open the breakers of those
    that are tried after it.
    """
    health = candidate.health
    if health is None:
        return
    if error.blames_request or (hurried and isinstance(error, AttemptTimeout)):
        health.released(ticket, now)
    else:
        health.failed(ticket, now, error)
