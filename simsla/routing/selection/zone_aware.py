"""The ranking ``zone_aware``."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.ranking import Ranking, Stateless, refuses
from simsla.routing.types import Deployment, Request


@dataclass(frozen=True)
class ZoneAware(Section):
    """As much as possible in the request's own region without more load for a deployment there: Envoy's zone
    aware routing.

    A region whose share of the healthy deployments is at least its share of the requests keeps them all; any
    other keeps what its deployments are a share of, and the rest goes to regions with room, in proportion to
    it. A deployment without a region counts as a region of its own. The whole tier is ordered, which takes
    ``regions.affinity: false``.
    """

    kind = "zone_aware"

    memory_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds; the time constant of the shares of the requests. Envoy takes its own instances for them, which
    a router cannot see."""
    min_deployments: int = setting(2, minimum=1)
    """Healthy deployments below which the own region simply comes first. Envoy's ``min_cluster_size`` is 6,
    for fleets of servers; 2 because a model is deployed at few places."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _ZoneAware(self, deployments, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


def kept_and_room(
    deployed: Mapping[str | None, float], requested: Mapping[str | None, float]
) -> tuple[dict[str | None, float], dict[str | None, float]]:
    """By region: the share of its requests that it keeps, and the room that it has for those of others.

    ``deployed`` and ``requested`` are shares by region, each summing to 1. Source: Envoy, "Zone aware
    routing".
    """
    kept = {
        region: min(1.0, deployed.get(region, 0.0) / share) for region, share in requested.items() if share
    }
    room = {region: max(0.0, share - requested.get(region, 0.0)) for region, share in deployed.items()}
    return kept, room


class _ZoneAware(Stateless):
    def __init__(self, policy: ZoneAware, deployments: Sequence[Deployment], rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        # Requests from where nothing is deployed are counted together: their names are not ours to bound.
        self._counts: dict[str | None, float] = {each.region: 0.0 for each in deployments} | {None: 0.0}
        self._counted_at = -math.inf

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """The region drawn, then the own one, then the others; in each the healthy first, else at random."""
        own = request.region if request.region in self._counts else None
        self._count(own, now)
        shuffled = self._rng.sample(group, len(group))
        first = self._draw(own, [each.deployment.region for each in shuffled if not refuses(each, now)])
        return sorted(
            shuffled,
            key=lambda each: (
                each.deployment.region != first,
                each.deployment.region != own,
                refuses(each, now),
            ),
        )

    def _count(self, region: str | None, now: float) -> None:
        fading = math.exp(-(now - self._counted_at) / self._policy.memory_s)
        self._counted_at = now
        self._counts = {name: count * fading for name, count in self._counts.items()}
        self._counts[region] += 1.0

    def _draw(self, own: str | None, healthy: Sequence[str | None]) -> str | None:
        if len(healthy) < self._policy.min_deployments:
            return own
        deployed = {region: healthy.count(region) / len(healthy) for region in healthy}
        total = math.fsum(self._counts.values())
        kept, room = kept_and_room(deployed, {name: count / total for name, count in self._counts.items()})
        if self._rng.random() < kept[own] or not any(room.values()):
            return own
        return self._rng.choices(list(room), list(room.values()))[0]
