"""The probability of missing a month's promise, from how often episodes begin and how long they last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simsla.analysis.closed_forms.arguments import Floats, above_zero, whole
from simsla.analysis.closed_forms.budgets import MONTH_S, imperfect
from simsla.analysis.closed_forms.formula import formula

if TYPE_CHECKING:
    from simsla.distributions import Distribution

__all__ = ["Episodes", "MissProbability", "miss_probability"]

CELLS = 4000
MANY = 500.0
"""Expected episodes beyond which the recursion would start from a number too small to hold."""


class Episodes(NamedTuple):
    """Episodes that begin at a Poisson rate: the rate, their duration and the share of requests they fail."""

    per_s: float
    duration: Distribution
    severity: float = 1.0


class MissProbability(NamedTuple):
    """A probability, and two bounds on it that hold for certain under the assumptions."""

    value: float
    low: float
    high: float


@formula(
    "probability of missing a month",
    assumes=(
        "episodes begin at a constant rate (Poisson), last independently, count in the month in which they "
        "begin and in full where they overlap; nothing fails outside them"
    ),
    source="Panjer 1981",
)
def miss_probability(
    episodes: Sequence[Episodes], target: float, period_s: float = MONTH_S, cells: int = CELLS
) -> MissProbability:
    """The probability that the episodes of a period cost more than its error budget.

    The loss, a compound Poisson sum of severity x duration in seconds, is found without simulation: losses
    are rounded down, then up, to one of `cells` parts of the budget, which bounds the probability from below
    and from above; divided between both so that their mean is kept, they give the value. More cells narrow
    the bounds, which are wide where very many short episodes make up a budget. `target` is in [0, 1),
    `period_s` above 0; each rate is in episodes per second, above 0. Clustered episodes miss more months, or
    fewer, than Poisson ones. Raises ValueError.
    """
    budget_s = float((1 - imperfect(target)) * above_zero(period_s, "period_s"))
    n = whole(cells, "cells", 1)
    if not episodes:
        return MissProbability(0.0, 0.0, 0.0)
    expected = np.array([float(above_zero(each.per_s, "per_s")) for each in episodes]) * period_s
    halves: Floats = np.arange(2 * n + 3, dtype=np.float64) * (budget_s / n / 2)
    below = np.zeros_like(halves)
    for each, count in zip(episodes, expected, strict=True):
        if not 0 < each.severity <= 1:
            raise ValueError(f"severity: expected a share in (0, 1], got {each.severity!r}")
        durations: Floats = halves / each.severity
        below += count / expected.sum() * each.duration.cdf(durations)
    whole_cells, middles, total = below[0::2], below[1::2], float(expected.sum())
    # Rounded up, a loss in (k - 1, k] is k; rounded down, one in (k, k + 1] is k. n is the whole budget: only
    # what exceeds it is a miss.
    high = missed(np.diff(whole_cells[:-1], prepend=0.0), total)
    down = np.diff(whole_cells)
    down[0] += whole_cells[0]
    low = min(missed(down, total), high)
    # The share of each cell that an average loss fills, by Simpson's rule; their differences are the
    # masses that keep the mean. A sum that ends up at n is half within the budget.
    inside = 1 - (whole_cells[:-1] + 4 * middles + whole_cells[1:]) / 6
    value = missed(-np.diff(inside, prepend=1.0), total, at_the_end=0.5)
    return MissProbability(min(max(value, low), high), low, high)


def missed(mass: Floats, expected: float, at_the_end: float = 1.0) -> float:
    """The probability that a compound Poisson sum exceeds the cells (Panjer's recursion).

    `mass` is that of one loss by cell; of sums in the last cell the share `at_the_end` counts as within them.
    """
    halvings = max(0, math.ceil(math.log2(expected / MANY))) if expected > MANY else 0
    rate = expected / 2**halvings
    n = len(mass)
    weighted = rate * np.arange(n) * mass
    density = np.zeros(n)
    density[0] = math.exp(-rate * (1 - mass[0]))
    for k in range(1, n):
        density[k] = np.dot(weighted[1 : k + 1], density[k - 1 :: -1]) / k
    for _ in range(halvings):
        density = np.convolve(density, density)[:n]
    return min(max(1 - float(density[:-1].sum()) - at_the_end * float(density[-1]), 0.0), 1.0)
