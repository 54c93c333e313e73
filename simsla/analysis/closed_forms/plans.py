"""Which deployments may answer which requests: the router's own plans."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simsla.routing import Request, RoutingPolicy
from simsla.routing.errors import NoDeployment
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.types import TIERS

if TYPE_CHECKING:
    from simsla.routing.protocols import Selector
    from simsla.scenario import Scenario
    from simsla.scenario.traffic import RequestClass

__all__ = ["Origin", "plans"]


Origin = tuple[str, str | None]
"""A request class, and the region that its requests come from, if any."""


def plans(scenario: Scenario, policy: RoutingPolicy | None) -> dict[Origin, dict[tuple[str, ...], float]]:
    """By request class and region: the deployments that requests may be sent to -> the share of requests.

    Shares are of all requests and add up to 1 over all. With a policy of one's own (None) every deployment
    may answer.
    """
    rates = {name: each.arrivals.mean_rate_per_s() for name, each in scenario.traffic.items()}
    total = math.fsum(rates.values())
    found: dict[Origin, dict[tuple[str, ...], float]] = {}
    choose = None if policy is None else selector(scenario, policy)
    for name, request_class in scenario.traffic.items():
        for region, weight in regions(request_class):
            shares = found.setdefault((name, region), {})
            if choose is None or policy is None:
                ways = iter([(tuple(scenario.deployments), 1.0)])
            else:
                ways = routed(choose, policy, request_class, region)
            for names, part in ways:
                shares[names] = shares.get(names, 0.0) + rates[name] / total * weight * part
    return found


def selector(scenario: Scenario, policy: RoutingPolicy) -> Selector:
    """Who may be tried; the order within a tier, which a ranking would change, does not matter here."""
    deployments = [spec.to_deployment() for spec in scenario.deployment_specs]
    no_health = {deployment.name: None for deployment in deployments}
    made: Selector = ChainSelector(policy, deployments, no_health)
    if policy.fallbacks is not None:
        made = policy.fallbacks.build(made, policy, deployments, no_health)
    return made


def regions(request_class: RequestClass) -> list[tuple[str | None, float]]:
    if not request_class.region:
        return [(None, 1.0)]
    total = math.fsum(weight for _, weight in request_class.region)
    return [(name, weight / total) for name, weight in request_class.region if weight > 0]


def routed(
    choose: Selector, policy: RoutingPolicy, request_class: RequestClass, region: str | None
) -> Iterator[tuple[tuple[str, ...], float]]:
    for tier, share in tiers(policy, request_class):
        request = Request(0, tier=tier, region=region, needs=request_class.needs)
        try:
            candidates = choose.candidates(request, 0.0)
        except NoDeployment:
            candidates = ()
        yield tuple(dict.fromkeys(each.deployment.name for each in candidates)), share


def tiers(policy: RoutingPolicy, request_class: RequestClass) -> Iterator[tuple[str, float]]:
    """The tiers that requests of a class get, by the share of them."""
    if request_class.tier is not None:
        yield request_class.tier, 1.0
    elif request_class.complexity is None:
        yield policy.default_tier, 1.0
    else:
        cuts = policy.complexity
        # Just below a cut, since a complexity that equals it belongs to the tier above.
        edges = np.nextafter([cuts.standard, cuts.premium], 0.0)
        below = [0.0, *request_class.complexity.cdf(edges).tolist(), 1.0]
        for tier, low, high in zip(TIERS, below[:-1], below[1:], strict=True):
            if high > low:
                yield tier, high - low
