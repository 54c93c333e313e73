"""Why a request went the way it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from simsla.routing.progress import Progress
    from simsla.routing.types import Reply


class Step(NamedTuple):
    """One decision of the Router.

    ``at_s`` is the time on the event loop's clock. ``what`` is "attempt", "failed", "answered", "lost" (to a
    hedge, or as one), "skipped", "wait", "hedge", "use" (in spite of its health), "stopped" (no retry budget
    left), or the name of the part that decided, such as "cache", "queue" or "classify". Every call for the
    answer is one "attempt". ``subject`` is a deployment or what was decided, ``why`` the reason, an error's
    kind or seconds of waiting.
    """

    at_s: float
    what: str
    subject: str
    why: Any = ""

    def __str__(self) -> str:
        why = f"{self.why:.3f} s" if isinstance(self.why, float) else str(self.why)
        return " ".join(part for part in (f"{self.at_s:.3f}", self.what, self.subject, why) if part)


class Explanation:
    """The decisions behind one reply or error, in order, how many attempts it took and what it cost.

    ``spent_usd`` are the answered calls of every purpose at the prices of their deployments, and what had
    come of streams that were broken off; what a provider bills beyond that is known to the provider alone.
    """

    __slots__ = ("attempts", "spent_usd", "steps")

    def __init__(self, progress: Progress, reply: Reply | None = None) -> None:
        """Made when asked for, of what was kept: nearly nobody asks."""
        self.attempts = progress.attempts
        self.spent_usd = progress.spent_usd
        steps = list(map(Step._make, progress.steps or ()))
        candidate = progress.answered_by
        if reply is not None and candidate is not None:
            deployment = candidate.deployment
            self.spent_usd += deployment.cost_usd(reply.tokens_in, reply.tokens_out)
            steps.append(Step(progress.begun_s, "attempt", deployment.name))
            steps.append(Step(progress.begun_s + reply.total_s, "answered", deployment.name))
        # A hedge is noted before the attempt that it overtakes.
        self.steps = tuple(sorted(steps, key=lambda step: step.at_s))

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), f"{self.attempts} attempts, {self.spent_usd:.6f} USD"])

    def __repr__(self) -> str:
        steps = len(self.steps)
        return f"<Explanation of {steps} steps, {self.attempts} attempts, {self.spent_usd:.6f} USD>"
