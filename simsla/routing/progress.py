"""How far one request has come: what every part of the Router may know of it and add to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import AttemptError
from simsla.routing.types import Request

if TYPE_CHECKING:
    from simsla.routing.selection.chains import Candidate

NO_DEADLINE: Final = math.inf


class Progress:
    """One request on its way through the Router.

    ``deadline`` is absolute, on the event loop's clock, in seconds. ``attempts`` counts the calls begun for
    the answer, hedges included; ``errors`` holds those that failed, in order. ``spent_usd`` is what its calls
    of every purpose have cost, as far as the Router knows. ``max_tokens`` limits the output of the next
    attempt where a spend cap does. ``answered_by`` is the candidate that answered. ``refusals`` has each
    reason why a candidate was passed over, ``notes`` what the reply's metadata must say; both are None while
    there is nothing. ``steps`` are its decisions, None where nobody wants an explanation.
    """

    __slots__ = (
        "answered_by",
        "attempts",
        "deadline",
        "errors",
        "max_tokens",
        "notes",
        "refusals",
        "request",
        "spent_usd",
        "steps",
    )

    def __init__(self, request: Request, deadline: float = NO_DEADLINE, *, explain: bool = False) -> None:
        self.request = request
        self.deadline = deadline
        self.answered_by: Candidate | None = None
        self.attempts = 0
        self.errors: list[AttemptError] = []
        self.max_tokens: int | None = None
        self.refusals: dict[str, None] | None = None
        self.spent_usd = 0.0
        self.notes: dict[str, Any] | None = None
        self.steps: list[tuple[Any, ...]] | None = [] if explain else None

    def refused(self, at_s: float, name: str, reason: str) -> None:
        """The candidate of this name was passed over."""
        if self.refusals is None:
            self.refusals = {}
        self.refusals[reason] = None
        if self.steps is not None:
            self.steps.append((at_s, "skipped", name, reason))

    def note(self, name: str, value: object) -> None:
        """Something that the reply's metadata must say."""
        if self.notes is None:
            self.notes = {}
        self.notes[name] = value

    def explain(self, at_s: float, what: str, subject: str, why: object = "") -> None:
        """Add a decision: `Step` has the meaning of the four."""
        if self.steps is not None:
            self.steps.append((at_s, what, subject, why))
