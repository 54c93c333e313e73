"""What the independence formula takes for granted of the kinds of faults that a scenario has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsla.analysis.closed_forms.fault_shares import crew_shares, repaired_by
from simsla.analysis.closed_forms.planned_faults import planned_faults

if TYPE_CHECKING:
    from simsla.scenario import Fault, Scenario

__all__ = ["fault_notes"]

PLANNED = "requests are as many in planned episodes as at other times"
FLAPPING = "episodes are long beside their flaps, which strike for down / (down + up) of them"
CLIENTS = "grey faults hit their share of the clients, who are many"
ROLLBACK = "bad releases of a schedule strike at any time alike, for their mean share of it"
REPAIRS = "repairs at appointed times end no drawn episode"
WAITING = "faults that wait for one crew are down independently (machine repair)"
FREE = "repairs never wait for their crew, whose queue has no formula: mean repairs alone"


def fault_notes(scenario: Scenario) -> list[str]:
    """Each in words, those only that a fault of the scenario calls for."""
    components = scenario.all_components
    own = [fault for component in components.values() for fault in component.faults]
    faults = [*own, *(event.fault for event in scenario.schedule if event.fault is not None)]
    faults = [fault for fault in faults if fault.kind != "slowdown"]
    known = crew_shares(scenario)
    crews = {crew for crew in scenario.crews if repaired_by(crew, components)}
    mended = {event.component for event in scenario.schedule if event.verb == "repair"}
    notes = {
        PLANNED: planned_faults(scenario),
        FLAPPING: any(fault.flapping is not None for fault in faults),
        CLIENTS: any(fault.only is not None and fault.only.clients < 1 for fault in faults),
        ROLLBACK: any(fault.rollback is not None and fault.schedule for fault in faults),
        REPAIRS: any(is_drawn(fault) for name in mended for fault in components[name].faults),
        WAITING: crews & known.keys(),
        FREE: crews - known.keys(),
    }
    return [words for words, needed in notes.items() if needed]


def is_drawn(fault: Fault) -> bool:
    return not fault.schedule and fault.kind != "slowdown"
