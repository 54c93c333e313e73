"""Service levels as objectives and contracts define them, counted from the log of a replication.

A `Judged` is made of a log or a frame, `CountedMinutes` of what a summary keeps; everything else is a
function of one of them, or of intervals of time.

    for number, frame in result.requests.groupby("replication"):
        judged = slo.Judged.requests(frame)
        fired = slo.alerts(judged, 0.999, start_s=0, end_s=scenario.horizon_s)
"""

from simsla.analysis.closed_forms import composite_sla
from simsla.analysis.slo.budget import ErrorBudget, budget_path, error_budget
from simsla.analysis.slo.burn import WORKBOOK_RULES, Alert, BurnRule, alerts, alerts_frame, burn_rates
from simsla.analysis.slo.credits import (
    AZURE_OPENAI,
    BEDROCK,
    GEMINI,
    SCHEDULES,
    CreditSchedule,
    expected_credit,
)
from simsla.analysis.slo.downtime import PARTIAL_WEIGHT, outages, time_availability, weighted_availability
from simsla.analysis.slo.judged import Counts, Judged
from simsla.analysis.slo.per_minute import CountedMinutes
from simsla.analysis.slo.windows import (
    by_period,
    interval_availability,
    window_availability,
    window_errors,
)

__all__ = [
    "AZURE_OPENAI",
    "BEDROCK",
    "GEMINI",
    "PARTIAL_WEIGHT",
    "SCHEDULES",
    "WORKBOOK_RULES",
    "Alert",
    "BurnRule",
    "CountedMinutes",
    "Counts",
    "CreditSchedule",
    "ErrorBudget",
    "Judged",
    "alerts",
    "alerts_frame",
    "budget_path",
    "burn_rates",
    "by_period",
    "composite_sla",
    "error_budget",
    "expected_credit",
    "interval_availability",
    "outages",
    "time_availability",
    "weighted_availability",
    "window_availability",
    "window_errors",
]
