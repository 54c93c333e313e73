"""The law of the environment: how much of all time it spends in each state.

It is an input, not something the simulation has to find out, and drawing faults costs next to nothing: a
draw of many thousand episodes, without a single request, gives the shares of time that a study of a few
days cannot observe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.analysis.states import QUIET, fault_intervals, state_path
from simsla.world.environment import Environment
from simsla.world.faults import draw_environment

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["EnvironmentLaw", "drawn_faults", "environment_law", "episodes_per_s"]

BATCHES: Final = 50
EPISODES: Final = 20_000
"""Episodes wanted of the rarest fault; the others, being more frequent, have more."""
MOST_EPISODES: Final = 1_000_000
"""Episodes of all faults at which a draw ends, short of the rarest if need be: intervals allow for that."""
APART: Final = -1
"""The replication number of the draw: none that a run uses."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EnvironmentLaw:
    """Long-run shares of time by state, as found in one long draw.

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
    def from_environment(cls, environment: Environment, start_s: float, end_s: float) -> EnvironmentLaw:
        """The law as found between two times of a long environment (tens of thousands of episodes)."""
        faults = fault_intervals(environment, start_s, end_s)
        path = state_path(faults, start_s, end_s)
        states, first, index = np.unique(
            np.concatenate(([QUIET], path.state)), return_index=True, return_inverse=True
        )
        index = index[1:]
        edges = np.linspace(start_s, end_s, BATCHES + 1)
        cuts = np.union1d(path.start_s, edges[:-1])
        batch = np.searchsorted(edges[1:-1], cuts, side="right")
        cell = batch * len(states) + index[path.at(cuts)]
        seconds = group_sums(cell, np.diff(cuts, append=end_s), BATCHES * len(states))
        batch_shares = seconds.reshape(BATCHES, -1) / (edges[1] - edges[0])
        middles = ((path.start_s + path.end_s) / 2)[first[1:] - 1]
        active = [(fault.component, fault.active(middles)) for fault in faults]
        names = [
            " and ".join(sorted({component for component, is_on in active if is_on[i]}))
            for i in range(len(middles))
        ]
        return cls(
            states=states,
            shares=batch_shares.mean(axis=0),
            visits_per_s=np.bincount(index, minlength=len(states)) / (end_s - start_s),
            batch_shares=batch_shares,
            names=("quiet", *names),
        )


def cycles_s(scenario: Scenario) -> list[float]:
    """The mean seconds from one episode to the next, of each fault that is drawn."""
    return [
        between.mean() + (fault.lasts.mean() if fault.gap is None and fault.lasts else 0.0)
        for component in scenario.all_components.values()
        for fault in component.faults
        if (between := fault.between) is not None
    ]


def episodes_per_s(scenario: Scenario) -> float:
    """How many episodes of all drawn faults begin a second; 0 where none is drawn."""
    return sum(1 / cycle for cycle in cycles_s(scenario))


def environment_law(scenario: Scenario, seed: int) -> EnvironmentLaw:
    """The law of a scenario's drawn faults; without any, the quiet state has all the time."""
    cycles = cycles_s(scenario)
    if not cycles:
        return EnvironmentLaw.from_environment(Environment.of((), ()), 0.0, 1.0)
    until_s = min(EPISODES * max(cycles), MOST_EPISODES / episodes_per_s(scenario))
    environment = draw_environment(scenario, seed, APART, until_s, planned=False)
    return EnvironmentLaw.from_environment(environment, 0.0, until_s)


def drawn_faults(environment: Environment) -> Environment:
    """The episodes of an environment that chance brought: those that the scenario schedules left out.

    Scheduled ones are the same in every replication, as the shape of the traffic is, and have no law.
    """
    return environment.select(~environment.planned())
