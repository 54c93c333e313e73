"""Which attempt answered a request, and how the others relate to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.records import ATTEMPT_OUTCOMES, OUTCOMES, PURPOSES
from simsla.records.log import relations

__all__ = ["ANSWER", "CACHED", "FIRST", "HEDGE", "RETRY", "answering", "related"]

Columns = Mapping[str, npt.NDArray[Any]]
Ints = npt.NDArray[np.int64]

ANSWER: Final = PURPOSES.index("answer")
CACHED: Final = OUTCOMES.index("cached")
OK: Final = ATTEMPT_OUTCOMES.index("ok")
FIRST, RETRY, HEDGE = range(3)
"""The codes of relations: see `Log.attempts_frame`."""


def answering(requests: Columns, attempts: Columns, owner: Ints, good: npt.NDArray[np.bool_]) -> Ints:
    """The row of the attempt whose answer each good request was given; -1 where there is none.

    The last successful one at the deployment that answered: what succeeded before was thought too little of.
    `owner` is the row of each attempt's request, -1 for nobody's.
    """
    found = np.full(len(requests["request"]), -1, dtype=np.int64)
    rows = np.flatnonzero((attempts["outcome"] == OK) & (attempts["purpose"] == ANSWER) & (owner >= 0))
    whose = owner[rows]
    fits = (
        good[whose]
        & (requests["outcome"][whose] != CACHED)
        & (attempts["deployment"][rows] == requests["deployment"][whose])
        & (attempts["end_s"][rows] <= requests["end_s"][whose])
    )
    rows, whose = rows[fits], whose[fits]
    # Of several rows for one request the last is kept.
    order = np.argsort(attempts["end_s"][rows], kind="stable")
    found[whose[order]] = rows[order]
    return found


def related(attempts: Columns, owner: Ints, requests: int) -> npt.NDArray[np.int8]:
    """The relation of each attempt (FIRST, RETRY or HEDGE) to those before it of its request and purpose."""
    result = np.zeros(len(owner), dtype=np.int8)
    several = np.flatnonzero(
        (owner >= 0) & (np.bincount(owner[owner >= 0], minlength=requests + 1)[owner] > 1)
    )
    columns = {name: attempts[name][several] for name in ("purpose", "start_s", "end_s")}
    result[several] = relations({**columns, "request": owner[several]})
    return result
