"""Limits on latency that objectives set: how many requests of each minute exceeded them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.minutes import Minutes, count_minutes

__all__ = ["Limit", "count_over"]

ROUNDING: Final = 1e-6
"""Latencies are kept in single precision: what exceeds a limit by less is equal to it."""


class Limit(NamedTuple):
    """The seconds that a kind of latency (see `KINDS`) should not exceed, of all requests or of one class."""

    kind: str
    limit_s: float
    request_class: str | None


def count_over(
    requests: Mapping[str, npt.NDArray[Any]],
    good: npt.NDArray[np.bool_],
    request_classes: Sequence[str],
    limits: Sequence[Limit],
    start_s: float,
    end_s: float,
) -> Minutes:
    """Requests by limit, minute of arrival, and (told of, over the limit).

    `requests` are those that arrived in [start_s, end_s), `good` says which were answered. A kind that counts
    failed requests at their deadline has a failure over the limit if the deadline is.
    """
    seconds = end_s - start_s
    since_s = requests["arrival_s"] - start_s
    valid = requests["valid"].astype(bool)
    whole_s = requests["end_s"] - requests["arrival_s"]
    first_s = requests["first_token_s"] - requests["arrival_s"]
    streamed = valid & good & np.isfinite(first_s)
    deadline_s = requests["deadline_s"]
    values = {
        "latency": (valid & good, whole_s),
        "latency_all": (valid, np.where(good, whole_s, deadline_s)),
        "latency_ended": (valid, whole_s),
        "ttft": (streamed, first_s),
        "ttft_all": (streamed | (valid & ~good), np.where(good, first_s, deadline_s)),
    }
    rows = []
    for kind, limit_s, request_class in limits:
        told, seconds_of = values[kind]
        if request_class is not None:
            told = told & (requests["request_class"] == request_classes.index(request_class))
        over = seconds_of[told] > limit_s * (1 + ROUNDING)
        rows.append(count_minutes(np.zeros(len(over), dtype=np.int64), since_s[told], over, 1, seconds)[0])
    if not rows:
        return np.zeros((0, 0, 2), dtype=np.int32)
    return np.stack(rows)
