"""Whether faults last longer than the time that is measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.warnings import LongRepairWarning
from simsla.scenario.quantities import format_duration

if TYPE_CHECKING:
    from simsla.scenario import Fault, Scenario
    from simsla.scenario.schedule import Event

__all__ = ["long_repairs", "share_in_longer"]

NOTABLE: Final = 0.1
"""The share of a fault's time that repairs longer than the measured time may have."""
GRID: Final = (np.arange(20_000) + 0.5) / 20_000


Floats = npt.NDArray[np.float64]


def long_repairs(scenario: Scenario) -> LongRepairWarning | None:
    """The warning that repairs outlast the measured time, if some do: by the scenario's numbers."""
    told = [
        f"{name} ({fault.kind}: {what})"
        for name, component in scenario.all_components.items()
        for fault in component.faults
        if (what := too_long(fault, scenario))
    ]
    told += [
        f"{event.component} (scheduled at {format_duration(event.at_s)})"
        for event in scenario.schedule
        if event.at_s < scenario.horizon_s and outlasts(event, scenario)
    ]
    if not told:
        return None
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    measured = format_duration(scenario.horizon_s - scenario.warmup_s)
    return LongRepairWarning(
        f"Faults outlast the measured time of {measured}: {', '.join(told[:3])}{more}. What follows a repair "
        "is hardly seen, and a replication meets such a fault throughout or not at all: make the horizon "
        "longer."
    )


def too_long(fault: Fault, scenario: Scenario) -> str:
    """What is too long about a fault, in words; nothing if it is not."""
    for episode in fault.schedule:
        end_s = episode.start_s + (episode.duration_s or 0.0)
        if episode.start_s < scenario.horizon_s < end_s:
            return f"scheduled until {format_duration(end_s)}"
    if fault.lasts is None:
        return ""
    share = share_in_longer(fault.lasts.ppf(GRID), scenario.horizon_s - scenario.warmup_s)
    if share <= NOTABLE:
        return ""
    return (
        f"{format_duration(fault.lasts.mean())} on average, {share:.0%} of the time at fault in longer ones"
    )


def outlasts(event: Event, scenario: Scenario) -> bool:
    """Whether what the event begins is not over by the horizon: it ends by itself, or at a repair."""
    if event.verb == "repair":
        return False
    ends = [
        later.at_s
        for later in scenario.schedule
        if later.repair == event.component and later.at_s > event.at_s
    ]
    if event.for_s is not None:
        ends.append(event.at_s + event.for_s)
    return min(ends, default=math.inf) > scenario.horizon_s


def share_in_longer(repair_s: Floats, limit_s: float) -> float:
    """The share of the time at fault that belongs to repairs longer than a limit."""
    return float(repair_s[repair_s > limit_s].sum() / repair_s.sum())
