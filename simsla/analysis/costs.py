"""What the money was for: the cost of attempts in parts that add up to all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.answering import CACHED, HEDGE, RETRY, answering, related
from simsla.analysis.grouping import group_sums
from simsla.records import PURPOSES

__all__ = ["COST_PARTS", "PART_MEANINGS", "part_of", "split_costs"]

PART_MEANINGS: Final[dict[str, str]] = {
    "useful": "attempts whose answer was given to the client",
    "retry": "further attempts, after an earlier one, whose answer was not given",
    "hedge": "attempts beside one that still ran, whose answer was not given",
    "cancelled": "attempts that were broken off, such as the losers of a race",
    "unused": "first attempts that failed, or whose answer was not given",
    "classifier": "calls that only told what kind of request it was",
    "check": "calls that only judged an answer",
    "shadow": "calls beside the traffic that only compared deployments",
    "cache": "calls for requests that a cache answered",
    "nobody": "attempts that belong to no request",
}
"""The parts in which the cost of attempts is told. Each attempt is of one part, the first that fits:

nobody's; of a request that a cache answered; made for a purpose other than the answer; useful; cancelled; and
what is left by its relation to the attempts before it. Pods are no attempts: their cost is told beside these.
"""

COST_PARTS: Final = tuple(PART_MEANINGS)

PART: Final = {name: code for code, name in enumerate(COST_PARTS)}
PART_OF_PURPOSE: Final = {"classify": "classifier", "check": "check", "shadow": "shadow"}

Columns = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def part_of(requests: Columns, attempts: Columns, owner: Ints, good: npt.NDArray[np.bool_]) -> Ints:
    """The part of each attempt, a code of `COST_PARTS`; `owner` is its request's row, -1 for nobody's."""
    answers = answering(requests, attempts, owner, good)
    cached = requests["outcome"] == CACHED
    relation = related(attempts, owner, len(answers))
    part = np.full(len(owner), PART["unused"], dtype=np.int64)
    part[relation == RETRY] = PART["retry"]
    part[relation == HEDGE] = PART["hedge"]
    part[attempts["cancelled"].astype(bool)] = PART["cancelled"]
    part[answers[answers >= 0]] = PART["useful"]
    for purpose, name in PART_OF_PURPOSE.items():
        part[attempts["purpose"] == PURPOSES.index(purpose)] = PART[name]
    owned = owner >= 0
    part[owned] = np.where(cached[owner[owned]], PART["cache"], part[owned])
    part[~owned] = PART["nobody"]
    return part


def split_costs(part: Ints, cost_usd: Floats, request_class: Ints, classes: int) -> Floats:
    """The cost of attempts by request class and part, USD; a last row has nobody's.

    `request_class` is that of each attempt's request, -1 for nobody's.
    """
    rows = np.where(request_class < 0, classes, request_class)
    count = len(COST_PARTS)
    return group_sums(rows * count + part, cost_usd, (classes + 1) * count).reshape(classes + 1, count)
