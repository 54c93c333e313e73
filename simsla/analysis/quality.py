"""How good answers were: the scores of the deployments that gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.records import CACHE_HITS

__all__ = ["QualityTotals", "quality_totals"]

FALSE_HIT: Final = CACHE_HITS.index("false")

Floats = npt.NDArray[np.float64]


class QualityTotals(NamedTuple):
    """Answers by cell and request class: the quality of those that deployments gave, how many these are, and
    how many came out of a cache and are not known to be the answer to another question.
    """

    quality: Floats
    given: Floats
    cached: Floats

    def sums(self, scores: Floats) -> Floats:
        """The sum of the quality of answers by cell and request class; `scores` by deployment and class.

        An answer out of a cache was given by a deployment before: it is taken to be as good as those that the
        deployments gave to the same class, and worth nothing where it is known to be the answer to another
        question. Of a class that only the cache answered, any deployment may have been asked.
        """
        given = self.given.sum(axis=0)
        usual = np.where(given > 0, self.quality.sum(axis=0) / np.maximum(given, 1), scores.mean(axis=0))
        sums: Floats = self.quality + self.cached * usual
        return sums


def quality_totals(
    requests: Mapping[str, npt.NDArray[Any]],
    answered: npt.NDArray[np.bool_],
    scores: Sequence[Sequence[float]],
    cell: npt.NDArray[np.int64],
    cells: int,
) -> QualityTotals:
    """Sums over the answered requests; `scores` are by deployment and request class, `cell` is each one's."""
    table = np.asarray(scores, dtype=np.float64)
    kind = requests["request_class"].astype(np.int64)
    deployment = requests["deployment"].astype(np.int64)
    classes = table.shape[1]
    given = answered & (deployment >= 0)
    cached = answered & (deployment < 0) & (requests["cache_hit"] != FALSE_HIT)

    def summed(chosen: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> Floats:
        place = cell[chosen] * classes + kind[chosen]
        return group_sums(place, values, cells * classes).reshape(cells, classes)

    return QualityTotals(
        summed(given, table[deployment[given], kind[given]]),
        summed(given, np.ones(int(given.sum()))),
        summed(cached, np.ones(int(cached.sum()))),
    )
