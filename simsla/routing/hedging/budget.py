"""The budget of hedges: what share of all requests may be sent twice.

When everything is slow, everything looks worth a hedge, and hedges without a budget would double the load at
the worst moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from simsla.routing.config import Section, setting

# Sums of deposits such as 0.1 round: a hedge that is paid up to this much is paid.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class HedgeBudget(Section):
    """A token bucket: each request deposits ``ratio``, each hedge takes 1.

    After n requests there were at most ``reserve`` + ``ratio`` x n hedges. Finagle bounds its backup requests
    so; its bucket also forgets with time, this one is full with ``reserve``.
    """

    ratio: float = setting(minimum=0.0, maximum=1.0)
    """Hedges per request that the budget pays for in the long run. Without a default: how much more load is
    affordable nobody else knows. Hedging after a percentile p needs at least 1 - p."""
    reserve: float = setting(10.0, minimum=1.0)
    """Hedges that can be saved up, and what is there at the start. 10: the tokens of gRPC's throttling."""

    def build(self) -> HedgeBucket:
        """A full bucket."""
        return HedgeBucket(self)


class HedgeBucket:
    """The tokens of all requests together, within [0, reserve]."""

    __slots__ = ("_policy", "tokens")

    def __init__(self, policy: HedgeBudget) -> None:
        self._policy = policy
        self.tokens = policy.reserve

    def deposit(self) -> None:
        """One more request."""
        tokens = self.tokens + self._policy.ratio
        reserve = self._policy.reserve
        self.tokens = reserve if tokens > reserve else tokens

    @property
    def affords(self) -> bool:
        """Whether there is enough for one hedge."""
        return self.tokens >= 1.0 - _ROUNDING

    def pay(self) -> None:
        """Take what one hedge costs; only where the bucket `affords` it."""
        self.tokens = max(0.0, self.tokens - 1.0)
