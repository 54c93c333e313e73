"""Parts that are up and down in turn: alternating renewal, alone and together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero, at_least_zero, plain
from simsla.analysis.closed_forms.formula import formula

__all__ = [
    "YEAR_S",
    "expected_episodes",
    "simultaneous_outage_s",
    "simultaneous_outages",
    "simultaneous_unavailability",
    "steady_availability",
]

YEAR_S = 365.25 * 86_400.0

ALTERNATING = "times up and down are independent of one another, of any distribution; the long run"
TOGETHER = "independent parts, each up and down in turn, times of any distribution; the long run"


@formula("MTBF / (MTBF + MTTR)", assumes=ALTERNATING, source="Barlow and Proschan 1965")
def steady_availability(uptime_s: npt.ArrayLike, repair_s: npt.ArrayLike) -> Any:
    """The share of time that a part is up: mean time up / (mean time up + mean time down).

    `uptime_s` (above 0) runs from a repair to the next failure, `repair_s` (>= 0) from there to the repair;
    means, in seconds. Raises ValueError.
    """
    up, down = above_zero(uptime_s, "uptime_s"), at_least_zero(repair_s, "repair_s")
    return plain(up / (up + down))


@formula("expected episodes", assumes=ALTERNATING, source="Cox 1962")
def expected_episodes(uptime_s: npt.ArrayLike, repair_s: npt.ArrayLike, horizon_s: npt.ArrayLike) -> Any:
    """The expected number of failures of a part that begin within a horizon.

    Mean times up and down and the horizon, all in seconds. Raises ValueError.
    """
    up, down = above_zero(uptime_s, "uptime_s"), at_least_zero(repair_s, "repair_s")
    return plain(at_least_zero(horizon_s, "horizon_s") / (up + down))


def parts(uptime_s: npt.ArrayLike, repair_s: npt.ArrayLike) -> tuple[Any, Any]:
    up, down = above_zero(uptime_s, "uptime_s"), above_zero(repair_s, "repair_s")
    up, down = np.broadcast_arrays(np.atleast_1d(up), np.atleast_1d(down))
    return up, down


@formula("all parts down together", assumes=TOGETHER, source="Barlow and Proschan 1965")
def simultaneous_unavailability(uptime_s: npt.ArrayLike, repair_s: npt.ArrayLike) -> Any:
    """The share of time that all parts are down: the product of their shares.

    Mean times up and down in seconds, above 0, one per part along the last axis. Raises ValueError.
    """
    up, down = parts(uptime_s, repair_s)
    return plain((down / (up + down)).prod(axis=-1))


@formula("outages of all parts together", assumes=TOGETHER, source="Ross 1975")
def simultaneous_outages(
    uptime_s: npt.ArrayLike, repair_s: npt.ArrayLike, horizon_s: npt.ArrayLike = YEAR_S
) -> Any:
    """The expected number of times within a horizon (seconds; default a year) that all parts are down.

    An outage of all ends with the repair of one while the others are down, so there are
    horizon x sum(1 / repair) x the share of time that all are down. Mean times up and down in seconds,
    above 0, one per part along the last axis. Raises ValueError.
    """
    up, down = parts(uptime_s, repair_s)
    together = (down / (up + down)).prod(axis=-1)
    return plain(at_least_zero(horizon_s, "horizon_s") * together * (1 / down).sum(axis=-1))


@formula("mean outage of all parts together", assumes=TOGETHER, source="Ross 1975")
def simultaneous_outage_s(repair_s: npt.ArrayLike) -> Any:
    """How long, on average and in seconds, an outage of all parts lasts: 1 / sum(1 / repair).

    `repair_s` are mean times down in seconds, above 0, one per part along the last axis. Raises ValueError.
    """
    down = np.atleast_1d(above_zero(repair_s, "repair_s"))
    return plain(1 / (1 / down).sum(axis=-1))
