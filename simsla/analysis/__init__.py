"""From logs of independent replications to metrics with honest intervals."""

from simsla.analysis.caveats import caveats
from simsla.analysis.closed_forms import ClosedForm, SideBySide, independence
from simsla.analysis.costs import COST_PARTS
from simsla.analysis.definitions import KINDS, METRICS, MORE_IS_BETTER
from simsla.analysis.estimate import Estimate
from simsla.analysis.groups import groups_of
from simsla.analysis.intervals import (
    Interval,
    clopper_pearson,
    mean_interval,
    quantile_interval,
    ratio_interval,
    share_interval,
)
from simsla.analysis.law import EnvironmentLaw, drawn_faults, environment_law
from simsla.analysis.metrics import Metrics, estimate_metrics
from simsla.analysis.objectives import ObjectiveLike, evaluate_objectives
from simsla.analysis.poststratify import Cells, PostStratification
from simsla.analysis.sketch import RELATIVE_ERROR
from simsla.analysis.summary import ReplicationSummary, summarise
from simsla.analysis.tail import TAIL_CAUSES
from simsla.analysis.warnings import (
    CorrelatedBatchesWarning,
    ExactTiesWarning,
    ExogeneityWarning,
    FewEpisodesWarning,
    LongRepairWarning,
    NeverHappensWarning,
    NoFailuresWarning,
    PlannedFaultsWarning,
    PrecisionWarning,
    SimslaWarning,
    SingleReplicationWarning,
    UnattributedAttemptsWarning,
    UnhitCacheWarning,
    UnseenFailuresWarning,
    UnstableQueueWarning,
    UnusedWarning,
    WarmupWarning,
)

__all__ = [
    "COST_PARTS",
    "KINDS",
    "METRICS",
    "MORE_IS_BETTER",
    "RELATIVE_ERROR",
    "TAIL_CAUSES",
    "Cells",
    "ClosedForm",
    "CorrelatedBatchesWarning",
    "EnvironmentLaw",
    "Estimate",
    "ExactTiesWarning",
    "ExogeneityWarning",
    "FewEpisodesWarning",
    "Interval",
    "LongRepairWarning",
    "Metrics",
    "NeverHappensWarning",
    "NoFailuresWarning",
    "ObjectiveLike",
    "PlannedFaultsWarning",
    "PostStratification",
    "PrecisionWarning",
    "ReplicationSummary",
    "SideBySide",
    "SimslaWarning",
    "SingleReplicationWarning",
    "UnattributedAttemptsWarning",
    "UnhitCacheWarning",
    "UnseenFailuresWarning",
    "UnstableQueueWarning",
    "UnusedWarning",
    "WarmupWarning",
    "caveats",
    "clopper_pearson",
    "drawn_faults",
    "environment_law",
    "estimate_metrics",
    "evaluate_objectives",
    "groups_of",
    "independence",
    "mean_interval",
    "quantile_interval",
    "ratio_interval",
    "share_interval",
    "summarise",
]
