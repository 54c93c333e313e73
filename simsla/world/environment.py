"""The environment: every fault episode of a run, drawn wholly before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from simsla.records.log import categorical

if TYPE_CHECKING:
    import pandas as pd

FAULT_KINDS: Final = ("outage", "hang", "brownout", "slowdown", "cut", "malformed")
"""What a fault does; a code is an index into this tuple."""

Episode = tuple[int, int, float, float, float, int]


@dataclass(frozen=True, slots=True)
class Environment:
    """Fault episodes as columns, ordered by start.

    `component` (a code into `components`), `kind` (a code of `FAULT_KINDS`), `start_s` and `end_s` (seconds
    of absolute time), `severity` (the share of attempts hit; for a slowdown the factor on latency) and
    `error` (the HTTP status with which a brownout answers, otherwise 0).
    """

    component: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    severity: npt.NDArray[np.float64]
    error: npt.NDArray[np.int16]
    components: tuple[str, ...]

    @classmethod
    def of(cls, episodes: Iterable[Episode], components: tuple[str, ...]) -> Environment:
        """An environment of rows (component code, kind code, start, end, severity, error), in any order."""
        rows = sorted(episodes, key=lambda row: (row[2], row[0], row[1], row[3]))
        columns: list[Any] = list(zip(*rows, strict=True)) or [()] * 6
        return cls(
            np.array(columns[0], dtype=np.int32),
            np.array(columns[1], dtype=np.int8),
            np.array(columns[2], dtype=np.float64),
            np.array(columns[3], dtype=np.float64),
            np.array(columns[4], dtype=np.float64),
            np.array(columns[5], dtype=np.int16),
            components,
        )

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self.start_s)

    def between(self, start_s: float, end_s: float) -> Environment:
        """The episodes that overlap an interval of time, whole."""
        keep = (self.start_s < end_s) & (self.end_s > start_s)
        return Environment(
            self.component[keep],
            self.kind[keep],
            self.start_s[keep],
            self.end_s[keep],
            self.severity[keep],
            self.error[keep],
            self.components,
        )

    def frame(self) -> pd.DataFrame:
        """One row per episode, names in place of codes."""
        import pandas as pd

        return pd.DataFrame(
            {
                "component": categorical(self.component, self.components),
                "kind": categorical(self.kind, FAULT_KINDS),
                "start_s": self.start_s,
                "end_s": self.end_s,
                "severity": self.severity,
            }
        )
