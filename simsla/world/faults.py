"""Drawing the environment from the scenario's fault processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.world.environment import FAULT_KINDS, Environment
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import Scenario
    from simsla.scenario.components import Fault

FloatArray = npt.NDArray[np.float64]

# A renewal process starts this many mean cycles before time 0, at a random phase, so that the run meets it
# in its long-run state and not just after an episode.
_CYCLES_BEFORE_START: Final = 50

# A share of repairs beyond which longer ones are neglected at time 0.
_LONGEST_REPAIR: Final = 0.9999

# Fixed, because the rounding of a cumulative sum depends on where it begins: a longer run must meet the
# very same episodes first.
_EPISODES_PER_CHUNK: Final = 1024


def draw_environment(scenario: Scenario, seed: int, replication: int, until_s: float) -> Environment:
    """Every episode of every component that overlaps [0, until_s).

    Each fault has streams of its own, named by the component and the fault, so adding a component moves no
    other. A longer `until_s` only appends episodes.
    """
    components = tuple(scenario.all_components)
    parts: list[tuple[int, int, FloatArray, FloatArray, FloatArray, int]] = []
    for code, (name, component) in enumerate(scenario.all_components.items()):
        seen: dict[str, int] = {}
        for fault in component.faults:
            nth = seen[fault.kind] = seen.get(fault.kind, -1) + 1
            starts, ends, severities = _episodes(
                fault, (seed, replication, name, fault.kind, str(nth)), until_s
            )
            parts.append(
                (code, FAULT_KINDS.index(fault.kind), starts, ends, severities, int(fault.error or 0))
            )
    if not parts:
        return Environment.of((), components)
    lengths = [len(part[2]) for part in parts]
    start_s, end_s, severity = (np.concatenate([part[i] for part in parts]) for i in (2, 3, 4))
    component_code = np.repeat([part[0] for part in parts], lengths)
    kind = np.repeat([part[1] for part in parts], lengths)
    error = np.repeat([part[5] for part in parts], lengths)
    order = np.lexsort((end_s, kind, component_code, start_s))
    return Environment(
        component_code[order].astype(np.int32),
        kind[order].astype(np.int8),
        start_s[order],
        end_s[order],
        severity[order],
        error[order].astype(np.int16),
        components,
    )


def _episodes(
    fault: Fault, address: tuple[int, int, str, str, str], until_s: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Starts, ends and severities of one fault, those that overlap [0, until_s), in order."""
    if fault.schedule:
        planned = sorted(fault.schedule, key=lambda episode: episode.start_s)
        starts = np.array([episode.start_s for episode in planned])
        ends = starts + np.array([episode.duration_s for episode in planned])
        severities = np.array([episode.severity for episode in planned])
    else:
        starts, ends = _renewals(fault, address, until_s)
        severities = np.full(len(starts), fault.severity)
    keep = (ends > 0) & (starts < until_s)
    return np.maximum(starts[keep], 0.0), ends[keep], severities[keep]


def _renewals(
    fault: Fault, address: tuple[int, int, str, str, str], until_s: float
) -> tuple[FloatArray, FloatArray]:
    """The episodes of a renewal process in its long-run state.

    `gap` runs from start to start, and episodes that overlap are united; `uptime` from an end to the next
    start, so that they cannot.
    """
    assert fault.repair is not None
    between: Distribution | None = fault.gap if fault.gap is not None else fault.uptime
    assert between is not None
    alternating = fault.gap is None
    seed, replication, *names = address
    waits = Stream(seed, replication, *names, "between").generator()
    repairs = Stream(seed, replication, *names, "repair").generator()
    cycle_s = between.mean() + (fault.repair.mean() if alternating else 0.0)
    before_s = _CYCLES_BEFORE_START * cycle_s
    if not alternating:
        # Episodes may last many gaps: those that still last at time 0 must have had the time to begin.
        before_s = max(before_s, fault.repair.quantile(_LONGEST_REPAIR))
    at = -before_s - float(Stream(seed, replication, *names, "phase").uniforms(1)[0]) * cycle_s
    starts, ends = [], []
    while at < until_s:
        wait = between.ppf(waits.random(_EPISODES_PER_CHUNK))
        repair = fault.repair.ppf(repairs.random(_EPISODES_PER_CHUNK))
        if alternating:
            end = at + np.cumsum(wait + repair)
            start = end - repair
            at = float(end[-1])
        else:
            start = at + np.cumsum(wait)
            end = start + repair
            at = float(start[-1])
        starts.append(start)
        ends.append(end)
    start, end = np.concatenate(starts), np.concatenate(ends)
    return (start, end) if alternating else _united(start, end)


def _united(starts: FloatArray, ends: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intervals ordered by start, with those that overlap made one."""
    reach = np.maximum.accumulate(ends)
    first = np.concatenate(([True], starts[1:] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return starts[first], reach[last]
