"""The two logs of a replication as NumPy columns, and as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from simsla.records.names import ATTEMPT_OUTCOMES, CACHE_HITS, OUTCOMES, PURPOSES

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, npt.NDArray[Any]]

# Packed little-endian rows: what `struct` writes, NumPy reads without a copy.
REQUEST_ROW = np.dtype(
    [
        ("request", "<i8"),
        ("request_class", "<i2"),
        ("arrival_s", "<f8"),
        ("end_s", "<f8"),
        ("outcome", "<i1"),
        ("deployment", "<i2"),
        ("first_token_s", "<f8"),
        ("prompt_tokens", "<i4"),
        ("output_tokens", "<i4"),
        ("deadline_s", "<f8"),
        ("valid", "?"),
        ("cache_hit", "<i1"),
    ]
)
ATTEMPT_ROW = np.dtype(
    [
        ("request", "<i8"),
        ("deployment", "<i2"),
        ("ordinal", "<i4"),
        ("purpose", "<i1"),
        ("start_s", "<f8"),
        ("queued_s", "<f8"),
        ("first_token_s", "<f8"),
        ("end_s", "<f8"),
        ("outcome", "<i1"),
        ("tokens_in", "<i4"),
        ("tokens_out", "<i4"),
        ("cost_usd", "<f8"),
        ("cancelled", "?"),
    ]
)


@dataclass(frozen=True, slots=True)
class Log:
    """Everything one replication recorded, warm-up included.

    `requests` has one row per request: `request` (its number), `request_class` and `deployment` (codes into
    the tuples below; the deployment is the one that answered, -1 for none), `arrival_s`, `end_s`,
    `first_token_s` (times on the replication's clock; the first token of the answer, NaN without one),
    `outcome` (a code of `OUTCOMES`), `prompt_tokens`, `output_tokens` (of the answer), `deadline_s` (its
    class's), `valid` (False: could never succeed anywhere), `cache_hit` (a code of `CACHE_HITS`; what is not
    `cached` is none), and, over all its attempts, `attempts` and `cost_usd`.

    `attempts` has one row per call: `request` (-1: it belongs to nobody), `deployment`, `ordinal` (of this
    request's call to this deployment, from 0), `purpose` (a code of `PURPOSES`), `start_s`, `queued_s`
    (seconds waited for a free slot), `first_token_s`, `end_s`, `outcome` (a code of `ATTEMPT_OUTCOMES`),
    `tokens_in` and `tokens_out` (as billed), `cost_usd` and `cancelled`.
    """

    requests: Columns
    attempts: Columns
    request_classes: tuple[str, ...]
    deployments: tuple[str, ...]

    @classmethod
    def of(
        cls,
        requests: Columns,
        attempts: Columns,
        request_classes: tuple[str, ...],
        deployments: tuple[str, ...],
    ) -> Log:
        """A log of what a recorder kept: each request is credited with its attempts, late ones too."""
        count, cost_usd = _credited(requests["request"], attempts["request"], attempts["cost_usd"])
        return cls(
            {**requests, "attempts": count, "cost_usd": cost_usd}, attempts, request_classes, deployments
        )

    def requests_frame(self) -> pd.DataFrame:
        """The request log as a frame, names in place of codes."""
        return _frame(
            self.requests,
            {
                "request_class": self.request_classes,
                "outcome": OUTCOMES,
                "deployment": self.deployments,
                "cache_hit": CACHE_HITS,
            },
        )

    def attempts_frame(self) -> pd.DataFrame:
        """The attempt log as a frame, names in place of codes, with the derived column `relation`.

        `relation` is `first`, `hedge` (it overlaps an earlier attempt of the same request and purpose) or
        `retry` (it does not).
        """
        frame = _frame(
            self.attempts,
            {"deployment": self.deployments, "purpose": PURPOSES, "outcome": ATTEMPT_OUTCOMES},
        )
        frame.insert(4, "relation", categorical(relations(self.attempts), ("first", "retry", "hedge")))
        return frame


def relations(attempts: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int8]:
    """0 for the first attempt of a request and purpose, 2 where it overlaps an earlier one, else 1.

    Attempts that belong to nobody have no relation to one another.
    """
    request, start, end = attempts["request"], attempts["start_s"], attempts["end_s"]
    result = np.zeros(len(request), dtype=np.int8)
    order = np.lexsort((end, start, attempts["purpose"], request))
    request, purpose = request[order], attempts["purpose"][order]
    same = (request[1:] == request[:-1]) & (purpose[1:] == purpose[:-1]) & (request[1:] >= 0)
    again = np.flatnonzero(same) + 1
    latest = end[order].copy()
    for row in again:  # few: only requests with more than one attempt
        overlaps = start[order[row]] < latest[row - 1]
        result[order[row]] = 2 if overlaps else 1
        latest[row] = max(latest[row], latest[row - 1])
    return result


def _credited(
    requests: npt.NDArray[np.int64], owners: npt.NDArray[np.int64], costs: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """The number and the cost of the attempts that each request owns."""
    order = np.argsort(requests, kind="stable")
    rank = np.searchsorted(requests[order], owners)
    known = rank < len(requests)
    known[known] = requests[order][rank[known]] == owners[known]
    row = order[rank[known]]
    count = np.bincount(row, minlength=len(requests)).astype(np.int32)
    cost_usd = np.bincount(row, weights=costs[known], minlength=len(requests)).astype(np.float64)
    return count, cost_usd


def categorical(codes: npt.NDArray[Any], names: Sequence[str]) -> Any:
    """A pandas categorical: names in place of codes; a negative code is no name."""
    import pandas as pd

    # The stubs know lists of codes alone; pandas takes arrays.
    return cast(Any, pd.Categorical).from_codes(codes, list(names))


def _frame(columns: Columns, categories: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    import pandas as pd

    data: dict[str, Any] = dict(columns)
    for name, names in categories.items():
        data[name] = categorical(columns[name], names)
    return pd.DataFrame(data)
