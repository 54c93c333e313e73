"""The environment: every fault episode of a run, drawn wholly before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from simsla.records.log import categorical

if TYPE_CHECKING:
    import pandas as pd

    from simsla.scenario import Only

FAULT_KINDS: Final = (
    "outage",
    "hang",
    "brownout",
    "slowdown",
    "cut",
    "malformed",
    "rate_limit_storm",
    "connect",
)
"""What a fault does; a code is an index into this tuple."""

Episode = tuple[int, int, float, float, float, int]


@dataclass(frozen=True, slots=True)
class Manner:
    """What else there is to say of an episode, which for most is nothing.

    `only` are those whom it hits, None being everybody, and `name` says whose draw decides which clients they
    are. `retry_after_s` goes with the 429 of a rate-limit storm, `hang` means a connection that is not even
    refused. `planned` episodes are the same in every replication.
    """

    only: Only | None = None
    name: str = ""
    retry_after_s: float | None = None
    hang: bool = False
    planned: bool = False


ORDINARY: Final = Manner()


@dataclass(frozen=True, slots=True)
class Environment:
    """Fault episodes as columns, ordered by start.

    `component` (a code into `components`), `kind` (a code of `FAULT_KINDS`), `start_s` and `end_s` (seconds
    of absolute time; the end is infinite where nobody repairs it), `severity` (the share of attempts hit; for
    a slowdown the factor on latency), `error` (the HTTP status with which a brownout answers, otherwise 0)
    and `manner` (a code into `manners`).
    """

    component: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    severity: npt.NDArray[np.float64]
    error: npt.NDArray[np.int16]
    components: tuple[str, ...]
    manner: npt.NDArray[np.int16] | None = None
    """None: all are ordinary."""
    manners: tuple[Manner, ...] = (ORDINARY,)

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

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Environment:
        """Some of the episodes, by mask or by index."""
        return replace(
            self,
            component=self.component[rows],
            kind=self.kind[rows],
            start_s=self.start_s[rows],
            end_s=self.end_s[rows],
            severity=self.severity[rows],
            error=self.error[rows],
            manner=None if self.manner is None else self.manner[rows],
        )

    def between(self, start_s: float, end_s: float) -> Environment:
        """The episodes that overlap an interval of time, whole."""
        return self.select((self.start_s < end_s) & (self.end_s > start_s))

    def manner_codes(self) -> npt.NDArray[np.int16]:
        """The column `manner`, whether or not there is anything to say."""
        return np.zeros(len(self), dtype=np.int16) if self.manner is None else self.manner

    def planned(self) -> npt.NDArray[np.bool_]:
        """Which episodes are scheduled, and so the same in every replication."""
        planned = np.array([manner.planned for manner in self.manners])
        return planned[self.manner_codes()]

    def frame(self) -> pd.DataFrame:
        """One row per episode, names in place of codes; `only` says in words whom a grey failure hits."""
        import pandas as pd

        texts = [in_words(manner.only) for manner in self.manners]
        names = tuple(dict.fromkeys(texts))
        codes = np.array([names.index(text) for text in texts])
        return pd.DataFrame(
            {
                "component": categorical(self.component, self.components),
                "kind": categorical(self.kind, FAULT_KINDS),
                "start_s": self.start_s,
                "end_s": self.end_s,
                "severity": self.severity,
                "only": categorical(codes[self.manner_codes()], names),
            }
        )


def in_words(only: Only | None) -> str:
    if only is None:
        return "everybody"
    parts = [f"{only.clients:.4g} of the clients"] if only.clients < 1 else []
    parts += [f"of {' or '.join(only.classes)}"] if only.classes else []
    parts += [f"in {' or '.join(only.regions)}"] if only.regions else []
    return " ".join(parts)
