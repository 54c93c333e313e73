"""Whether an attempt is hedged, and when: the delay, the head-room and the budget together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simsla.routing.hedging.delays import Delay
from simsla.routing.progress import Progress
from simsla.routing.selection.chains import Candidate

if TYPE_CHECKING:
    from simsla.routing.hedging.policy import HedgePolicy

SHORTEST_HEDGE_S: Final = 0.001
"""No hedge begins with less of the deadline left, as no attempt does: it could not succeed."""


class Hedges:
    """The decisions for all requests of a Router.

    A first attempt asks when to hedge; when that has come, whether the budget `affords` it, for each
    deployment that could be the hedge's whether it is `in_time`, and where there is one it will `pay`. Where
    the delay `learns`, it says how long it `took`, see `Delay`.
    """

    __slots__ = ("_budget", "_delay", "_least_s", "_thin_s", "learns", "max_hedges", "to_same", "took")

    def __init__(self, policy: HedgePolicy, delay: Delay) -> None:
        self._budget = policy.budget.build()
        self._delay = delay
        self._least_s = max(policy.min_headroom_s, SHORTEST_HEDGE_S)
        self._thin_s = policy.when_headroom_below_s
        self.max_hedges = policy.max_hedges
        self.to_same = policy.to == "any"
        self.learns = delay.learns
        self.took = delay.took

    @property
    def tokens(self) -> float:
        """What is left of the budget, in hedges."""
        return self._budget.tokens

    @property
    def affords(self) -> bool:
        """Whether the budget has enough for one hedge."""
        return self._budget.affords

    def pay(self) -> None:
        """One hedge is sent."""
        self._budget.pay()

    def begin(self, progress: Progress, candidate: Candidate, now: float) -> float | None:
        """A first attempt begins: seconds until its hedge, None for never. Each request deposits once."""
        if progress.attempts == 0:
            self._budget.deposit()
        delay_s = self._delay.after_s(candidate, progress.request, now)
        if delay_s is None:
            return None
        left_s = progress.deadline - now
        if self._thin_s is not None and left_s - delay_s > self._thin_s:
            delay_s = left_s - self._thin_s
        return delay_s if left_s - delay_s > self._least_s else None

    def further(self, progress: Progress, candidate: Candidate, now: float) -> float | None:
        """Seconds from a hedge that begins now to the next of the same attempt, None for never."""
        return self._delay.after_s(candidate, progress.request, now)

    def in_time(self, progress: Progress, candidate: Candidate, now: float) -> bool:
        """Whether a hedge at the candidate that begins now has the time that it needs."""
        needs_s = max(self._least_s, self._delay.needs_s(candidate, progress.request))
        return progress.deadline - now >= needs_s
