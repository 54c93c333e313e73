"""Warnings about what a result's intervals rest on, one type for each assumption that can fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = [
    "CorrelatedBatchesWarning",
    "ExactTiesWarning",
    "ExogeneityWarning",
    "FewEpisodesWarning",
    "LongRepairWarning",
    "NeverHappensWarning",
    "NoFailuresWarning",
    "PlannedFaultsWarning",
    "PrecisionWarning",
    "SimslaWarning",
    "SingleReplicationWarning",
    "UnattributedAttemptsWarning",
    "UnhitCacheWarning",
    "UnseenFailuresWarning",
    "UnstableQueueWarning",
    "UnusedWarning",
    "WarmupWarning",
]


MOST_TOLD: Final = 3
"""Names in a warning."""


def first_few(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return ", ".join(names[:MOST_TOLD]) + more


class SimslaWarning(UserWarning):
    """A caveat about a result."""


class FewEpisodesWarning(SimslaWarning):
    """Faults that could account for much of the unavailability were met too seldom for a t interval."""


class SingleReplicationWarning(SimslaWarning):
    """One replication gives no interval."""


class NoFailuresWarning(SimslaWarning):
    """No request failed: the interval is a bound that rests on an assumption."""


class CorrelatedBatchesWarning(SimslaWarning):
    """Even the longest batches of a run are correlated: the intervals of batch means are too short."""


class WarmupWarning(SimslaWarning):
    """Latency at the start of the measured time differs from later: the warm-up was not over."""


class UnstableQueueWarning(SimslaWarning):
    """Offered load exceeds capacity, or latency was rising at the end: averages depend on the horizon."""


class LongRepairWarning(SimslaWarning):
    """Faults last longer than the measured time: their end, and what comes after it, is hardly seen."""


class NeverHappensWarning(SimslaWarning):
    """Something is planned for after the horizon, where no request meets it."""


class UnusedWarning(SimslaWarning):
    """Faults, events or limits belong to something that no deployment depends on."""


class UnhitCacheWarning(SimslaWarning):
    """A prompt cache goes by something that no request has."""


class ExactTiesWarning(SimslaWarning):
    """Events that have nothing to do with one another fall on exactly one instant, as on a grid of time."""


class UnattributedAttemptsWarning(SimslaWarning):
    """Attempts that belong to no request: they are in the cost per day and in no request."""


class ExogeneityWarning(SimslaWarning):
    """Requests can cause failures themselves, which windows around faults do not look for."""


class PlannedFaultsWarning(SimslaWarning):
    """Faults at appointed times have no long run: they are left out."""


class PrecisionWarning(SimslaWarning):
    """The interval is wider than was asked for."""


class UnseenFailuresWarning(SimslaWarning):
    """Strata in which nothing failed could hide more than the interval says."""
