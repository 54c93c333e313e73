"""What the Router stands on: narrow protocols, so that a feature is a new file behind one of them.

Whatever stands behind them is a pure state machine or a pure function: it takes ``now`` (seconds on the
event loop's clock) and an injected generator, never awaits and never asks a clock.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
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
    """Whether one deployment may be called: a breaker, a limit, or several of them as one.

    `admit` gives a ticket or refuses with None. Each ticket is handed back exactly once, through
    `succeeded`, `failed` or, where the attempt says nothing about the deployment (cancelled, or the request
    was at fault), `released`, with the error where there is one.
    """

    @property
    def refusal(self) -> str:
        """Why the last `admit` gave None, in a few words such as "breaker open"."""
        ...

    def admit(self, progress: Progress, now: float) -> object | None: ...

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None: ...

    def failed(self, ticket: object, now: float, error: AttemptError) -> None: ...

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None: ...

    def available_at(self, now: float) -> float:
        """When `admit` may next give a ticket: ``now``, a later time, or ``inf`` where that is not known.

        A limit that depends on the request answers for the smallest one, so `admit` may refuse even then.
        """
        ...


class Overridable(Health, Protocol):
    """A health whose verdict may be set aside, though its limits may not."""

    def admit_anyway(self, progress: Progress, now: float) -> object | None:
        """A ticket in spite of breakers and ejections, or None where a limit refuses."""
        ...


class Exhausted(NamedTuple):
    """A request for which nothing is left to try."""

    progress: Progress
    plan: Sequence[Candidate]
    """What could answer it now, best first."""
    refused: bool
    """Whether a candidate was passed over because its health refused."""
    now: float


class Resort(NamedTuple):
    """What follows when nothing is left to try."""

    action: Literal["fail", "wait", "use"]
    delay_s: float = 0.0
    """For "wait": the plan is walked again after so long."""
    candidate: Candidate | None = None
    """For "use": it is called although its health refused."""
    ticket: object | None = None
    """For "use": what its `Overridable.admit_anyway` gave."""
    turn: Callable[[], Awaitable[tuple[Candidate, object]]] | None = None
    """For "wait", in place of the delay: waits in line, then says whom to call, with the ticket for it.
    Raises `RoutingError` where the turn does not come in time."""


class LastResort(Protocol):
    """What to do when every candidate refuses or has failed; the Router keeps the deadline."""

    def decide(self, exhausted: Exhausted) -> Resort: ...


NOTHING_SPENT: Final[Mapping[str, float]] = MappingProxyType({})
"""Of a `Stage` whose costs, if any, are those of the requests."""


class Stage(Protocol):
    """A part of the way of a request before its attempts and after them, such as a cache.

    ``part`` names it; ``counts`` is what it has counted, ``spent_usd`` what it has spent besides the requests
    themselves, both by names of its own.

    It may await. Stages are entered in order and left in reverse order: `leave` is called exactly once for
    each whose `enter` returned a request, with the request that it returned.
    """

    @property
    def part(self) -> str: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    @property
    def spent_usd(self) -> Mapping[str, float]: ...

    async def enter(self, request: Request, progress: Progress) -> Request | Reply:
        """The request, perhaps another one in its place; or the reply, and nothing further is tried."""
        ...

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """The request has its reply, or None where it failed. Must not raise and must not block."""
        ...

    async def close(self) -> None:
        """Give up what goes on in the background."""
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
