"""Several parts of one deployment's health as one."""

from __future__ import annotations

from collections.abc import Sequence

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.protocols import Health
from simsla.routing.types import Reply

Ticket = tuple[object | None, ...]


def combined(verdicts: Sequence[Health], limits: Sequence[Health]) -> Health | None:
    """The parts as one health, a `Gate` only where it takes one; None where there are no parts."""
    parts = (*verdicts, *limits)
    if not parts:
        return None
    return Gate(verdicts, limits) if len(parts) > 1 else parts[0]


class Gate:
    """All of the verdicts (breakers, ejections), then all of the limits, must admit.

    A ticket has that of each part, None for one that was not asked; what happens is told only to those that
    gave one. Where a part refuses, those before it get theirs back as released.
    """

    __slots__ = ("_limits", "_parts", "_refusing", "_unasked")

    def __init__(self, verdicts: Sequence[Health], limits: Sequence[Health]) -> None:
        self._parts = (*verdicts, *limits)
        self._limits = tuple(limits)
        self._unasked: list[object | None] = [None] * len(verdicts)
        self._refusing: Health | None = None

    @property
    def refusal(self) -> str:
        """What the part says that refused last."""
        return "" if self._refusing is None else self._refusing.refusal

    def admit(self, progress: Progress, now: float) -> Ticket | None:
        """The tickets of every part, or None."""
        tickets: list[object | None] = []
        for part in self._parts:
            ticket = part.admit(progress, now)
            if ticket is None:
                self._refused(part, tickets, now)
                return None
            tickets.append(ticket)
        return tuple(tickets)

    def admit_anyway(self, progress: Progress, now: float) -> Ticket | None:
        """The tickets of the limits alone, or None where one of them refuses."""
        tickets = self._unasked.copy()
        for part in self._limits:
            ticket = part.admit(progress, now)
            if ticket is None:
                self._refused(part, tickets, now)
                return None
            tickets.append(ticket)
        return tuple(tickets)

    def _refused(self, part: Health, tickets: Sequence[object | None], now: float) -> None:
        self._refusing = part
        for admitted, ticket in zip(self._parts, tickets, strict=False):
            if ticket is not None:
                admitted.released(ticket, now)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """Told to every part that gave a ticket."""
        assert isinstance(ticket, tuple)
        for part, each in zip(self._parts, ticket, strict=True):
            if each is not None:
                part.succeeded(each, now, reply)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """Told to every part that gave a ticket."""
        assert isinstance(ticket, tuple)
        for part, each in zip(self._parts, ticket, strict=True):
            if each is not None:
                part.failed(each, now, error)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """Told to every part that gave a ticket."""
        assert isinstance(ticket, tuple)
        for part, each in zip(self._parts, ticket, strict=True):
            if each is not None:
                part.released(each, now, error)

    def available_at(self, now: float) -> float:
        """When the last of the parts may admit."""
        latest = now
        for part in self._parts:
            at = part.available_at(now)
            if at > latest:
                latest = at
        return latest
