"""Burn-rate alerts over two windows: which would have fired, when, and how much of the budget was gone.

Beyer et al., The Site Reliability Workbook (2018), chapter 5: the long window says that it matters, the short
one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero
from simsla.analysis.closed_forms.budgets import MONTH_S, imperfect
from simsla.analysis.slo.budget import budget_path
from simsla.analysis.slo.judged import Counts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WORKBOOK_RULES", "Alert", "BurnRule", "alerts", "alerts_frame", "burn_rates"]

Floats = npt.NDArray[np.float64]

HOUR_S: Final = 3600.0
ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Fires while the budget burns faster than `rate` over both windows (seconds)."""

    name: str
    severity: Literal["page", "ticket"]
    rate: float
    long_s: float
    short_s: float

    def __post_init__(self) -> None:
        for name in ("rate", "long_s", "short_s"):
            above_zero(getattr(self, name), name)
        if self.short_s > self.long_s:
            raise ValueError(f"short_s: expected at most long_s ({self.long_s:g}), got {self.short_s:g}")


WORKBOOK_RULES: Final = (
    BurnRule("page 1 h / 5 min", "page", 14.4, HOUR_S, HOUR_S / 12),
    BurnRule("page 6 h / 30 min", "page", 6.0, 6 * HOUR_S, HOUR_S / 2),
    BurnRule("ticket 3 d / 6 h", "ticket", 1.0, 72 * HOUR_S, 6 * HOUR_S),
)
"""The Workbook's: 2 %, 5 % and 10 % of a 30-day budget gone when they fire, at a constant burn rate."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A time during which a rule's condition held, from `start_s` to `end_s` (seconds).

    `end_s` is the first evaluation at which it no longer held, inf if it held at the last one. `budget_spent`
    is the share of the period's budget that was gone when it fired, all bad requests before included.
    """

    rule: BurnRule
    start_s: float
    end_s: float
    budget_spent: float


def burn_rates(judged: Counts, target: float, times_s: npt.ArrayLike, window_s: float) -> Floats:
    """The burn rate over the window that ends at each of some times: share of bad / (1 - target).

    0 where nothing was counted in a window; a window that begins before the log has what there is. Seconds;
    `target` is in [0, 1). Raises ValueError.
    """
    times = np.asarray(times_s, dtype=np.float64)
    total, bad = judged.counts(times - float(above_zero(window_s, "window_s")), times)
    return bad / np.maximum(total, 1.0) / float(1 - imperfect(target))


def alerts(
    judged: Counts,
    target: float,
    rules: Sequence[BurnRule] = WORKBOOK_RULES,
    *,
    start_s: float,
    end_s: float,
    period_s: float = MONTH_S,
    every_s: float = 60.0,
) -> list[Alert]:
    """The alerts that a log would have fired, in the order of time.

    The log covers [start_s, end_s]; rules are evaluated `every_s` seconds after its start, as a monitor does.
    `period_s` is that of the budget. `target` is in [0, 1). Raises ValueError.
    """
    step = float(above_zero(every_s, "every_s"))
    times = start_s + step * np.arange(1, int((end_s - start_s) / step + ROUNDING) + 1)
    fired: list[Alert] = []
    for rule in rules:
        threshold = rule.rate * (1 + ROUNDING)
        on = np.ones(len(times), dtype=bool)
        for window_s in (rule.long_s, rule.short_s):
            on &= burn_rates(judged, target, times, window_s) > threshold
        before = np.concatenate(([False], on[:-1]))
        starts, ends = times[on & ~before], times[before & ~on]
        spent = budget_path(judged, target, starts, start_s=start_s, end_s=end_s, period_s=period_s)
        fired += [
            Alert(rule, float(start), float(ends[i]) if i < len(ends) else float("inf"), float(spent[i]))
            for i, start in enumerate(starts)
        ]
    return sorted(fired, key=lambda alert: alert.start_s)


def alerts_frame(fired: Sequence[Alert]) -> pd.DataFrame:
    """One row per alert: rule, severity, start_s, end_s, budget_spent."""
    import pandas as pd

    rows = [(a.rule.name, a.rule.severity, a.start_s, a.end_s, a.budget_spent) for a in fired]
    return pd.DataFrame(rows, columns=["rule", "severity", "start_s", "end_s", "budget_spent"])
