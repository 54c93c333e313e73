"""What a classifier is: it may ask a model, and it reads the tier from the answer or from the request."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from simsla.routing.types import Reply, Request


class Verdict(NamedTuple):
    """A tier and the reason; where the tier is None, the complexity or the default tier decides."""

    tier: str | None
    why: str


NO_VERDICT: Final = Verdict(None, "left to its complexity")


class Classifier(Protocol):
    """A pure function in two steps, between which the call is made that it wants, if any."""

    @property
    def limit_s(self) -> float | None:
        """Seconds after which the call is given up; None where none is made."""
        ...

    def ask(self, request: Request) -> Request | None:
        """The subordinate call that is needed, or None."""
        ...

    def read(self, request: Request, reply: Reply | None) -> Verdict:
        """The verdict; ``reply`` is the answer to the call, None where there was none."""
        ...
