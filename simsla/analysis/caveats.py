"""The caveats that a result needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsla.analysis.drift import drift
from simsla.analysis.estimate import percent
from simsla.analysis.load import overload
from simsla.analysis.poststratify import ENOUGH_SPELLS
from simsla.analysis.repairs import long_repairs
from simsla.analysis.stationary import is_stationary
from simsla.analysis.ties import exact_ties
from simsla.analysis.too_late import never_happens
from simsla.analysis.unhit_caches import unhit_caches
from simsla.analysis.unused import unused
from simsla.analysis.warnings import (
    FewEpisodesWarning,
    NoFailuresWarning,
    SimslaWarning,
    SingleReplicationWarning,
    UnattributedAttemptsWarning,
)

if TYPE_CHECKING:
    from simsla.analysis.metrics import Metrics
    from simsla.scenario import Scenario

__all__ = ["caveats"]


def caveats(
    metrics: Metrics, *, scenario: Scenario | None = None, stationary: bool = True
) -> list[SimslaWarning]:
    """A typed warning for each assumption behind the intervals that does not hold.

    The `scenario` says whether traffic and faults have a trend by design, what load is offered and how long
    repairs last; without one, `stationary` says the first and the others are not judged.
    """
    found: list[SimslaWarning | None] = []
    if len(metrics.summaries) == 1:
        found.append(
            SingleReplicationWarning(
                "One replication gives no interval: run several, or ask one long run for its batch means "
                "(Result.batch_means)."
            )
        )
    elif few := few_episodes(metrics):
        found.append(FewEpisodesWarning(few))
    if metrics.estimate("availability").value == 1:
        found.append(
            NoFailuresWarning(
                f"None of {sum(metrics.outcomes.values()):,} requests failed. The interval of availability "
                "is a bound: outside faults it takes requests to be independent (rule of three)."
            )
        )
    stray = sum(s.unattributed for s in metrics.summaries)
    if stray:
        found.append(
            UnattributedAttemptsWarning(
                f"{stray:,} attempts belong to no request: they are in the total cost, in no request class."
            )
        )
    if scenario is not None:
        stationary = is_stationary(scenario)
        found.append(never_happens(scenario))
        found.append(unused(scenario))
        found.append(unhit_caches(scenario))
        found.append(long_repairs(scenario))
        found.append(overload(scenario, metrics.summaries))
    if stationary and (scenario is None or found[-1] is None):
        found.append(drift(np.stack([s.block_latency_s for s in metrics.summaries])))
    found.append(exact_ties([s.ties for s in metrics.summaries]))
    return [caveat for caveat in found if caveat is not None]


def few_episodes(metrics: Metrics) -> str:
    """What is wrong when fault episodes are few, in words; empty when they are enough."""
    n = len(metrics.summaries)
    if metrics.strata is None:
        spells = sum(int(s.cells.spell.max(initial=-1)) + 1 for s in metrics.summaries)
        if not 0 < spells < ENOUGH_SPELLS:
            return ""
        return (
            f"Few fault episodes (spells of faults met in {n} replications: {spells}), and the law of the "
            "environment is not known: the t intervals are probably too short."
        )
    good, valid = metrics.counts("availability")
    counts = np.concatenate(valid) - np.concatenate(good), np.concatenate(valid)
    weak = metrics.strata.weak_states(*counts)
    if not weak:
        return ""
    weighted = percent(1 - metrics.strata.weighted_share(*counts), 3)
    told = ", ".join(
        f"{name} ({100 * share:.2g} % of time, met {met} time{'' if met == 1 else 's'})"
        for name, share, met in weak[:3]
    )
    more = f" and {len(weak) - 3} more" if len(weak) > 3 else ""
    return (
        f"Few fault episodes (spells of faults met in {n} replications: {metrics.strata.spells}). Faults met "
        f"fewer than {ENOUGH_SPELLS} times could account for much of the unavailability: {told}{more}. "
        "A plain t interval would be too short; those of shares and quantiles are post-stratified by "
        "environment state, those of ratios such as cost are plain. With the states that were met weighed by "
        f"their long-run shares of time, availability is {weighted} %."
    )
