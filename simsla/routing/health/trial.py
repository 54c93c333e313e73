"""What the probes of a half-open breaker must show."""

from __future__ import annotations

from typing import Literal, Protocol

from simsla.routing.errors import AttemptError
from simsla.routing.types import Reply

Verdict = Literal["close", "open"]


class Trial(Protocol):
    """What the probes of one half-open time have shown. None: not decided yet."""

    def succeeded(self, took_s: float, reply: Reply) -> Verdict | None: ...

    def failed(self, took_s: float, error: AttemptError) -> Verdict | None: ...


class StrictTrial:
    """As many successes as there are probes close the breaker, one failure opens it."""

    __slots__ = ("_missing",)

    def __init__(self, probes: int) -> None:
        self._missing = probes

    def succeeded(self, took_s: float, reply: Reply) -> Verdict | None:
        """One success less is missing."""
        self._missing -= 1
        return "close" if self._missing == 0 else None

    def failed(self, took_s: float, error: AttemptError) -> Verdict:
        """It is not back."""
        return "open"
