"""Intervals from one long run: batch means, with batches as long as their correlation asks for.

The measured time is cut into equal batches, and a batch is taken for a replication. That is right where
batches hardly know of each other. So the fewest batches of `COUNTS` are taken that pass: the number falls
until neither mean latency nor availability of successive batches is correlated by von Neumann's ratio
(Fishman 1978, Grouping observations in digital simulation, Management Science 24). More batches than 25 would
narrow an interval by little (Schmeiser 1982). Where even the fewest are correlated, the result says so.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from simsla.analysis.caveats import caveats
from simsla.analysis.definitions import METRICS
from simsla.analysis.estimate import Estimate
from simsla.analysis.law import drawn_faults, environment_law
from simsla.analysis.metrics import Metrics
from simsla.analysis.summary import BLOCKS, ReplicationSummary, summarise
from simsla.analysis.warnings import CorrelatedBatchesWarning, SimslaWarning
from simsla.scenario.quality import scores

if TYPE_CHECKING:
    from simsla.scenario import Scenario
    from simsla.simulation import Replication

__all__ = ["COUNTS", "BatchMeans", "batch_count", "correlated"]

COUNTS: Final = (25, 20, 10)
"""Numbers of batches, all of them divisors of the parts in which latency is followed."""
SIGNIFICANCE: Final = 0.1
"""Of the test for correlation: batches that are longer than need be cost little."""

Floats = npt.NDArray[np.float64]


def correlated(means: npt.ArrayLike) -> bool:
    """Whether successive values are positively correlated: von Neumann's ratio, one-sided at 10 %.

    C = 1 - sum((x[i] - x[i-1])^2) / (2 sum((x[i] - mean)^2)) is about normal with variance (n - 2)/(n^2 - 1).
    """
    x = np.asarray(means, dtype=np.float64)
    x = x[np.isfinite(x)]
    n = len(x)
    squares = float(((x - x.mean()) ** 2).sum()) if n > 2 else 0.0
    if squares == 0:
        return False
    c = 1 - float((np.diff(x) ** 2).sum()) / (2 * squares)
    return c > float(ndtri(1 - SIGNIFICANCE)) * math.sqrt((n - 2) / (n**2 - 1))


def batch_count(sums: Floats, counts: Floats) -> tuple[int, bool]:
    """How many batches, and whether they are still correlated.

    `sums` and `counts` are rows, one for each ratio that is followed, of `BLOCKS` successive parts.
    """
    for number in COUNTS:
        y, x = (rows.reshape(len(rows), number, -1).sum(axis=2) for rows in (sums, counts))
        with np.errstate(invalid="ignore"):
            tied = any(correlated(row) for row in y / x)
        if not tied:
            return number, False
    return COUNTS[-1], True


class BatchMeans:
    """The metrics of one long run, with intervals across batches of its measured time.

    `count` batches of `batch_s` seconds each; `caveats` are the typed warnings that go with the numbers.
    """

    def __init__(self, scenario: Scenario, run: Replication, whole: ReplicationSummary, seed: int) -> None:
        """Use `Result.batch_means`."""
        sums, counts = followed(whole)
        self.count, self._tied = batch_count(sums, counts)
        edges = np.linspace(run.start_s, run.end_s, self.count + 1)
        self.batch_s = float(edges[1] - edges[0])
        quality = scores(scenario.deployment_specs, tuple(scenario.traffic))
        drawn = drawn_faults(run.environment)
        pods_usd = whole.pods_usd / self.count
        batches = [
            summarise(
                run.log, start_s=start, end_s=end, environment=drawn, quality=quality, pods_usd=pods_usd
            )
            for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]
        self._metrics = Metrics(batches, environment_law(scenario, seed))
        self._scenario = scenario

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Every metric by name."""
        return {name: self.estimate(name) for name in METRICS}

    @property
    def availability(self) -> Estimate:
        """Good requests / valid requests (request-based)."""
        return self.estimate("availability")

    def estimate(self, metric: str, request_class: str | None = None) -> Estimate:
        """A metric of all requests or of one class. Raises KeyError for an unknown one."""
        found = self._metrics.estimate(metric, request_class)
        return replace(found, method=found.method.replace("across replications", "across batches"))

    def latency(self, p: float) -> Estimate:
        """The p-quantile, 0 < p < 1, of the seconds from arrival to last token of answered requests."""
        found = self._metrics.latency(p)
        return replace(found, method=found.method.replace("across replications", "across batches"))

    @property
    def caveats(self) -> tuple[SimslaWarning, ...]:
        """What must be said beside the numbers."""
        found: list[SimslaWarning] = []
        if self._tied:
            found.append(
                CorrelatedBatchesWarning(
                    f"Even {self.count} batches of {self.batch_s:.4g} s are correlated: the intervals are "
                    "probably too short. Simulate a longer time, or replications."
                )
            )
        # Batches follow each other, so their drift is no warm-up: the whole run is judged for that.
        return (*found, *caveats(self._metrics, stationary=False))

    def __repr__(self) -> str:
        return (
            f"<BatchMeans of {self._scenario.name}, {self.count} batches of {self.batch_s:.4g} s: "
            f"availability {self.availability}, p99 {self.latency(0.99)}>"
        )


def followed(whole: ReplicationSummary) -> tuple[Floats, Floats]:
    """Sums and counts in parts of the measured time: of latency, and of failures if minutes are enough."""
    sums, counts = [whole.blocks[0]], [whole.blocks[1]]
    minutes = whole.minutes.sum(axis=0).astype(np.float64)
    if len(minutes) >= BLOCKS:
        part = (np.arange(len(minutes)) * BLOCKS) // len(minutes)
        sums.append(np.bincount(part, minutes[:, 1], BLOCKS))
        counts.append(np.bincount(part, minutes[:, 0], BLOCKS))
    return np.stack(sums), np.stack(counts)
