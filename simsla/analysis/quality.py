"""How good answers were: the scores of the deployments that gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.grouping import group_sums
from simsla.records import CACHE_HITS

__all__ = ["quality_of"]

FALSE_HIT: Final = CACHE_HITS.index("false")


def quality_of(
    requests: Mapping[str, npt.NDArray[Any]],
    answered: npt.NDArray[np.bool_],
    scores: Sequence[Sequence[float]],
) -> npt.NDArray[np.float64]:
    """The quality of the answer to each request, 0 where there is none.

    `scores` are by deployment and request class. An answer out of a cache was given by a deployment before:
    it is taken to be as good as those that the deployments gave to the same class, and worth nothing where it
    is known to be the answer to another question.
    """
    table = np.asarray(scores, dtype=np.float64)
    kind = requests["request_class"].astype(np.int64)
    deployment = requests["deployment"].astype(np.int64)
    quality = np.zeros(len(kind))
    given = answered & (deployment >= 0)
    quality[given] = table[deployment[given], kind[given]]
    cached = answered & (deployment < 0) & (requests["cache_hit"] != FALSE_HIT)
    if cached.any():
        classes = table.shape[1]
        count = np.bincount(kind[given], minlength=classes)
        # Of a class that only the cache answered, no deployment is known: any may have been asked.
        usual = np.where(
            count > 0,
            group_sums(kind[given], quality[given], classes) / np.maximum(count, 1),
            table.mean(axis=0),
        )
        quality[cached] = usual[kind[cached]]
    return quality
