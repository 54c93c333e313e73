"""How available each component of a scenario is in the long run, and in which states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from simsla.analysis.closed_forms.covered import covered_share
from simsla.analysis.closed_forms.renewal import steady_availability

if TYPE_CHECKING:
    from simsla.scenario import Scenario
    from simsla.scenario.components import Component, Fault

__all__ = ["Levels", "component_levels", "own_success"]


@dataclass(frozen=True, slots=True)
class Levels:
    """The states of a component: the share of attempts that get through in each, and the share of time."""

    success: tuple[float, ...]
    share: tuple[float, ...]

    @property
    def availability(self) -> float:
        """The long-run share of attempts that get through."""
        return math.fsum(a * w for a, w in zip(self.success, self.share, strict=True))


def component_levels(scenario: Scenario) -> dict[str, Levels]:
    """The states of every component, regions included.

    A fault takes its severity for the share of time that its process covers, a scheduled one for its share of
    the measured time; slow answers are no failures. Faults of one component are independent.
    """
    return {name: levels_of(component, scenario) for name, component in scenario.all_components.items()}


def levels_of(component: Component, scenario: Scenario) -> Levels:
    found = {1.0: 1.0}
    for fault in component.faults:
        if fault.kind == "slowdown":
            continue
        states = fault_states(fault, scenario.warmup_s, scenario.horizon_s)
        combined: dict[float, float] = {}
        for success, share in found.items():
            for hit, weight in states.items():
                level = success * (1 - hit)
                combined[level] = combined.get(level, 0.0) + share * weight
        found = combined
    present = {level: share for level, share in found.items() if share > 0}
    return Levels(tuple(present), tuple(present.values()))


def fault_states(fault: Fault, start_s: float, end_s: float) -> dict[float, float]:
    """The share of attempts that a fault hits -> the share of time in which it does."""
    if fault.schedule:
        return scheduled(fault, start_s, end_s)
    assert fault.repair is not None
    if fault.uptime is not None:
        share = 1 - float(steady_availability(fault.uptime.mean(), fault.repair.mean()))
    else:
        assert fault.gap is not None
        share = covered_share(fault.gap, fault.repair)
    return {0.0: 1 - share, fault.severity: share}


def scheduled(fault: Fault, start_s: float, end_s: float) -> dict[float, float]:
    planned = [(e.start_s, e.start_s + e.duration_s, e.severity) for e in fault.schedule]
    edges = {start_s, end_s, *(t for a, b, _ in planned for t in (a, b) if start_s < t < end_s)}
    times = sorted(edges)
    states: dict[float, float] = {}
    for begin, end in pairwise(times):
        through = math.prod(1 - severity for a, b, severity in planned if a <= begin and end <= b)
        states[1 - through] = states.get(1 - through, 0.0) + (end - begin) / (end_s - start_s)
    return states


def own_success(errors: Mapping[str, float]) -> float:
    """The share of attempts that a deployment's own errors leave.

    Refused and hung connections are independent of one another and of what is answered; the answers exclude
    one another.
    """
    answers = math.fsum(share for kind, share in errors.items() if kind not in ("connect", "hang"))
    return (1 - errors.get("connect", 0.0)) * (1 - errors.get("hang", 0.0)) * (1 - answers)
