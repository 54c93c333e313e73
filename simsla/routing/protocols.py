"""What the Router stands on: narrow protocols, so that a feature is a new file behind one of them.

Whatever stands behind them is a pure state machine or a pure function: it takes ``now`` (seconds on the
event loop's clock) and an injected generator, never awaits and never asks a clock.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from simsla.routing.errors import AttemptError
from simsla.routing.types import Reply, Request

if TYPE_CHECKING:
    from simsla.routing.selection.chains import Candidate


class Selector(Protocol):
    """Which deployments may answer a request, in the order of trying."""

    def candidates(self, request: Request, now: float) -> Sequence[Candidate]:
        """Everything that may be tried, best first. Every request passes here: do all work beforehand."""
        ...

    def after(
        self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """What may still be tried, best first, now that ``failed`` is given up because of ``error``."""
        ...


class Health(Protocol):
    """Whether one deployment may be called.

    `admit` gives a ticket or refuses with None. Each ticket is handed back exactly once, through
    `succeeded`, `failed` or, where the attempt says nothing about the deployment (cancelled, or the request
    was at fault), `released`.
    """

    def admit(self, now: float) -> object | None: ...

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None: ...

    def failed(self, ticket: object, now: float, error: AttemptError) -> None: ...

    def released(self, ticket: object, now: float) -> None: ...

    def available_at(self, now: float) -> float:
        """When `admit` may next give a ticket: ``now``, a later time, or ``inf`` where that is not known."""
        ...


class Failure(NamedTuple):
    """A failed attempt, as the retry rule sees it."""

    request: Request
    error: AttemptError
    tries: int
    """Attempts at this deployment so far, this one included."""
    waited_s: float
    """The delay before this attempt; 0.0 before the first one at a deployment."""
    now: float


class Decision(NamedTuple):
    """What follows a failed attempt."""

    action: Literal["retry", "next", "stop"]
    delay_s: float = 0.0


NEXT: Final = Decision("next")
"""Go to the next candidate at once."""
STOP: Final = Decision("stop")
"""No attempt can succeed anywhere: raise the error as it is."""


class Lease(Protocol):
    """One request's part in a retry budget.

    After each failed attempt that is not the request's fault `failed` is called, then `retry` where another
    attempt could follow; `close` exactly once, at the end.
    """

    def failed(self, now: float, error: AttemptError) -> None: ...

    def retry(self, now: float, error: AttemptError) -> bool:
        """Whether another attempt may follow ``error``; where it may, it is paid for."""
        ...

    def close(self, now: float, answered: bool) -> None: ...


class RetryBudget(Protocol):
    """How many further attempts all requests together may make."""

    def open(self, now: float) -> Lease:
        """The lease of a request that begins now."""
        ...


class RetryRule(Protocol):
    """What follows a failed attempt: the same deployment again after a delay, the next one, or the end."""

    def decide(self, failure: Failure, rng: random.Random) -> Decision: ...
