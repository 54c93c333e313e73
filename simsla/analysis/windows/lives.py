"""Lives: long stretches of the environment, drawn without a request, and their cutting into units.

A life is a replication of the environment over years. Its visits to states (see `states`) are cut into units,
so that each second belongs to exactly one of them: the *head* of a visit is its first `memory_s` seconds, in
which the router may still remember what was before; the rest is its *interior*, in which only the present
state counts. The interior of the quiet state is the quiet stratum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from simsla.analysis.states import QUIET, fault_intervals, state_path
from simsla.world.environment import Environment
from simsla.world.faults import draw_environment

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["ROOM", "Life", "States", "draw_life"]

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

ROOM: Final = 8
"""Memories before the measured time: no warm-up is longer, not even a doubled one."""

T = TypeVar("T", bound=np.generic)

MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd constant (2^64 / the golden ratio), that scrambles hashes before they are added."""


@dataclass(slots=True)
class States:
    """What is known of the states met so far: the components at fault in each, one name for each fault."""

    faults: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def name(self, state: int) -> str:
        """The components at fault, or quiet."""
        return " and ".join(sorted(set(self.faults[state]))) or "quiet"

    def level(self, state: int) -> int:
        """How many faults are active."""
        return len(self.faults[state])


@dataclass(frozen=True, slots=True)
class Life:
    """One drawn path within [start_s, end_s), in units: columns, ordered by time.

    `key` names what a unit has in common with others: its state, whether it is a head, and, of a head, the
    states met within the router's memory before it. `before` is the largest number of faults among those.
    `trouble_s` is when it began: the first fault since the last memory's length of quiet; nan in one.
    `reach_s` is the running maximum of the ends of episodes, by which a window finds what it overlaps.
    """

    number: int
    start_s: float
    end_s: float
    environment: Environment
    reach_s: Floats
    unit_start_s: Floats
    unit_end_s: Floats
    state: Hashes
    is_head: npt.NDArray[np.bool_]
    key: Hashes
    before: npt.NDArray[np.int64]
    trouble_s: Floats

    def slice(self, begin_s: float, end_s: float) -> Environment:
        """The episodes that overlap an interval of time, found without a look at all the others."""
        low = int(np.searchsorted(self.reach_s, begin_s, side="right"))
        high = int(np.searchsorted(self.environment.start_s, end_s))
        rows = np.arange(low, max(low, high))
        return self.environment.select(rows[self.environment.end_s[rows] > begin_s])


def draw_life(
    scenario: Scenario, seed: int, number: int, seconds: float, memory_s: float, states: States
) -> Life:
    """A life of so many measured seconds; `states` learns what is new.

    Time begins at 0, and what is measured some memories later, so that every window has room for a warm-up.
    """
    start_s = ROOM * memory_s
    end_s = start_s + seconds
    longest_s = max(spec.longest_s for spec in scenario.traffic.values())
    drawn = draw_environment(scenario, seed, number, end_s + longest_s + memory_s, planned=False)
    faults = fault_intervals(drawn, 0.0, end_s)
    path = state_path(faults, 0.0, end_s)
    found, first = np.unique(path.state, return_index=True)
    middles = (path.start_s[first] + path.end_s[first]) / 2
    active = [fault.active(middles) for fault in faults]
    for i, state in enumerate(found.tolist()):
        if state not in states.faults:
            states.faults[state] = tuple(
                fault.component for fault, on in zip(faults, active, strict=True) if on[i]
            )
    levels = np.array([states.level(state) for state in found.tolist()])
    level = levels[np.searchsorted(found, path.state)]
    history, before = _history(path.start_s, path.state, level, memory_s)
    mixed = _mixed(path.state)
    quiet = path.state == QUIET
    opens = ~quiet & np.concatenate(([True], (quiet & (path.seconds >= memory_s))[:-1]))
    trouble_s = np.maximum.accumulate(np.where(opens, path.start_s, -np.inf))
    trouble_s[np.isinf(trouble_s)] = np.nan
    edges = np.minimum(path.start_s + memory_s, path.end_s)
    visits = len(path.state)
    order = np.arange(2 * visits).reshape(2, visits).T.ravel()  # head, interior, head, interior, ...

    def both(heads: npt.NDArray[T], interiors: npt.NDArray[T]) -> npt.NDArray[T]:
        return np.concatenate((heads, interiors))[order]

    starts = np.clip(both(path.start_s, edges), start_s, end_s)
    ends = np.clip(both(edges, path.end_s), start_s, end_s)
    keep = np.flatnonzero(ends > starts)
    heads = mixed * np.uint64(3) + history
    return Life(
        number=number,
        start_s=start_s,
        end_s=end_s,
        environment=drawn,
        reach_s=np.maximum.accumulate(drawn.end_s) if len(drawn) else drawn.end_s,
        unit_start_s=starts[keep],
        unit_end_s=ends[keep],
        state=both(path.state, path.state)[keep],
        is_head=both(np.ones(visits, bool), np.zeros(visits, bool))[keep],
        key=both(heads, mixed)[keep],
        before=both(before, level)[keep],
        trouble_s=both(trouble_s, np.where(quiet, np.nan, trouble_s))[keep],
    )


def _mixed(state: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        scrambled = (state + np.uint64(1)) * MIX
    return scrambled ^ (scrambled >> np.uint64(29))


def _history(
    start_s: Floats, state: Hashes, level: npt.NDArray[np.int64], memory_s: float
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of the set of states met within the memory before each visit, and the most faults in one."""
    history = np.zeros(len(state), dtype=np.uint64)
    before = np.zeros(len(state), dtype=np.int64)
    mixed = _mixed(state)
    rows, back = np.arange(1, len(state)), 1
    while len(rows):
        met = state[rows - back]
        new = np.ones(len(rows), dtype=bool)
        for nearer in range(1, back):
            new &= state[rows - nearer] != met
        history[rows] += np.where(new, mixed[rows - back], np.uint64(0))
        before[rows] = np.maximum(before[rows], level[rows - back])
        # The visit before that one is remembered if this one began within the memory.
        rows = rows[(start_s[rows - back] > start_s[rows] - memory_s) & (rows - back >= 1)]
        back += 1
    return history, before
