"""The error budget of a promise, as requests spend it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero
from simsla.analysis.closed_forms.budgets import MONTH_S, imperfect
from simsla.analysis.slo.judged import Counts

__all__ = ["ErrorBudget", "budget_path", "error_budget"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """What a target allows over some requests, and what was used of it.

    `requests` and `bad` were counted; `allowed` is (1 - target) x requests.
    """

    target: float
    requests: int
    bad: int

    @property
    def allowed(self) -> float:
        """How many may be bad."""
        return (1 - self.target) * self.requests

    @property
    def spent(self) -> float:
        """The share of the budget that is gone: 1 is exactly all of it; nan without requests."""
        return self.bad / self.allowed if self.allowed > 0 else float("nan")

    @property
    def remaining(self) -> float:
        """1 - `spent`; negative where the promise is broken."""
        return 1 - self.spent

    def __str__(self) -> str:
        return (
            f"{self.bad:,} of {self.requests:,} bad where {100 * self.target:.10g} % allows "
            f"{self.allowed:,.4g}: {100 * self.spent:.3g} % of the budget spent"
        )


def error_budget(judged: Counts, target: float) -> ErrorBudget:
    """The budget of everything in a log. `target` is in [0, 1). Raises ValueError."""
    return ErrorBudget(float(imperfect(target)), len(judged), judged.bad)


def budget_path(
    judged: Counts,
    target: float,
    times_s: npt.ArrayLike,
    *,
    start_s: float,
    end_s: float,
    period_s: float = MONTH_S,
) -> Floats:
    """The share of a period's budget that is gone at each of some times, counted from `start_s`.

    The log covers [start_s, end_s] and sets the rate of requests: the budget is (1 - target) x rate x
    `period_s`, as if the log were the beginning of a period. Times in seconds; nan without requests. Raises
    ValueError.
    """
    allowed = float(1 - imperfect(target)) * len(judged) * float(above_zero(period_s, "period_s"))
    allowed /= float(above_zero(end_s - start_s, "end_s - start_s"))
    _, bad = judged.counts(np.nextafter(start_s, -np.inf), np.asarray(times_s, dtype=np.float64))
    return bad / allowed if allowed > 0 else np.full_like(bad, np.nan)
