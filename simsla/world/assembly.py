"""The transport that a scenario needs: what it has not, costs nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simsla.world.distances import RoundTrips
from simsla.world.gateway.pool import Pool
from simsla.world.gateway.transport import GatewayTransport
from simsla.world.regions import NetworkTransport
from simsla.world.transport import SimTransport

if TYPE_CHECKING:
    from simsla.records import Recorder
    from simsla.routing import Deployment
    from simsla.scenario import Scenario
    from simsla.virtualtime import SimEventLoop
    from simsla.world.server import Server

__all__ = ["transport_of"]


class FarGatewayTransport(NetworkTransport, GatewayTransport):
    """Regions and gateway pods: an attempt travels, and passes a pod on its way."""


_CLASSES: dict[tuple[bool, bool], type[SimTransport]] = {
    (False, False): SimTransport,
    (True, False): NetworkTransport,
    (False, True): GatewayTransport,
    (True, True): FarGatewayTransport,
}


def transport_of(
    scenario: Scenario,
    pool: Pool | None,
    loop: SimEventLoop,
    deployments: Sequence[Deployment],
    servers: Sequence[Server],
    recorder: Recorder,
    generator: random.Random,
    seed: int,
    replication: int,
) -> SimTransport:
    """The transport of one run; `pool` are the gateway's pods, and the others what every transport needs."""
    layers: dict[str, Any] = {}
    network = scenario.network
    far = network is not None and bool(network.rtt)
    if network is not None and far:
        layers["round_trips"] = RoundTrips(network.rtt, seed, replication)
    if pool is not None:
        layers |= {"pool": pool, "behind": frozenset(scenario.behind_gateway)}
    chosen = _CLASSES[far, pool is not None]
    return chosen(loop, deployments, servers, recorder, generator, **layers)
