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

    ``ticket`` is what the candidate's health gave; the call hands it back. It counts its attempts in
    ``progress.attempts`` and leaves in ``progress.answered_by`` what answered. Raises `AttemptError`.
    """

    async def __call__(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts
    ) -> R_co: ...


class Calls:
    """Plain attempts over a transport."""

    def __init__(self, transport: Transport, clock: LoopClock) -> None:
        self._send = transport.send
        self._clock = clock

    async def send(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts
    ) -> Reply:
        """The whole reply of one deployment."""
        health = candidate.health
        progress.attempts += 1
        try:
            reply = await self._send(
                progress.request,
                candidate.deployment,
                timeouts=timeouts,
                max_tokens=progress.max_tokens,
            )
        except AttemptError as error:
            settle(progress, candidate, ticket, timeouts, self._clock.now(), error)
            raise
        except BaseException:
            # Cancelled, or a mistake in the transport: no verdict on the deployment.
            if health is not None:
                health.released(ticket, self._clock.now())
            raise
        if health is not None:
            health.succeeded(ticket, self._clock.now(), reply)
        progress.answered_by = candidate
        return reply


def settle(
    progress: Progress,
    candidate: Candidate,
    ticket: object,
    timeouts: Timeouts,
    now: float,
    error: AttemptError,
) -> None:
    """Hold the error against the deployment where it is the deployment's.

    A hurried attempt got only what earlier ones had left of the deadline. Its timeout does not count: one
    hung deployment would open the breakers of those that are tried after it.
    """
    health = candidate.health
    if health is None:
        return
    hurried = progress.attempts > 1 and timeouts is not candidate.timeouts
    if error.blames_request or (hurried and isinstance(error, AttemptTimeout)):
        health.released(ticket, now, error)
    else:
        health.failed(ticket, now, error)
