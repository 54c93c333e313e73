"""From a policy to the parts of a Router: nothing is built that is not configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsla.routing.protocols import Health, Selector
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.ranking import PreCallSelector, RankedSelector, Watched
from simsla.routing.transport import Transport

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy


def selector(policy: RoutingPolicy, transport: Transport) -> Selector:
    """Who may be tried in which order, each with its health."""
    deployments = transport.deployments
    breaker = policy.breaker
    health: dict[str, Health | None] = {
        deployment.name: None if breaker is None else breaker.build() for deployment in deployments
    }
    ranking = policy.selection.build(deployments, transport.random)
    if ranking is not None:
        health = {name: Watched(inner, ranking, name) for name, inner in health.items()}
    made: Selector = ChainSelector(policy, deployments, health)
    if ranking is not None:
        made = RankedSelector(made, ranking, policy.regions.affinity)
    if policy.pre_call_checks:
        made = PreCallSelector(made)
    return made
