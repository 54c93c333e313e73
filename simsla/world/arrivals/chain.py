"""A random chain of states that can be entered at any time, without drawing what came before.

Events come as a Poisson process in time, drawn cell by cell from the cells' own streams. At each the chain
moves, or stays, as a function of its state and of the event's uniform. Some events have the same outcome
whatever the state was: from the last of these before a moment on, the path to it is known. (Uniformization,
and a backward coupling in Doeblin's way; Propp and Wilson, "Exact sampling with coupled Markov chains",
Random Structures and Algorithms 9, 1996.) The path is stationary and the same from wherever it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from scipy import stats

from simsla.world.arrivals.cells import FloatArray, IntArray, range_of
from simsla.world.streams import Stream

__all__ = ["PhaseChain"]

_EVENTS_PER_CELL: Final = 64.0

# Addresses of streams are not negative, but the path to time 0 leads through the cells before it.
_BEFORE: Final = 1 << 40


class PhaseChain:
    """States of exponential duration with the given means, followed by any of the others, each as likely."""

    def __init__(self, means_s: Sequence[float], stream: Stream) -> None:
        states = len(means_s)
        leaving = 1 / np.array(means_s)
        # At the rate of all leavings together, two states are redrawn at each event, whatever they were.
        total = float(leaving.sum())
        moves = np.repeat((leaving / total / (states - 1))[:, None], states, axis=1)
        np.fill_diagonal(moves, 1 - leaving / total)
        # What an event does to all states alike, and what is left for each.
        common = moves.min(axis=0)
        self._common = 1.0 if states == 2 else float(common.sum())
        self._common_edges = np.cumsum(common / common.sum())[:-1]
        rest = moves - common
        mass = rest.sum(axis=1, keepdims=True)
        rest = np.divide(rest, mass, out=np.full_like(rest, 1 / states), where=mass > 0)
        self._rest_edges = np.cumsum(rest, axis=1)[:, :-1]
        self._cell_s = _EVENTS_PER_CELL / total
        self._stream = stream
        self._known: tuple[int, int] | None = None  # a cell, and the state in which it is entered

    def path(self, begin_s: float, end_s: float) -> tuple[FloatArray, IntArray]:
        """The moments of events in [begin_s, end_s), and the states before, between and after them."""
        cells = range_of(begin_s, end_s, self._cell_s)
        state = self._entered(cells.start)
        times, states = [], [state]
        for cell in cells:
            self._known = cell, state
            at, targets = self._events(cell)
            for target in targets.tolist():
                state = target[state]
                states.append(state)
            times.append(cell * self._cell_s + at)
        moments, visited = np.concatenate(times), np.array(states)
        first, last = np.searchsorted(moments, (begin_s, end_s))
        return moments[first:last], visited[first : last + 1]

    def _events(self, cell: int) -> tuple[FloatArray, IntArray]:
        """The events of a cell: when, from its start, and to which state each leads from each state."""
        generator = self._stream.generator(cell + _BEFORE)
        count = int(np.searchsorted(_poisson_table(), generator.random(), side="right"))
        at = np.sort(generator.random(count)) * self._cell_s
        u = generator.random((count, 2))
        targets = np.empty((count, len(self._rest_edges)), dtype=np.int64)
        alike = u[:, 0] < self._common
        targets[alike] = np.searchsorted(self._common_edges, u[alike, 1], side="right")[:, None]
        for state, edges in enumerate(self._rest_edges):
            targets[~alike, state] = np.searchsorted(edges, u[~alike, 1], side="right")
        return at, targets

    def _entered(self, cell: int) -> int:
        """The state in which a cell is entered: the last common event before it leads there."""
        later: list[list[int]] = []
        while True:
            if self._known is not None and self._known[0] == cell:
                state = self._known[1]
                break
            cell -= 1
            targets = self._events(cell)[1].tolist()
            common = [i for i, target in enumerate(targets) if min(target) == max(target)]
            if common:
                state = targets[common[-1]][0]
                later = targets[common[-1] + 1 :] + later
                break
            later = targets + later
        for target in later:
            state = target[state]
        return int(state)


@cache
def _poisson_table() -> FloatArray:
    """P(N <= k): the inverse of a uniform is a search in it; beyond its end lies less than 1e-18."""
    table: FloatArray = stats.poisson.cdf(np.arange(math.ceil(3 * _EVENTS_PER_CELL)), _EVENTS_PER_CELL)
    return table
