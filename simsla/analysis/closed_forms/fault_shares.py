"""For what share of time, and whom, a fault strikes whose times are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.analysis.closed_forms.covered import covered_share
from simsla.analysis.closed_forms.levels import ALWAYS, Levels
from simsla.analysis.closed_forms.renewal import steady_availability
from simsla.analysis.closed_forms.repairmen import machine_repair
from simsla.distributions import Constant, Exponential, Mixture

if TYPE_CHECKING:
    from simsla.scenario import Component, Episode, Fault, Scenario
    from simsla.world.episodes import FloatArray

__all__ = ["crew_shares", "drawn_share", "flapping_share", "for_whom", "rollback_levels"]

POINTS: Final = 2000


def drawn_share(fault: Fault) -> float:
    """The share of time within an episode of a fault with a process, somebody being free to repair it."""
    between, lasts, bad = fault.between, fault.lasts, 1.0
    assert between is not None
    assert lasts is not None
    if fault.rollback is not None:
        bad = fault.rollback.bad
    if fault.gap is None:
        # A good release takes its time as well.
        return bad * (1 - float(steady_availability(between.mean(), lasts.mean())))
    if bad < 1:
        lasts = Mixture(((1 - bad, Constant(0.0)), (bad, lasts)))
    return covered_share(between, lasts)


def flapping_share(fault: Fault) -> float:
    """The share of an episode for which it strikes, in the long run: down / (down + up)."""
    if fault.flapping is None:
        return 1.0
    down, up = fault.flapping.down.mean(), fault.flapping.up.mean()
    return down / (down + up)


def for_whom(fault: Fault, request_class: str, region: str | None) -> float:
    """The share of a class's requests from a region that a fault can hit."""
    only = fault.only
    if only is None:
        return 1.0
    if only.classes and request_class not in only.classes:
        return 0.0
    if only.regions and region not in only.regions:
        return 0.0
    return only.clients


def rollback_levels(fault: Fault, repairs_s: FloatArray, start_s: float, end_s: float) -> Levels:
    """What bad releases of a schedule leave, for their expected shares of [start_s, end_s).

    One lasts until somebody has noticed, the next release of its window or a repair of the component. Shares
    of releases of one severity are added, as if they never overlapped.
    """
    rollback = fault.rollback
    assert rollback is not None
    noticed = rollback.noticed.inverse((np.arange(POINTS) + 0.5) / POINTS)
    shares: dict[float, float] = {}
    for episode in fault.schedule:
        bad_s = rollback.bad * unnoticed_s(episode, noticed, repairs_s, start_s, end_s)
        shares[episode.severity] = shares.get(episode.severity, 0.0) + bad_s / (end_s - start_s)
    found = ALWAYS
    for severity, share in shares.items():
        found = found.and_also(Levels.hit(severity, min(share * flapping_share(fault), 1.0)))
    return found


def unnoticed_s(
    episode: Episode, noticed_s: FloatArray, repairs_s: FloatArray, start_s: float, end_s: float
) -> float:
    every_s = np.inf if episode.every_s is None else episode.every_s
    times = 1 if episode.every_s is None else max(0, int(np.ceil((end_s - episode.start_s) / every_s)))
    total_s = 0.0
    for at in episode.start_s + np.arange(times) * (episode.every_s or 0.0):
        last = min(at + every_s, end_s, *repairs_s[repairs_s > at][:1].tolist())
        first = max(at, start_s)
        if last > first:
            total_s += float(np.clip(noticed_s, first - at, last - at).mean()) - (first - at)
    return total_s


def crew_shares(scenario: Scenario) -> dict[str, float]:
    """The share of time that each fault of a crew is down, by crew, where the machine-repair model gives it.

    That is where times up and repairs are exponential and the same for all faults that the crew repairs.
    """
    found = {}
    for crew, size in scenario.crews.items():
        laws = {law(fault) for fault in repaired_by(crew, scenario.all_components)}
        machines = len(repaired_by(crew, scenario.all_components))
        only = next(iter(laws)) if len(laws) == 1 else None
        if only is not None:
            down = machine_repair(machines, size, only[1] / only[0])
            found[crew] = float(down @ np.arange(machines + 1)) / machines
    return found


def repaired_by(crew: str, components: dict[str, Component]) -> list[Fault]:
    mine = [component for component in components.values() if component.crew == crew]
    return [fault for component in mine for fault in component.faults if fault.repair is not None]


def law(fault: Fault) -> tuple[float, float] | None:
    """The mean time up and the mean repair, where both are exponential."""
    up, repair = fault.uptime, fault.repair
    if isinstance(up, Exponential) and isinstance(repair, Exponential):
        return up.mean(), repair.mean()
    return None
