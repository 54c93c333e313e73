"""Error budgets in seconds, and how fast they go."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import (
    Floats,
    above_zero,
    at_least_zero,
    numbers,
    plain,
    probability,
)
from simsla.analysis.closed_forms.formula import formula

__all__ = ["MONTH_S", "budget_burned", "burn_rate", "error_budget_s", "seconds_to_exhaustion"]

MONTH_S = 30 * 86_400.0
"""The month of contracts and of the SRE Workbook: 30 days."""

WORKBOOK = "Beyer et al., The Site Reliability Workbook, 2018, chapter 5"


def imperfect(target: npt.ArrayLike) -> Floats:
    """Targets that leave a budget."""
    return numbers(target, "target", "a share in [0, 1): 1 leaves no budget", lambda x: (x >= 0) & (x < 1))


@formula("error budget", assumes="time-based availability, or requests at a constant rate", source=WORKBOOK)
def error_budget_s(target: npt.ArrayLike, window_s: npt.ArrayLike = MONTH_S) -> Any:
    """The seconds of full outage that a target allows in a window: (1 - target) x window.

    `target` is in [0, 1], `window_s` above 0. Raises ValueError.
    """
    return plain((1 - probability(target, "target")) * above_zero(window_s, "window_s"))


@formula("burn rate", assumes="requests at a constant rate", source=WORKBOOK)
def burn_rate(error_share: npt.ArrayLike, target: npt.ArrayLike) -> Any:
    """How many times faster than allowed the budget goes: error share / (1 - target).

    At 1 it lasts exactly its window. `error_share` is in [0, 1], `target` in [0, 1). Raises ValueError.
    """
    return plain(probability(error_share, "error_share") / (1 - imperfect(target)))


@formula("budget burned", assumes="a constant burn rate and requests at a constant rate", source=WORKBOOK)
def budget_burned(rate: npt.ArrayLike, seconds: npt.ArrayLike, window_s: npt.ArrayLike = MONTH_S) -> Any:
    """The share of a window's budget that a burn rate takes in some seconds; 14.4 takes 2 % in an hour.

    All at least 0, the window above 0. Raises ValueError.
    """
    taken = at_least_zero(rate, "rate") * at_least_zero(seconds, "seconds")
    return plain(taken / above_zero(window_s, "window_s"))


@formula(
    "time to exhaustion", assumes="a constant burn rate and requests at a constant rate", source=WORKBOOK
)
def seconds_to_exhaustion(
    rate: npt.ArrayLike, window_s: npt.ArrayLike = MONTH_S, remaining: npt.ArrayLike = 1.0
) -> Any:
    """The seconds until the share `remaining` (in [0, 1]) of a window's budget is gone at a burn rate.

    `rate` and `window_s` are above 0. Raises ValueError.
    """
    left = probability(remaining, "remaining") * above_zero(window_s, "window_s")
    return plain(left / above_zero(rate, "rate"))
