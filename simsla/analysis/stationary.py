"""Whether a scenario is stationary by design, so that a drift of latency can be held against something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["is_stationary"]


def is_stationary(scenario: Scenario) -> bool:
    """Whether nothing changes with time but by chance; a trace has trends of its own."""
    return (
        all(spec.arrivals.steady for spec in scenario.traffic.values())
        and not any(spec.latency.has_trend for spec in scenario.deployment_specs)
        and not any(event.at_s < scenario.horizon_s for event in scenario.schedule)
        and not any(
            episode.start_s < scenario.horizon_s
            for component in scenario.all_components.values()
            for fault in component.faults
            for episode in fault.schedule
        )
    )
