"""The network between the regions of clients and those of deployments.

network:
  rtt:
    us-east-1: {us-east-1: 2ms, eu-west-1: 80ms}    # from the clients' region to the deployment's
    eu-west-1: {us-east-1: {kind: lognormal, median: 80, p99: 140, unit: ms}, eu-west-1: 2ms}
  partitions:
    - {from: us-east-1, to: eu-west-1, at: "03:00", for: 20min}
    - {from: eu-west-1, to: us-east-1, uptime: {kind: exponential, mean: 90, unit: d}, repair: 15min}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from simsla.scenario.components import Component
from simsla.scenario.errors import Location
from simsla.scenario.faults import Fault, Spell
from simsla.scenario.fields import Frozen, FrozenDict, Model, Name, refuse
from simsla.scenario.moments import Moment
from simsla.scenario.quantities import PositiveDuration, TimeDist

__all__ = ["Network", "Partition", "regions_used"]


class Partition(Model):
    """Clients in one region cannot reach deployments in another: their connections fail, all of them.

    Once, `at` a moment and `for` a duration; or drawn, from an alternating renewal process of `uptime` and
    `repair`. For the world it is a fault of the deployments' region that hits these clients only.
    """

    source: Name = Field(alias="from")
    """The clients' region."""
    target: Name = Field(alias="to")
    """The deployments' region."""
    at_s: Moment | None = Field(default=None, alias="at")
    for_s: PositiveDuration | None = Field(default=None, alias="for")
    uptime: Spell | None = None
    repair: Spell | None = None
    hang: Annotated[bool, Field(strict=True)] = False
    """Connections are not refused: nothing comes back until the caller's limit."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = {"at": self.at_s, "for": self.for_s, "uptime": self.uptime, "repair": self.repair}
        given = [name for name, value in forms.items() if value is not None]
        if given not in (["at", "for"], ["uptime", "repair"]):
            raise refuse(f"at and for, or uptime and repair; found {' and '.join(given) or 'nothing'}")
        return self

    def fault(self) -> Fault:
        """The fault of the region `to`."""
        when: dict[str, Any] = {"uptime": self.uptime, "repair": self.repair}
        if self.at_s is not None:
            when = {"schedule": [{"at": self.at_s, "for": self.for_s}]}
        only = {"regions": [self.source]}
        return Fault.model_validate({"kind": "connect", "hang": self.hang, "only": only, **when})


class Network(Model):
    """Round-trip times from clients' regions to deployments' regions, and partitions between them.

    A round trip is added to whatever a caller waits for. Connections are kept open: a new one would cost one
    or two round trips more.
    """

    rtt: Frozen[Name, Frozen[Name, TimeDist]] = Field(default_factory=FrozenDict)
    """Durations, or distributions of seconds that are drawn for every attempt, by the clients' region and the
    deployments'; between pairs that are not told of it is 0."""
    partitions: tuple[Partition, ...] = ()

    def divided(self, regions: Mapping[str, Component]) -> dict[str, Component]:
        """The regions as components, with the partitions among their faults."""
        faults: dict[str, list[Fault]] = {}
        for partition in self.partitions:
            faults.setdefault(partition.target, []).append(partition.fault())
        return {
            name: region.model_copy(update={"faults": (*region.faults, *faults.get(name, ()))})
            for name, region in regions.items()
        }


def regions_used(data: Mapping[str, Any]) -> Iterator[tuple[Location, object]]:
    """The places in plain data where the network section names a region, and what stands there."""
    network = data.get("network")
    if not isinstance(network, Mapping):
        return
    rtt, partitions = network.get("rtt"), network.get("partitions")
    for source, targets in rtt.items() if isinstance(rtt, Mapping) else ():
        yield ("network", "rtt", source), source
        for target in targets if isinstance(targets, Mapping) else ():
            yield ("network", "rtt", source, target), target
    for i, partition in enumerate(partitions if isinstance(partitions, list) else ()):
        for key in ("from", "to") if isinstance(partition, Mapping) else ():
            yield ("network", "partitions", i, key), partition.get(key)
