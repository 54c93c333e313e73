"""The nines axis: availability spread by -log10(1 - availability)."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axis import Axis
from matplotlib.scale import ScaleBase
from matplotlib.ticker import Formatter, Locator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Transform

MOST_NINES: Final = 15.0
"""Doubles end here: 1 itself is drawn as so many nines, far above any axis."""

FEWEST_TICKS: Final = 3


class NinesScale(ScaleBase):
    """A scale for `Axes.set_yscale`: 90 %, 99 % and 99.9 % are equally far apart; data stay shares."""

    name = "nines"

    def __init__(self) -> None:
        """Needs no axis, so that nothing has to be registered with matplotlib."""

    def get_transform(self) -> Transform:
        """From availability to nines."""
        return ToNines()

    def set_default_locators_and_formatters(self, axis: Axis) -> None:
        """Ticks where a new nine begins and, where there is room, at 2 and 5 times its unavailability."""
        axis.set_major_locator(NinesLocator())
        axis.set_major_formatter(PercentFormatter())
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())

    def limit_range_for_scale(self, vmin: float, vmax: float, minpos: float) -> tuple[float, float]:
        """Below 1, which is infinitely far away."""
        return vmin, min(vmax, 1 - 10**-MOST_NINES)


class ToNines(Transform):
    input_dims = output_dims = 1
    is_separable = True

    def transform_non_affine(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        lost = 1 - np.asarray(values, dtype=np.float64)
        return -np.log10(np.maximum(lost, 10**-MOST_NINES))

    def inverted(self) -> Transform:
        return FromNines()


class FromNines(Transform):
    input_dims = output_dims = 1
    is_separable = True

    def transform_non_affine(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(1 - 10 ** -np.asarray(values, dtype=np.float64))

    def inverted(self) -> Transform:
        return ToNines()


class NinesLocator(Locator):
    def __call__(self) -> list[float]:
        # Matplotlib sets the axis before it asks.
        return self.tick_values(*self.axis.get_view_interval())  # type: ignore[union-attr]

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        vmin, vmax = sorted((vmin, vmax))
        first, last = (nines(value) for value in (vmin, vmax))
        whole = [(1, k) for k in range(max(math.floor(first), 0), math.ceil(last) + 1)]
        finer = [(m, k) for _, k in whole for m in (5, 2, 1)]
        for candidates in (whole, finer):
            ticks = [t for m, k in candidates if vmin <= (t := round(1 - m * 10.0**-k, k + 1)) <= vmax]
            if len(ticks) >= FEWEST_TICKS:
                return ticks
        # Within a third of a nine the scale is nearly linear.
        even = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(vmin, vmax)
        slack = 1e-9 * (vmax - vmin)
        return [float(tick) for tick in even if vmin - slack <= tick <= vmax + slack]


class PercentFormatter(Formatter):
    def __call__(self, x: float, pos: Any = None) -> str:
        return percent(x)


def nines(availability: float) -> float:
    """-log10(1 - availability), where 1 itself is `MOST_NINES`."""
    return -math.log10(max(1 - availability, 10**-MOST_NINES))  # nan stays nan: max keeps its first argument


def percent(share: float) -> str:
    """A share in per cent, without needless digits; rounded to 100 % only within the noise of a double."""
    share = round(share, 13)
    text = f"{100 * share:.{math.ceil(nines(share)) + 2}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
