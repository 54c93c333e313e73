"""From windows to totals: Horvitz-Thompson sums, their variance by strata, and intervals.

A window drawn with probability p stands for 1/p of its kind (Horvitz and Thompson 1952). Lives are drawn from
all possible ones and windows from the lives, so a total varies in two ways: between lives, by what the means
of the strata predict for each, and between the windows of a stratum, without a finite-population correction,
since even all windows of the drawn lives are a sample of what there could have been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.intervals import AGREEMENT, Interval, contain, t_quantile, unseen_share
from simsla.analysis.windows.measuring import Measured
from simsla.analysis.windows.sampling import Draws

__all__ = ["Sampled", "Spread", "cost_usd", "failed", "firsts", "log_interval", "spread_of", "valid"]

Floats = npt.NDArray[np.float64]
Quantity = Callable[[Measured], float]


def failed(measured: Measured) -> float:
    """Valid requests that were not answered."""
    return float(measured.failed)


def valid(measured: Measured) -> float:
    """Requests that count."""
    return float(measured.valid)


def firsts(measured: Measured) -> float:
    """Requests that are no retry of a client's."""
    return float(measured.firsts)


def cost_usd(measured: Measured) -> float:
    """What all attempts of the requests cost."""
    return measured.cost_usd


class Spread(NamedTuple):
    """A variance and the degrees of freedom of its estimate (Satterthwaite 1946, where it is a sum)."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """The windows of one stratum and what was measured in each."""

    draws: Draws
    measured: tuple[Measured, ...]
    slope: float = 0.0
    """Failures per request in the pilot, which is independent of these windows."""
    expected: float = 0.0
    """First requests in the whole stratum, by the rate of the traffic and the time."""
    quiet: bool = False
    """Whether nothing is at fault in any window, so that windows of one unit share no episode."""

    @property
    def clusters(self) -> npt.NDArray[np.int64]:
        """The cluster of each window: those of one unit share its episode, quiet ones share nothing."""
        return np.arange(len(self.draws.unit)) if self.quiet else self.draws.unit

    def values(self, quantity: Quantity) -> Floats:
        """A quantity in each window."""
        return np.array([quantity(each) for each in self.measured], dtype=np.float64)

    def total(self, quantity: Quantity) -> float:
        """The total over all windows of the stratum, estimated."""
        return float((self.values(quantity) / self.draws.probability).sum())

    def residuals(self) -> Floats:
        """The failures of each window beyond what its requests let one expect."""
        return self.values(failed) - self.slope * self.values(firsts)

    def lost(self) -> float:
        """The failures of the whole stratum, estimated.

        A difference estimator (Cochran 1977, 7.2): how many requests there are is known, so only what differs
        from the pilot's share is left to the windows. The pilot is independent of them, so there is no bias.
        """
        return float((self.residuals() / self.draws.probability).sum()) + self.slope * self.expected

    def lost_spread(self) -> Spread:
        """The variance of that; windows that agree exactly claim no more than independent trials."""
        found = self.spread(self.residuals())
        independent = float((self.values(failed) / self.draws.probability**2).sum())
        if found.variance > AGREEMENT * independent:
            return found
        return Spread(independent, math.inf)

    def spread(self, values: Floats) -> Spread:
        """The variance of the estimated total of these values, one for each window.

        The windows of a cluster are one observation.
        """
        units, of = np.unique(self.clusters, return_inverse=True)
        z = np.bincount(of, weights=values / self.draws.probability)
        n = len(units)
        if n < 2:
            # That there is one at all was chance: the variance of a Poisson number of such.
            return Spread(float((z**2).sum()), 1)
        return Spread(float(n * z.var(ddof=1)), n - 1)

    def unseen(self, is_head: bool) -> float:
        """The largest share of a stratum's requests that could fail though none did (rule of three).

        While the router remembers something, all requests of a window may fail together; in a steady state
        requests are taken to be independent, as in a post-stratified interval.
        """
        if any(each.failed for each in self.measured):
            return 0.0
        independent = len(self.measured) if is_head else sum(each.valid for each in self.measured)
        return float(unseen_share(independent))


def spread_of(parts: Sequence[Spread]) -> Spread:
    """The sum of independent variances; one that is not known makes the sum unknown."""
    variance = math.fsum(part.variance for part in parts)
    if not variance > 0:
        return Spread(variance, math.inf)
    below = math.fsum(
        part.variance**2 / part.degrees_of_freedom for part in parts if part.degrees_of_freedom > 0
    )
    return Spread(variance, variance**2 / below if below > 0 else math.inf)


def log_interval(value: float, spread: Spread, most: float = math.inf) -> Interval:
    """The interval of a positive quantity, on the log scale; no end where the spread is not known."""
    if not value > 0 or math.isnan(spread.variance):
        return Interval(value, math.nan, math.nan)
    half = float(t_quantile(spread.degrees_of_freedom)) * math.sqrt(spread.variance) / value
    with np.errstate(over="ignore"):
        factor = float(np.exp(min(half, 700.0)))
    return contain(value, value / factor, min(value * factor, most))
