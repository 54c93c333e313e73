"""The law of the environment: how much of all time it spends in each state.

It is an input, not something the simulation has to find out, and drawing faults costs next to nothing: a
draw of many thousand episodes, without a single request, gives the shares of time that a study of a few
days cannot observe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.states import QUIET, Episodes, fault_intervals, state_path

__all__ = ["EnvironmentLaw"]

BATCHES: Final = 50

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EnvironmentLaw:
    """Long-run shares of time by state, as found in one long draw of the drawn faults.

    `states` are ordered and the first is the quiet one. `visits_per_s` is how often a state is entered.
    `batch_shares` are the shares in successive equal parts of the draw; their spread is its error.
    `names` lists the components at fault.
    """

    states: npt.NDArray[np.uint64]
    shares: Floats
    visits_per_s: Floats
    batch_shares: Floats
    names: tuple[str, ...]

    @classmethod
    def from_episodes(cls, episodes: Episodes, start_s: float, end_s: float) -> EnvironmentLaw:
        """The law as found between two times of a long draw (tens of thousands of episodes)."""
        faults = fault_intervals(episodes, start_s, end_s)
        path = state_path(faults, start_s, end_s)
        states, first, index = np.unique(
            np.concatenate(([QUIET], path.state)), return_index=True, return_inverse=True
        )
        index = index[1:]
        edges = np.linspace(start_s, end_s, BATCHES + 1)
        cuts = np.union1d(path.start_s, edges[:-1])
        batch = np.searchsorted(edges[1:-1], cuts, side="right")
        cell = batch * len(states) + index[path.at(cuts)]
        seconds = np.bincount(cell, np.diff(cuts, append=end_s), BATCHES * len(states))
        batch_shares = seconds.reshape(BATCHES, -1) / (edges[1] - edges[0])
        middles = (path.start_s + path.end_s) / 2
        names = ["quiet"]
        for row in first[1:] - 1:
            active = sorted({fault.component for fault in faults if fault.active(float(middles[row]))})
            names.append(" and ".join(active))
        return cls(
            states=states,
            shares=batch_shares.mean(axis=0),
            visits_per_s=np.bincount(index, minlength=len(states)) / (end_s - start_s),
            batch_shares=batch_shares,
            names=tuple(names),
        )
