"""Why a request went the way it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One decision of the Router.

    ``at_s`` is the time on the event loop's clock. ``what`` is "attempt", "failed", "skipped", "wait",
    "hedge", "use" (in spite of its health), "stopped" (no retry budget left), or the name of the part that
    decided, such as "cache", "queue" or "classify". ``subject`` is a deployment or what was decided, ``why``
    the reason, an error's kind or seconds of waiting.
    """

    at_s: float
    what: str
    subject: str
    why: Any = ""

    def __str__(self) -> str:
        why = f"{self.why:.3f} s" if self.what == "wait" and isinstance(self.why, float) else str(self.why)
        return " ".join(part for part in (f"{self.at_s:.3f}", self.what, self.subject, why) if part)


class Explanation:
    """The decisions behind one reply or error, in order, what it took and what it cost.

    ``spent_usd`` are the answered calls of every purpose at the prices of their deployments; what a provider
    bills for calls that were broken off is known to the provider alone.
    """

    __slots__ = ("_steps", "attempts", "spent_usd")

    def __init__(self, steps: Sequence[tuple[Any, ...]], attempts: int, spent_usd: float) -> None:
        self._steps = steps
        self.attempts = attempts
        self.spent_usd = spent_usd

    @property
    def steps(self) -> tuple[Step, ...]:
        """Made when asked for: nearly nobody asks."""
        return tuple(map(Step._make, self._steps))

    def __str__(self) -> str:
        lines = [*map(str, self.steps), f"{self.attempts} attempts, {self.spent_usd:.6f} USD"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"<Explanation of {len(self._steps)} steps, {self.attempts} attempts, {self.spent_usd:.6f} USD>"
        )
