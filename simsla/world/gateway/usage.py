"""What is left of the gateway after a run: its pods over time, and what the autoscaler saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GatewayUsage"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GatewayUsage:
    """The pods of a gateway in one run, on the run's clock.

    From each `time_s` on there are so many `pods` (paid for, ready or not), of which so many are `ready`, and
    so many `wanted`. At each `look_s` of the autoscaler its metrics had the `values` (a row each; nan where
    there was none), of pods their mean.
    """

    usd_per_pod_hour: float
    time_s: Floats
    pods: Ints
    ready: Ints
    wanted: Ints
    metrics: tuple[str, ...]
    look_s: Floats
    values: Floats

    @classmethod
    def of(
        cls,
        usd_per_pod_hour: float,
        pods: Sequence[tuple[float, int, int, int]],
        metrics: tuple[str, ...],
        looks: Sequence[tuple[float, ...]],
    ) -> GatewayUsage:
        """From rows (time, pods, ready, wanted) and (time, value of each metric), in order."""
        table = np.array(pods, dtype=np.float64).reshape(-1, 4)
        seen = np.array(looks, dtype=np.float64).reshape(-1, 1 + len(metrics))
        existing, ready, wanted = table[:, 1:].astype(np.int64).T
        return cls(usd_per_pod_hour, table[:, 0], existing, ready, wanted, metrics, seen[:, 0], seen[:, 1:])

    def pod_hours(self, start_s: float, end_s: float) -> float:
        """Hours of pods, ready or not, within an interval of the run's clock."""
        edges = np.clip(np.append(self.time_s, np.inf), start_s, end_s)
        return float(np.dot(self.pods, np.diff(edges))) / 3600.0

    def cost_usd(self, start_s: float, end_s: float) -> float:
        """What the pods cost within an interval of the run's clock."""
        return self.pod_hours(start_s, end_s) * self.usd_per_pod_hour

    def frame(self) -> pd.DataFrame:
        """One row per change: time_s, pods, ready, wanted."""
        import pandas as pd

        return pd.DataFrame(
            {"time_s": self.time_s, "pods": self.pods, "ready": self.ready, "wanted": self.wanted}
        )

    def looks(self) -> pd.DataFrame:
        """One row per look of the autoscaler: time_s, and the value of each metric."""
        import pandas as pd

        columns = {name: self.values[:, i] for i, name in enumerate(self.metrics)}
        return pd.DataFrame({"time_s": self.look_s, **columns})
