"""How many windows each stratum gets: Neyman's allocation (1934) from a pilot, with what a window costs.

Most of the requests go where failures are many and uneven: in proportion to W s / sqrt(c), with the size W of
a stratum, the spread s of its failures between windows and the requests c of a window. The rest goes
where a small pilot may have missed most: so that the sum of the bounds b / n that strata without failures
would have (rule of three) is least, which it is in proportion to sqrt(b / c).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST", "neyman"]

UNSEEN: Final = 0.25
"""The part of the requests that looks for failures that the pilot has not seen."""
LEAST: Final = 3
"""Windows that every stratum gets, where it has so many."""
MARGIN: Final = 1.5
"""How much smaller a variance than the wanted one is aimed at: a pilot knows the spread only roughly."""
HALVINGS: Final = 60

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def neyman(
    spread: Floats,
    cost: Floats,
    cells: Ints,
    hidden: Floats,
    requests: float,
    half_width: float | None = None,
) -> Ints:
    """The windows of each stratum, at most all of its `cells`, for at most so many `requests`.

    `spread` is the standard error that one window of the stratum would leave in the total, `cost` the
    requests of a window, `hidden` (above 0) how much could fail unseen if one window of it saw no failure.
    With `half_width`, what the 95 % half-width of the total may be, no more windows are asked for than that
    should take. Where even the least for every stratum takes more requests, that is it.
    """
    root = np.sqrt(cost)
    needed = float(spread @ root)
    search = np.sqrt(hidden)
    parts = UNSEEN * search / root / float(search @ root)
    if needed > 0:
        parts = parts + (1 - UNSEEN) * spread / root / needed

    def windows(scale: float) -> Ints:
        return np.minimum(np.maximum(np.floor(scale * parts), LEAST), cells).astype(np.int64)

    def enough(scale: float) -> bool:
        if half_width is None:
            return False
        return float((spread**2 / windows(scale)).sum()) * MARGIN <= (half_width / 1.96) ** 2

    low, high = 0.0, float(cells @ cost + requests + 1) / float((parts * cost).min())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if float(windows(middle) @ cost) > requests or enough(middle):
            high = middle
        else:
            low = middle
    # The smallest that is enough, if that can be paid for; else the most that can.
    return windows(high if float(windows(high) @ cost) <= requests else low)
