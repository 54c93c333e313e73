"""The transport of a world with distances between regions.

A round trip is added to whatever an attempt waits for: its first token, all of its answer, its error, the
refusal of its connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsla.world.attempt import QUEUED
from simsla.world.transport import SimTransport

if TYPE_CHECKING:
    from simsla.routing import Deployment
    from simsla.world.attempt import Attempt
    from simsla.world.distances import RoundTrips

__all__ = ["NetworkTransport"]


class NetworkTransport(SimTransport):
    """A `SimTransport` whose deployments are near to some clients and far from others.

    A request without a region, and a deployment without one, are next to everything.
    """

    _at_once = False

    def __init__(self, *world: Any, round_trips: RoundTrips, **more: Any) -> None:
        super().__init__(*world, **more)
        self._round_trips = round_trips
        self._region_of = {deployment.name: deployment.region or "" for deployment in self.deployments}

    def _admit(self, attempt: Attempt, deployment: Deployment) -> None:
        super()._admit(attempt, deployment)
        if attempt.outcome != QUEUED:
            self._travel(attempt)

    async def _wait(self, attempt: Attempt, limit_s: float | None) -> None:
        await super()._wait(attempt, limit_s)
        self._travel(attempt)

    def _travel(self, attempt: Attempt) -> None:
        server, whose, request = attempt.server, attempt.whose, attempt.request
        rtt_s = self._round_trips.of(
            (request.region or "", self._region_of[server.name]),
            whose.block,
            whose.place,
            (server.index, server.name),
            request.purpose,
            attempt.ordinal,
        )
        attempt.total_s += rtt_s
        if attempt.served:
            attempt.first_s += rtt_s
