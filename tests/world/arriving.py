"""Arrivals of a process, on absolute time, with their numbers."""

from __future__ import annotations

import numpy as np
from simulation.scenarios import scenario, traffic

from simsla.world.streams import BLOCK
from simsla.world.traffic import ClassTraffic, since_monday_s


def spec_of(arrivals, **others):
    """The request class with these arrivals, whose name is `chat`."""
    return scenario(None, {"chat": traffic(arrivals=arrivals)}, **others).traffic["chat"]


def arriving(arrivals, begin_s, end_s, *, replication=0, seed=1, start=None):
    """The moments of arrivals and the numbers of their requests."""
    others = {} if start is None else {"start": start}
    world = scenario(None, {"chat": traffic(arrivals=arrivals)}, **others)
    week_s = since_monday_s(world.start)
    source = ClassTraffic(world.traffic["chat"], seed, replication, 1, week_s)
    moments, numbers = [np.empty(0)], [np.empty(0, dtype=np.int64)]
    # Without the traits of the requests, which take longer to draw than when they come.
    for cell in source._arrivals.cells(begin_s, end_s):
        moments.append(cell.times_s[cell.inside] + begin_s)
        numbers.append(cell.block * BLOCK + cell.inside)
    return np.concatenate(moments), np.concatenate(numbers)


def counts(moments, window_s, windows):
    """How many arrived in each of so many windows from 0 on."""
    return np.bincount((moments // window_s).astype(int), minlength=windows)[:windows]
