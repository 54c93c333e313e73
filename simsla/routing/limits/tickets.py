"""What a limit remembers of one attempt, and which attempts cost nothing."""

from __future__ import annotations

from typing import NamedTuple

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    ConnectError,
    NotFound,
    RateLimited,
    ServerError,
)
from simsla.routing.progress import Progress


class Ticket(NamedTuple):
    """An amount that is taken until the attempt ends."""

    progress: Progress
    attempts: int
    """Those of ``progress`` when the ticket was given."""
    amount: float

    @property
    def unused(self) -> bool:
        """Whether the attempt never began: another part of the same deployment's health refused it."""
        return self.progress.attempts == self.attempts


def never_arrived(error: AttemptError | None) -> bool:
    """Whether the deployment certainly never saw the attempt."""
    return isinstance(error, ConnectError) or (isinstance(error, AttemptTimeout) and error.phase == "connect")


def costs_nothing(error: AttemptError | None) -> bool:
    """Whether no provider bills for it: it never arrived, or it was refused before a token was made.

    What timed out, was cut off, came malformed or was cancelled (None) may be billed.
    """
    refused = (RateLimited, ServerError, BadRequest, AuthenticationFailed, NotFound)
    return isinstance(error, refused) or never_arrived(error)
