"""Which scheduled episodes last together, and for what share of the measured time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simsla.analysis.closed_forms.fault_shares import flapping_share
from simsla.analysis.closed_forms.levels import ALWAYS, Levels
from simsla.world.episodes import FloatArray, episodes_of, repaired

if TYPE_CHECKING:
    from simsla.scenario import Fault, Scenario

__all__ = ["Planned", "Span", "planned_faults", "repairs_of", "spans"]

Span = dict[int, tuple[float, ...]]
"""The faults of which episodes last, by their places, and the episodes' severities."""


class Planned(NamedTuple):
    """A fault at appointed times, and the component that has it."""

    component: str
    fault: Fault

    def levels(self, severities: tuple[float, ...]) -> Levels:
        """What its episodes of these severities leave while they last."""
        found = ALWAYS
        for severity in severities:
            found = found.and_also(Levels.hit(severity, flapping_share(self.fault)))
        return found


def planned_faults(scenario: Scenario) -> list[Planned]:
    """All that make attempts fail: those of components and those of the schedule.

    Releases that are rolled back are not among them: nobody knows when they end.
    """
    found = [
        Planned(name, fault)
        for name, component in scenario.all_components.items()
        for fault in component.faults
        if fault.schedule and fault.rollback is None
    ]
    events = [(event.component, event.fault) for event in scenario.schedule]
    found += [Planned(name, fault) for name, fault in events if fault is not None]
    return [each for each in found if each.fault.kind != "slowdown"]


def repairs_of(component: str, scenario: Scenario) -> FloatArray:
    """The times at which somebody repairs a component, in order."""
    return np.array(
        sorted(e.at_s for e in scenario.schedule if e.verb == "repair" and e.component == component)
    )


def spans(planned: list[Planned], scenario: Scenario) -> list[tuple[Span, float]]:
    """What lasts together, each once, and for what share of the time from the warm-up to the horizon."""
    start_s, end_s = scenario.warmup_s, scenario.horizon_s
    edges: list[tuple[float, bool, int, float]] = []
    for i, (component, fault) in enumerate(planned):
        # Nothing of it is drawn, so its streams do not matter.
        whole = episodes_of(fault, (0, 0, component, fault.kind, ""), end_s)
        whole = repaired(whole, repairs_of(component, scenario))
        for begin, end, severity in zip(*(c.tolist() for c in whole[1:]), strict=True):
            begin, end = max(begin, start_s), min(end, end_s)
            if begin < end:
                edges += [(begin, True, i, severity), (end, False, i, severity)]
    lasting: list[tuple[int, float]] = []
    found: dict[tuple[tuple[int, float], ...], float] = {}
    before = start_s
    for at, begins, i, severity in [*sorted(edges), (end_s, True, -1, 0.0)]:
        if at > before:
            key = tuple(sorted(lasting))
            found[key] = found.get(key, 0.0) + at - before
            before = at
        if begins:
            lasting.append((i, severity))
        else:
            lasting.remove((i, severity))
    return [(by_fault(key), lasted / (end_s - start_s)) for key, lasted in found.items()]


def by_fault(lasting: tuple[tuple[int, float], ...]) -> Span:
    found: Span = {}
    for i, severity in lasting:
        found[i] = (*found.get(i, ()), severity)
    return found
