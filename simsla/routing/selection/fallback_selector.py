"""The plan with its fall-backs in their places, and where a request goes that a deployment cannot serve."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from simsla.routing.errors import AttemptError, ContentFiltered, ContextLengthExceeded
from simsla.routing.protocols import NEXT, Decision, Failure, Health, RetryRule, Selector
from simsla.routing.selection.capabilities import offers
from simsla.routing.selection.chains import Candidate, unasked_tier
from simsla.routing.types import TIERS, Deployment, Request, Timeouts

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy
    from simsla.routing.selection.fallbacks import FallbackPolicy

Way = Literal["plan", "chain", "context_window", "content_policy"]


class Step(Candidate):
    """A candidate of one request, which knows how the request came to it.

    ``fallbacks`` counts the fall-backs that the request has been offered, this one included if it is one.
    """

    __slots__ = ("fallbacks", "request", "way")

    def __init__(
        self,
        deployment: Deployment,
        *,
        asked: str,
        chain: str,
        timeouts: Timeouts,
        health: Health | None,
        request: Request,
        way: Way,
        fallbacks: int,
    ) -> None:
        super().__init__(deployment, asked=asked, chain=chain, timeouts=timeouts, health=health)
        self.request = request
        self.way = way
        self.fallbacks = fallbacks


class FallbackSelector:
    """A selector whose plans have the fall-backs of tiers and deployments in their places."""

    def __init__(
        self,
        fallbacks: FallbackPolicy,
        inner: Selector,
        policy: RoutingPolicy,
        deployments: Sequence[Deployment],
        health: Mapping[str, Health | None],
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._timeouts = policy.timeouts.resolve(policy.deadline_s)
        self._most = fallbacks.max_fallbacks
        self._by_name = {deployment.name: deployment for deployment in deployments}
        self._health = health
        chains = fallbacks.chains
        self._after_tier = {tier: _unfolded(chains.get(tier, fallbacks.default), chains) for tier in TIERS}
        self._after_deployment = {
            name: _unfolded(chain, chains) for name, chain in chains.items() if name not in TIERS
        }
        self._special: dict[Way, Mapping[str, tuple[str, ...]]] = {
            "context_window": fallbacks.context_window,
            "content_policy": fallbacks.content_policy,
        }

    def candidates(self, request: Request, now: float) -> list[Step]:
        """The inner plan, after each deployment its chain, and after the tier's own ones that of the tier."""
        plan = self._inner.candidates(request, now)
        asked = request.tier
        if asked is None:
            asked = unasked_tier(self._policy, request)
        rank = TIERS.index(asked)
        steps: dict[str, Step] = {}
        fallbacks = 0
        tier_is_used_up = False
        for each in plan:
            if not tier_is_used_up and TIERS.index(each.chain) < rank:
                tier_is_used_up = True
                fallbacks = self._add(steps, self._after_tier[asked], request, asked, asked, fallbacks)
            name = each.deployment.name
            if name not in steps:
                steps[name] = self._step(name, request, asked, each.chain, "plan", fallbacks)
            chain = self._after_deployment.get(name, ())
            fallbacks = self._add(steps, chain, request, asked, each.chain, fallbacks)
        if not tier_is_used_up:
            self._add(steps, self._after_tier[asked], request, asked, asked, fallbacks)
        return list(steps.values())

    def after(self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]) -> list[Step]:
        """What may still be tried.

        Where there is a chain for what the deployment could not serve: that, and what is left of another such
        chain by which the request came. A refusal by content policy goes on nowhere else. In all other cases
        as the inner selector says.
        """
        assert isinstance(failed, Step)
        way: Way
        if isinstance(error, ContentFiltered):
            way = "content_policy"
        elif isinstance(error, ContextLengthExceeded):
            way = "context_window"
        else:
            return self._counted(self._inner.after(error, failed, remaining), failed.fallbacks)
        chain = self._special[way].get(failed.deployment.name, ())
        steps: dict[str, Step] = {}
        fallbacks = self._add(steps, chain, failed.request, failed.asked, failed.chain, failed.fallbacks, way)
        rest: Sequence[Candidate] = ()
        if failed.way == way:
            rest = remaining
        elif way == "context_window" and not chain:
            rest = self._inner.after(error, failed, remaining)
        return [
            *steps.values(),
            *self._counted([each for each in rest if each.deployment.name not in steps], fallbacks),
        ]

    def _add(
        self,
        steps: dict[str, Step],
        names: Sequence[str],
        request: Request,
        asked: str,
        chain: str,
        fallbacks: int,
        way: Way = "chain",
    ) -> int:
        """Append those of the names that may serve the request, as long as it may be offered more; returns
        how many fall-backs it has been offered now.
        """
        for name in names:
            if fallbacks == self._most:
                break
            if name not in steps and self._may_serve(self._by_name[name], request):
                fallbacks += 1
                steps[name] = self._step(name, request, asked, chain, way, fallbacks)
        return fallbacks

    def _may_serve(self, deployment: Deployment, request: Request) -> bool:
        """Within the region, where nothing may leave it, and with every capability needed."""
        at_home = (
            self._policy.regions.failover
            or request.region is None
            or deployment.region in (request.region, None)
        )
        return at_home and offers(deployment, request.needs)

    def _step(self, name: str, request: Request, asked: str, chain: str, way: Way, fallbacks: int) -> Step:
        return Step(
            self._by_name[name],
            asked=asked,
            chain=chain,
            timeouts=self._timeouts,
            health=self._health[name],
            request=request,
            way=way,
            fallbacks=fallbacks,
        )

    def _counted(self, candidates: Sequence[Candidate], fallbacks: int) -> list[Step]:
        """The steps, whose order may be new, with their fall-backs counted on; no more than are allowed."""
        counted = []
        for each in candidates:
            assert isinstance(each, Step)
            if each.way != "plan":
                if fallbacks == self._most:
                    continue
                fallbacks += 1
            each.fallbacks = fallbacks
            counted.append(each)
        return counted


class ContentPolicyRule:
    """A retry rule under which a request that was refused by content policy goes on along its chain.

    It knows a deployment by ``error.deployment``. One that stands in a chain and has none of its own lets the
    request go on too, because others may follow it: `FallbackSelector.after` knows where to, or nowhere.
    """

    def __init__(self, chains: Mapping[str, tuple[str, ...]], inner: RetryRule) -> None:
        self._inner = inner
        self._names = {*chains, *(name for chain in chains.values() for name in chain)}

    def decide(self, failure: Failure, rng: random.Random) -> Decision:
        """As the inner rule, except after such a refusal."""
        if isinstance(failure.error, ContentFiltered) and failure.error.deployment in self._names:
            return NEXT
        return self._inner.decide(failure, rng)


def _unfolded(names: Iterable[str], chains: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names, after each the chain of it and so on; each name where it comes first."""
    found: dict[str, None] = {}
    ahead = [iter(names)]
    while ahead:
        name = next(ahead[-1], None)
        if name is None:
            ahead.pop()
        elif name not in found:
            found[name] = None
            ahead.append(iter(() if name in TIERS else chains.get(name, ())))
    return tuple(found)
