"""What is scheduled for after the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simsla.analysis.warnings import NeverHappensWarning, first_few
from simsla.scenario.arrivals import GammaArrivals, MmppArrivals, PoissonArrivals
from simsla.scenario.quantities import format_duration

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["never_happens"]


def never_happens(scenario: Scenario) -> NeverHappensWarning | None:
    """The warning that some of what a scenario plans lies beyond its horizon, if it does.

    With a horizon of 2 h, `at: "03:00"` names a time that no request sees.
    """
    late = [(path, at_s) for path, at_s in planned(scenario) if at_s >= scenario.horizon_s]
    if not late:
        return None
    told = [f"{path} (at {format_duration(at_s)})" for path, at_s in late]
    return NeverHappensWarning(
        f"Planned for after the horizon of {format_duration(scenario.horizon_s)}, so it never happens: "
        f"{first_few(told)}. Times of day count from the scenario's start, {scenario.start:%H:%M} UTC."
    )


def planned(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """All that begins at an appointed time: its path in the scenario, and seconds after the start."""
    for i, event in enumerate(scenario.schedule):
        yield f"schedule[{i}]", event.at_s
    for section in ("components", "regions", "accounts"):
        for name, component in getattr(scenario, section).items():
            for j, fault in enumerate(component.faults):
                for k, episode in enumerate(fault.schedule):
                    yield f"{section}.{name}.faults[{j}].schedule[{k}]", episode.start_s
    partitions = () if scenario.network is None else scenario.network.partitions
    for i, partition in enumerate(partitions):
        if partition.at_s is not None:
            yield f"network.partitions[{i}]", partition.at_s
    for name, spec in scenario.traffic.items():
        if isinstance(spec.arrivals, PoissonArrivals | MmppArrivals | GammaArrivals):
            for i, surge in enumerate(spec.arrivals.surges):
                yield f"traffic.{name}.arrivals.surges[{i}]", surge.at_s
