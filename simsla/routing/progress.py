"""How far one request has come: what every part of the Router may know of it and add to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import AttemptError
from simsla.routing.types import Request

if TYPE_CHECKING:
    from simsla.routing.selection.chains import Candidate

NO_DEADLINE: Final = math.inf


class Progress:
    """One request on its way through the Router.

    ``deadline`` is absolute, on the event loop's clock, in seconds. ``explains`` says whether decisions are
    kept; ``steps`` are those so far, raw tuples of `Step`, None while there was none worth a word.
    ``attempts`` counts the calls begun for the answer, hedges included, ``errors`` are those that failed, in
    order, ``begun_s`` is when the latest began and ``answered_by`` the candidate that answered. ``spent_usd``
    is what its calls have cost as far as the Router knows, without that of the answer itself. Where a spend
    cap limits it, ``max_tokens`` is the most output of the next attempt, ``committed_usd`` what it has spent
    and reserved, and ``account`` the request that pays for this one, None where it pays for itself.
    ``refusals`` has the names of the candidates that were passed over, each with its reason, ``notes`` what
    the reply's metadata must say; both are None while there is nothing.
    """

    __slots__ = (
        "account",
        "answered_by",
        "attempts",
        "begun_s",
        "committed_usd",
        "deadline",
        "errors",
        "explains",
        "max_tokens",
        "notes",
        "refusals",
        "request",
        "spent_usd",
        "steps",
    )

    def __init__(self, request: Request, deadline: float = NO_DEADLINE, explains: bool = True) -> None:
        # One of these is made for every request: stores only.
        self.request = request
        self.deadline = deadline
        self.explains = explains
        self.steps: list[tuple[Any, ...]] | None = None
        self.attempts = 0
        self.errors: Sequence[AttemptError] = ()
        self.answered_by: Candidate | None = None
        self.begun_s = 0.0
        self.spent_usd = 0.0
        self.committed_usd = 0.0
        self.max_tokens: int | None = None
        self.account: Progress | None = None
        self.refusals: dict[tuple[str, str], None] | None = None
        self.notes: dict[str, Any] | None = None

    def failed(self, at_s: float, name: str, error: AttemptError) -> None:
        """The attempt at the deployment of this name failed."""
        self.errors = [*self.errors, error]
        self.explain(self.begun_s, "attempt", name)
        self.explain(at_s, "failed", name, error.kind)

    def refused(self, at_s: float, name: str, reason: str) -> None:
        """The candidate of this name was passed over; said once, however often that happens."""
        if self.refusals is None:
            self.refusals = {}
        if (name, reason) not in self.refusals:
            self.refusals[name, reason] = None
            self.explain(at_s, "skipped", name, reason)

    def waits(self, at_s: float, delay_s: float) -> None:
        """It waits for a deployment to return; one wait right after another is the same step."""
        if self.steps and self.steps[-1][1:3] == ("wait", ""):
            at_s, _, _, before_s = self.steps.pop()
            delay_s += before_s
        self.explain(at_s, "wait", "", delay_s)

    def note(self, name: str, value: object) -> None:
        """Something that the reply's metadata must say."""
        if self.notes is None:
            self.notes = {}
        self.notes[name] = value

    def explain(self, at_s: float, what: str, subject: str, why: object = "") -> None:
        """Keep a decision: `Step` has the meaning of the four."""
        if self.explains:
            if self.steps is None:
                self.steps = []
            self.steps.append((at_s, what, subject, why))
