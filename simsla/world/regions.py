"""The transport of a world with distances between regions.

A round trip is added to whatever an attempt waits for: its first token, all of its answer, its error, the
refusal of its connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simsla.world.attempt import QUEUED
from simsla.world.transport import SimTransport

if TYPE_CHECKING:
    from simsla.routing import Deployment
    from simsla.world.attempt import Attempt

__all__ = ["NetworkTransport"]


class NetworkTransport(SimTransport):
    """A `SimTransport` whose deployments are near to some clients and far from others.

    A request without a region, and a deployment without one, are next to everything.
    """

    _at_once = False

    def __init__(self, *world: Any, rtt_s: Mapping[str, Mapping[str, float]], **more: Any) -> None:
        """`rtt_s` are the round trips by the region of the client and that of the deployment."""
        super().__init__(*world, **more)
        self._rtt_s = {
            (region, deployment.name): targets[deployment.region]
            for region, targets in rtt_s.items()
            for deployment in self.deployments
            if deployment.region is not None and targets.get(deployment.region)
        }

    def _admit(self, attempt: Attempt, deployment: Deployment) -> None:
        super()._admit(attempt, deployment)
        if attempt.outcome != QUEUED:
            self._travel(attempt)

    async def _wait(self, attempt: Attempt, limit_s: float | None) -> None:
        await super()._wait(attempt, limit_s)
        self._travel(attempt)

    def _travel(self, attempt: Attempt) -> None:
        rtt_s = self._rtt_s.get((attempt.request.region or "", attempt.server.name))
        if rtt_s is not None:
            attempt.total_s += rtt_s
            if attempt.served:
                attempt.first_s += rtt_s
