"""The states of the environment: which faults are active together, from when to when.

A state is the set of active (component, kind, severity, error, manner). It is named by a 64-bit sum of stable
hashes, so states compare across replications, processes and a separate long draw; the quiet state is 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.world.environment import ORDINARY

if TYPE_CHECKING:
    from simsla.world.environment import Environment

__all__ = ["QUIET", "FaultIntervals", "StatePath", "fault_intervals", "state_path"]

QUIET: Final = np.uint64(0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StatePath:
    """Consecutive visits to states. A spell is a stretch without quiet time between: -1 while quiet."""

    start_s: Floats
    end_s: Floats
    state: npt.NDArray[np.uint64]
    spell: npt.NDArray[np.int64]

    @property
    def seconds(self) -> Floats:
        """The length of each visit."""
        return self.end_s - self.start_s

    def at(self, time_s: Floats) -> npt.NDArray[np.int64]:
        """The index of the visit that each time falls into."""
        return np.searchsorted(self.end_s[:-1], time_s, side="right")


@dataclass(frozen=True, slots=True)
class FaultIntervals:
    """The united intervals in which one component has one kind of fault, at one severity."""

    component: str
    key: np.uint64
    start_s: Floats
    end_s: Floats

    def active(self, time_s: Floats) -> npt.NDArray[np.bool_]:
        """Whether the fault is active, at each time."""
        # Opened before, and not yet closed.
        opened = np.searchsorted(self.start_s, time_s, side="right")
        return opened > np.searchsorted(self.end_s, time_s, side="right")


def fault_intervals(environment: Environment, start_s: float, end_s: float) -> list[FaultIntervals]:
    """The distinct faults active within [start_s, end_s), their episodes clipped to it and united."""
    starts = np.maximum(environment.start_s, start_s)
    ends = np.minimum(environment.end_s, end_s)
    order = np.flatnonzero(ends > starts)
    order = order[np.lexsort((starts[order], *(c[order] for c in identity(environment))))]
    if len(order) == 0:
        return []
    columns = [c[order] for c in identity(environment)]
    changes = np.any([c[1:] != c[:-1] for c in columns], axis=0)
    faults = []
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        row = rows[0]
        name = environment.components[int(environment.component[row])]
        what = (int(environment.kind[row]), float(environment.severity[row]), int(environment.error[row]))
        text = f"{name}\0{what!r}"
        manner = environment.manners[int(environment.manner_codes()[row])]
        if manner != ORDINARY:
            text += f"\0{manner!r}"
        key = np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))
        faults.append(FaultIntervals(name, key, *united(starts[rows], ends[rows])))
    return faults


def identity(environment: Environment) -> tuple[npt.NDArray[np.generic], ...]:
    codes = environment.manner_codes()
    return codes, environment.error, environment.severity, environment.kind, environment.component


def united(starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Intervals, ordered by start, with those that overlap or touch made one."""
    reach = np.maximum.accumulate(ends)
    opens = np.concatenate(([True], starts[1:] > reach[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return starts[opens], reach[closes]


def state_path(faults: list[FaultIntervals], start_s: float, end_s: float) -> StatePath:
    """The visits to states within [start_s, end_s), from first to last."""
    opening = np.concatenate([np.zeros(0), *(f.start_s for f in faults)])
    closing = np.concatenate([np.zeros(0), *(f.end_s for f in faults)])
    keys = np.repeat(np.array([f.key for f in faults], dtype=np.uint64), [len(f.start_s) for f in faults])
    times = np.concatenate((opening, closing))
    order = np.argsort(times, kind="stable")
    # Unsigned sums wrap around, so adding the complement takes a key out again.
    steps = np.concatenate((keys, np.uint64(0) - keys))[order]
    times = np.concatenate(([start_s], times[order], [end_s]))
    states = np.concatenate(([QUIET], np.cumsum(steps, dtype=np.uint64)))
    lasting = times[1:] > times[:-1]
    begins, states = times[:-1][lasting], states[lasting]
    changed = np.concatenate(([True], states[1:] != states[:-1]))
    begins, states = begins[changed], states[changed]
    busy = states != QUIET
    risen = busy & np.concatenate(([True], ~busy[:-1]))
    return StatePath(
        start_s=begins,
        end_s=np.concatenate((begins[1:], [end_s])),
        state=states,
        spell=np.where(busy, np.cumsum(risen) - 1, -1),
    )
