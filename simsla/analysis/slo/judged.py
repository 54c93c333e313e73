"""What a service level is counted from: times, and whether each thing was good."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from simsla.records import GOOD_OUTCOMES, OUTCOMES, Log

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "Judged"]

Floats = npt.NDArray[np.float64]

NOT_THE_PROVIDERS: Final = ("cancelled", "bad_request", "context_length")
"""Attempts that no provider answers for: withdrawn, or never possible."""


class Counts(Protocol):
    """What a service level is told from: how many things there were in any time, and how many were bad."""

    def __len__(self) -> int:
        """How many there were."""

    @property
    def bad(self) -> int:
        """How many were not good."""

    def counts(self, start_s: npt.ArrayLike, end_s: npt.ArrayLike) -> tuple[Floats, Floats]:
        """How many there were in (start, end], and how many of them bad; for many windows at once."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Requests, or attempts, of one replication in the order of time: `time_s`, and whether each was `good`.

    `good` are booleans; counts are cumulative, so that every window costs two look-ups.
    """

    time_s: Floats
    good: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, time_s: npt.ArrayLike, good: npt.ArrayLike) -> Self:
        """From times in seconds, in any order. Raises ValueError for other lengths and for NaN."""
        times, flags = np.asarray(time_s, dtype=np.float64), np.asarray(good, dtype=bool)
        if times.ndim != 1 or times.shape != flags.shape or bool(np.isnan(times).any()):
            raise ValueError("expected one time, and one good or not, for each")
        order = np.argsort(times, kind="stable")
        return cls(times[order], flags[order])

    @classmethod
    def requests(cls, log: Log | pd.DataFrame, by: str = "end_s") -> Self:
        """The valid requests of a log, or of a frame such as `Result.requests` cut to one replication.

        `by` is when each counts: "end_s", when a monitor sees it, or "arrival_s". Good are the outcomes ok,
        degraded and cached. A log holds the warm-up as well, a result's frame does not. Raises ValueError for
        a frame of several replications.
        """
        if isinstance(log, Log):
            good = np.isin(log.requests["outcome"], [OUTCOMES.index(name) for name in GOOD_OUTCOMES])
            valid = log.requests["valid"]
            return cls.of(log.requests[by][valid], good[valid])
        one_replication(log)
        frame = log[log["valid"]]
        return cls.of(frame[by].to_numpy(), frame["outcome"].isin(GOOD_OUTCOMES).to_numpy())

    @classmethod
    def attempts(
        cls, frame: pd.DataFrame, deployments: Collection[str] | None = None, leave_out: Collection[str] = ()
    ) -> Self:
        """What providers are judged by: the attempts at some deployments (None: all) of one replication.

        Attempts that were cancelled, or could never succeed, count for nothing; nor do the outcomes
        `leave_out`, such as "rate_limited" where a contract leaves out 429s. They count when they end. Raises
        ValueError for a frame of several replications.
        """
        one_replication(frame)
        mine = ~frame["outcome"].isin([*NOT_THE_PROVIDERS, *leave_out])
        if deployments is not None:
            mine &= frame["deployment"].isin(list(deployments))
        frame = frame[mine]
        return cls.of(frame["end_s"].to_numpy(), (frame["outcome"] == "ok").to_numpy())

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def bad(self) -> int:
        """How many were not good."""
        return len(self) - int(self.good.sum())

    def counts(self, start_s: npt.ArrayLike, end_s: npt.ArrayLike) -> tuple[Floats, Floats]:
        """How many there were in (start, end], and how many of them bad; for many windows at once."""
        bad = np.concatenate(([0], np.cumsum(~self.good)))
        first = np.searchsorted(self.time_s, start_s, side="right")
        last = np.searchsorted(self.time_s, end_s, side="right")
        return (last - first).astype(np.float64), (bad[last] - bad[first]).astype(np.float64)


def one_replication(frame: pd.DataFrame) -> None:
    numbers: Any = frame["replication"].nunique() if "replication" in frame else 1
    if numbers > 1:
        raise ValueError(f"expected the rows of one replication, got {numbers}: windows do not span runs")
