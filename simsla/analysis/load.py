"""Whether what is offered exceeds what can be served."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.drift import significant
from simsla.analysis.grouping import group_sums
from simsla.analysis.offered import bottlenecks, capacity
from simsla.analysis.warnings import UnstableQueueWarning, first_few
from simsla.records import ATTEMPT_OUTCOMES

if TYPE_CHECKING:
    from simsla.analysis.summary import ReplicationSummary
    from simsla.scenario import Scenario

__all__ = ["SlotTotals", "overload", "slot_totals"]

SIGNIFICANCE: Final = 0.02
"""One per cent to each side: a load that is only just below capacity is not far from a warning either."""

TURNED_AWAY: Final = [
    ATTEMPT_OUTCOMES.index(name) for name in ("connect", "rate_limited", "bad_request", "context_length")
]
BROKEN_OFF: Final = [ATTEMPT_OUTCOMES.index(name) for name in ("timeout", "cancelled")]

Floats = npt.NDArray[np.float64]


def overload(scenario: Scenario, summaries: Sequence[ReplicationSummary]) -> UnstableQueueWarning | None:
    """The warning that more is offered than can be served, if it is: by the scenario's numbers or the log's.

    The log is asked for each deployment, so that retries, and a router that prefers one, are counted.
    """
    cached = any(s.requests.cache_hits[:, 1:].any() for s in summaries)
    consequence = (
        "Waiting grows until deadlines, patience or a full queue end it, and averages depend on the horizon."
    )
    if not cached and (declared := list(bottlenecks(scenario))):
        return UnstableQueueWarning(f"Offered load exceeds capacity: {'; '.join(declared)}. {consequence}")
    # What is stretched by load holds its slot longer than it needs it.
    limits = np.array([math.inf if spec.service else capacity(spec) for spec in scenario.deployment_specs])
    loads = np.stack([s.needed_slots for s in summaries]) / limits
    names = [
        f"{name} {load:.3g} x its {slots:g} slots"
        for name, load, slots, each in zip(
            scenario.deployments, loads.mean(axis=0), limits, loads.T, strict=True
        )
        if significant(each - 1, SIGNIFICANCE) > 0
    ]
    if not names:
        return None
    return UnstableQueueWarning(
        f"Offered load exceeds capacity: {first_few(names)} were needed, by the attempts that "
        f"were made. {consequence}"
    )


class SlotTotals(NamedTuple):
    """Sums over attempts, by deployment: what `needed` is made of."""

    held_s: Floats
    """Seconds for which slots were held."""
    ended: Floats
    """Attempts that ended by themselves, once they were served."""
    squeezed_s: Floats
    """Of `held_s`, those of attempts that had to wait and were broken off."""
    squeezed: Floats
    """How many these are."""

    def needed(self, seconds: float) -> Floats:
        """The slots that attempts needed on average in so many seconds, by deployment.

        An attempt needs its slot for as long as it held it. One that had to wait and was broken off, in the
        queue or later, would have needed it for as long as slots are held per attempt that ended by itself:
        the estimate from censored times of an exponential law. What is turned away needs none.
        """
        whole_s = self.held_s / np.maximum(self.ended, 1)
        needed_s: Floats = self.held_s - self.squeezed_s + self.squeezed * whole_s
        return needed_s / seconds


def slot_totals(attempts: Mapping[str, npt.NDArray[Any]], deployments: int) -> SlotTotals:
    """The sums over some attempts."""
    deployment, outcome = attempts["deployment"].astype(np.int64), attempts["outcome"]
    held_s = np.maximum(attempts["end_s"] - attempts["start_s"] - attempts["queued_s"], 0.0)
    turned_away, broken_off = np.isin(outcome, TURNED_AWAY), np.isin(outcome, BROKEN_OFF)
    held_s[turned_away] = 0.0
    squeezed = broken_off & (attempts["queued_s"] > 0)
    return SlotTotals(
        group_sums(deployment, held_s, deployments),
        group_sums(deployment, ~broken_off & ~turned_away, deployments),
        group_sums(deployment, np.where(squeezed, held_s, 0.0), deployments),
        group_sums(deployment, squeezed, deployments),
    )
