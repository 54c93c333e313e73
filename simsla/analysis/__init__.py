"""From logs of independent replications to metrics with honest intervals."""

from simsla.analysis.caveats import caveats
from simsla.analysis.closed_forms import ClosedForm, SideBySide, independence
from simsla.analysis.definitions import METRICS, MORE_IS_BETTER
from simsla.analysis.estimate import Estimate
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
from simsla.analysis.summary import ReplicationSummary, summarise
from simsla.analysis.warnings import (
    ExactTiesWarning,
    FewEpisodesWarning,
    LongRepairWarning,
    NeverHappensWarning,
    NoFailuresWarning,
    SimslaWarning,
    SingleReplicationWarning,
    UnattributedAttemptsWarning,
    UnhitCacheWarning,
    UnstableQueueWarning,
    WarmupWarning,
)

__all__ = [
    "METRICS",
    "MORE_IS_BETTER",
    "Cells",
    "ClosedForm",
    "EnvironmentLaw",
    "Estimate",
    "ExactTiesWarning",
    "FewEpisodesWarning",
    "Interval",
    "LongRepairWarning",
    "Metrics",
    "NeverHappensWarning",
    "NoFailuresWarning",
    "ObjectiveLike",
    "PostStratification",
    "ReplicationSummary",
    "SideBySide",
    "SimslaWarning",
    "SingleReplicationWarning",
    "UnattributedAttemptsWarning",
    "UnhitCacheWarning",
    "UnstableQueueWarning",
    "WarmupWarning",
    "caveats",
    "clopper_pearson",
    "drawn_faults",
    "environment_law",
    "estimate_metrics",
    "evaluate_objectives",
    "independence",
    "mean_interval",
    "quantile_interval",
    "ratio_interval",
    "share_interval",
    "summarise",
]
