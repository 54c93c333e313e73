"""A replayed trace: a request's number is its row, counted through the rounds of a loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simsla.world.arrivals.cells import Cell
from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.scenario.arrivals_trace import TraceArrivals

__all__ = ["Replay"]


class Replay:
    """The rows of a trace that belong to a class. A round is as many blocks as its rows fill."""

    def __init__(self, spec: TraceArrivals, assignment: Stream) -> None:
        """`assignment` draws to which class a row belongs, and is the same for all classes."""
        self._spec = spec
        self._assignment = assignment
        self._low = spec.share[0]
        self._high = spec.share[0] + (spec.share[1] - spec.share[0]) * spec.thin

    def cells(self, begin_s: float, end_s: float) -> Iterator[Cell]:
        """The blocks with arrivals in [begin_s, end_s) of absolute time, in order."""
        spec = self._spec
        arrival_s = spec.load().arrival_s / spec.rate_factor
        blocks = math.ceil(len(arrival_s) / BLOCK)
        if spec.loop:
            period_s = spec.period_s()
            rounds = range(math.floor(begin_s / period_s), math.ceil(end_s / period_s))
        else:
            period_s, rounds = 0.0, range(1)
        for number in rounds:
            # The round's own start is subtracted first, so that late windows lose no precision.
            since_s = number * period_s - begin_s
            first, last = np.searchsorted(arrival_s, (-since_s, end_s - begin_s - since_s))
            for block in range(first // BLOCK, math.ceil(last / BLOCK)):
                index = number * blocks + block
                times = since_s + arrival_s[block * BLOCK : (block + 1) * BLOCK]
                u = self._assignment.uniforms(BLOCK, index)[: len(times)]
                mine = (u >= self._low) & (u < self._high)
                inside = np.flatnonzero(mine & (times >= 0) & (times < end_s - begin_s))
                if len(inside):
                    yield Cell(index, times, inside)
