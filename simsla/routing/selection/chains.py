"""Who is tried, in which order: the chains of the tiers, with region affinity and fail-over.

Everything depends on the tier and the region alone, so every order is laid out beforehand and a request
costs two look-ups. The tier goes before the region: an answer of the quality asked for, from afar, before a
weaker one from near.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    ConnectError,
    ContextLengthExceeded,
    NoDeployment,
)
from simsla.routing.protocols import Health
from simsla.routing.selection.capabilities import capable
from simsla.routing.types import TIERS, Deployment, Request, Timeouts

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy

Plan = tuple["Candidate", ...]


class Candidate:
    """A deployment at its place in one plan, with all that an attempt needs."""

    __slots__ = ("asked", "chain", "degraded", "deployment", "health", "timeouts", "total_s")

    def __init__(
        self, deployment: Deployment, *, asked: str, chain: str, timeouts: Timeouts, health: Health | None
    ) -> None:
        self.deployment = deployment
        self.asked = asked
        self.chain = chain
        self.timeouts = timeouts
        self.total_s = math.inf if timeouts.total_s is None else timeouts.total_s
        self.health = health
        self.degraded = TIERS.index(deployment.tier) < TIERS.index(asked)

    def __repr__(self) -> str:
        return f"<Candidate {self.deployment.name} for {self.asked}>"


class ChainSelector:
    """The ordered chain of the tier, then, where the policy degrades, those of the tiers below."""

    def __init__(
        self,
        policy: RoutingPolicy,
        deployments: Sequence[Deployment],
        health: Mapping[str, Health | None],
    ) -> None:
        self._policy = policy
        self._health = health
        self._timeouts = policy.timeouts.resolve(policy.deadline_s)
        self._chains = _chains(policy, deployments)
        regions = {deployment.region for deployment in deployments}
        self._plans = {region: self._plans_in(region) for region in regions | {None}}
        # A region where nothing is deployed; a request must not make the table grow.
        self._elsewhere = self._plans_in("")

    def candidates(self, request: Request, now: float) -> Plan:
        """The plan for the request's tier and region, without what lacks a capability that it needs; raises
        `NoDeployment` for a tier that does not exist.
        """
        tier = request.tier
        if tier is None:
            tier = unasked_tier(self._policy, request)
        try:
            plan = self._plans.get(request.region, self._elsewhere)[tier]
        except KeyError:
            raise NoDeployment(f"there is no tier {tier!r}; the tiers are {', '.join(TIERS)}") from None
        return capable(plan, request.needs) if request.needs else plan

    def after(
        self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """What may still be tried.

        Too long a request goes on to larger context windows only. A region that could not be reached comes
        last within each tier.
        """
        if isinstance(error, ContextLengthExceeded):
            return _with_larger_window(remaining, failed.deployment.context_window)
        if _unreachable(error) and failed.deployment.region is not None:
            return sorted(
                remaining,
                key=lambda each: (
                    -TIERS.index(each.chain),
                    each.deployment.region == failed.deployment.region,
                ),
            )
        return remaining

    def _plans_in(self, region: str | None) -> dict[str, Plan]:
        return {tier: self._plan(tier, region) for tier in TIERS}

    def _plan(self, asked: str, region: str | None) -> Plan:
        rank = TIERS.index(asked)
        # A tier that nothing serves is served by the nearest one above.
        first = next((tier for tier in TIERS[rank:] if self._chains[tier]), asked)
        below = reversed(TIERS[:rank]) if self._policy.degrade else ()
        plan: dict[str, Candidate] = {}
        for chain in (first, *below):
            for deployment in self._in_order(self._chains[chain], region):
                plan.setdefault(
                    deployment.name,
                    Candidate(
                        deployment,
                        asked=asked,
                        chain=chain,
                        timeouts=self._timeouts,
                        health=self._health[deployment.name],
                    ),
                )
        return tuple(plan.values())

    def _in_order(self, chain: Sequence[Deployment], region: str | None) -> Sequence[Deployment]:
        regions = self._policy.regions
        if region is None or not regions.affinity:
            return chain
        near = [each for each in chain if each.region in (region, None)]
        far = [each for each in chain if each.region not in (region, None)]
        return near + far if regions.failover else near


def unasked_tier(policy: RoutingPolicy, request: Request) -> str:
    """The tier of a request that names none: by its complexity, or the default."""
    complexity = request.complexity
    return policy.default_tier if complexity is None else policy.complexity.tier(complexity)


def _chains(policy: RoutingPolicy, deployments: Sequence[Deployment]) -> dict[str, Sequence[Deployment]]:
    by_name = {deployment.name: deployment for deployment in deployments}
    return {
        tier: [by_name[name] for name in policy.tiers[tier]]
        if tier in policy.tiers
        else [each for each in deployments if each.tier == tier]
        for tier in TIERS
    }


def _unreachable(error: AttemptError) -> bool:
    return isinstance(error, ConnectError) or (isinstance(error, AttemptTimeout) and error.phase == "connect")


def _with_larger_window(candidates: Sequence[Candidate], window: int | None) -> Sequence[Candidate]:
    """Those whose context window may be larger; an unknown window may be."""
    if window is None:
        return candidates
    windows = ((each, each.deployment.context_window) for each in candidates)
    return [each for each, size in windows if size is None or size > window]
