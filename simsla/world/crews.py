"""Repair crews: faults whose repair must wait until somebody is free to see to it.

The machine-repair model: what fails is repaired in the order of failing, by as many at a time as the crew
has. Its faults are no longer independent, so they are played through together, before everything else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from simsla.world.episodes import CYCLES_BEFORE_START, Address, Episodes, united
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import Fault

# So many draws of one fault are made at once.
_AT_ONCE: Final = 1024


class Repairable(NamedTuple):
    """A drawn fault, by the names of its streams, and the crew that sees to it."""

    fault: Fault
    address: Address
    crew: str


def waited_for(
    faults: Sequence[Repairable], crews: Mapping[str, int], until_s: float
) -> dict[Address, Episodes]:
    """The episodes of all faults that crews (name to size) see to, waiting for a repair included.

    A longer `until_s` only appends episodes.
    """
    found: dict[Address, Episodes] = {}
    for name, size in crews.items():
        mine = [repairable for repairable in faults if repairable.crew == name]
        if mine:
            found |= _played(mine, size, until_s)
    return found


def _played(faults: Sequence[Repairable], size: int, until_s: float) -> dict[Address, Episodes]:
    """Failures in the order of time; each is begun with when the first of the crew is free."""
    before_s = CYCLES_BEFORE_START * max(_cycle_s(repairable.fault) for repairable in faults)
    waits = [_draws(r.fault.between, r.address, "between") for r in faults]
    repairs = [_draws(r.fault.lasts, r.address, "repair") for r in faults]
    phases = [float(Stream(*r.address, "phase").uniforms(1)[0]) * _cycle_s(r.fault) for r in faults]
    failing = [(-before_s - phases[i] + next(waits[i]), i) for i in range(len(faults))]
    heapq.heapify(failing)
    free_s = [-np.inf] * size
    starts: list[list[float]] = [[] for _ in faults]
    ends: list[list[float]] = [[] for _ in faults]
    while failing[0][0] < until_s:
        at, i = failing[0]
        end_s = max(at, free_s[0]) + next(repairs[i])
        heapq.heapreplace(free_s, end_s)
        starts[i].append(at)
        ends[i].append(end_s)
        again = (end_s if faults[i].fault.gap is None else at) + next(waits[i])
        heapq.heapreplace(failing, (again, i))
    found = {}
    for i, repairable in enumerate(faults):
        start_s, end = united(np.array(starts[i]), np.array(ends[i]))
        severity = np.full(len(start_s), repairable.fault.severity)
        episodes = Episodes(np.arange(len(start_s)), start_s, end, severity)
        found[repairable.address] = episodes.select(end > 0)
    return found


def _cycle_s(fault: Fault) -> float:
    assert fault.between is not None
    assert fault.lasts is not None
    return fault.between.mean() + fault.lasts.mean()


def _draws(distribution: Distribution | None, address: Address, purpose: str) -> Iterator[float]:
    assert distribution is not None
    generator = Stream(*address, purpose).generator()
    while True:
        yield from distribution.ppf(generator.random(_AT_ONCE)).tolist()
