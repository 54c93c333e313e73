"""The deployments of a run, each with what its scenario asks of it and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simsla.world.accounts import Gate, SharedAccount, buckets_of
from simsla.world.conditions import Conditions
from simsla.world.grey import GreyConditions
from simsla.world.latent import LatencyLevel, VaryingConditions, VaryingGrey
from simsla.world.pricing import Tariff
from simsla.world.server import Server
from simsla.world.sharing import Sharing

if TYPE_CHECKING:
    from simsla.scenario import DeploymentSpec, Scenario
    from simsla.world.environment import Environment

__all__ = ["servers_of"]


def servers_of(
    scenario: Scenario, environment: Environment, seed: int, replication: int, begin_s: float, end_s: float
) -> list[Server]:
    """The deployments of the scenario, in order, for a run between two absolute times."""
    accounts = {
        name: SharedAccount(account) for name, account in scenario.accounts.items() if account.limits_anything
    }
    servers = []
    for index, spec in enumerate(scenario.deployment_specs):
        server = Server(spec, index, environment, seed, replication, begin_s, end_s)
        account = None if spec.account is None else accounts.get(spec.account)
        if account is not None or spec.limits_rate:
            server.gate = Gate(buckets_of(spec), account)
        if spec.service is not None:
            server.sharing = Sharing(spec.service)
        if server.limit is None and (server.gate is not None or server.sharing is not None):
            server.limit = math.inf
        if spec.price.varies:
            server.tariff = Tariff(spec.price, scenario.start, begin_s)
        if spec.latency.varies:
            _vary(server, spec, scenario, (seed, replication, spec.name), begin_s)
        servers.append(server)
    return servers


def _vary(
    server: Server, spec: DeploymentSpec, scenario: Scenario, address: tuple[int, int, str], begin_s: float
) -> None:
    level = LatencyLevel(spec.latency, scenario.start, address)
    if isinstance(server.conditions, Conditions):
        server.conditions = VaryingConditions(server.conditions, level, begin_s)
    if isinstance(server.grey, GreyConditions):
        server.grey = VaryingGrey(server.grey, level, begin_s)
