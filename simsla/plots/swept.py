"""Swept values as positions on an axis and as words in a legend."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from simsla.scenario.quantities import duration_s, format_duration, rate_per_s

IN_SECONDS: Final = frozenset(
    {"horizon", "warmup", "start", "duration", "deadline", "retry_after", "gap", "uptime", "repair"}
)
"""Fields of a scenario whose plain numbers are seconds."""

LOGARITHMIC_FROM: Final = 20.0
"""The ratio of greatest to least value from which the axis is logarithmic."""

CLOSEST_TICKS: Final = 0.07
"""Of the width of the axis."""


class Scale(NamedTuple):
    """The values of one swept path, in the order of the sweep, and where they stand on an axis."""

    values: tuple[Any, ...]
    positions: tuple[float, ...]
    labels: tuple[str, ...]
    categorical: bool

    def position(self, value: Any) -> float:
        """Where a swept value stands."""
        return self.positions[self.values.index(value)]


def scale_of(path: str, values: Sequence[Any]) -> Scale:
    """Numbers stand where they are, durations by their seconds, rates per second, all else side by side."""
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    seconds = path.rpartition(".")[2] in IN_SECONDS
    for number, word in (
        (plain_number, duration if seconds else words),
        (duration_s, duration),
        (rate_per_s, words),
    ):
        try:
            at = [number(value) for value in distinct]
        except ValueError:
            continue
        return Scale(tuple(distinct), tuple(at), tuple(word(value) for value in distinct), False)
    return Scale(tuple(distinct), tuple(map(float, range(len(distinct)))), tuple(map(words, distinct)), True)


def plain_number(value: object) -> float:
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"not a number: {value!r}")


def duration(value: object) -> str:
    return format_duration(duration_s(value))


def words(value: object) -> str:
    """A swept value in words, as a scenario file would have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return f"{value:.6g}"
    return json.dumps(value, default=str)


def lay_out(ax: Axes, scale: Scale) -> None:
    """Ticks at the swept values, but for those that would run into another; logarithmic if they spread so."""
    low, high = min(scale.positions), max(scale.positions)
    logarithmic = not scale.categorical and low > 0 and high / low >= LOGARITHMIC_FROM
    if logarithmic:
        ax.set_xscale("log")
    along = np.array(scale.positions)
    if high > low:
        along = (along - low) / (high - low)
        if logarithmic:
            along = np.log(np.array(scale.positions) / low) / math.log(high / low)
    kept: list[int] = []
    for i in np.argsort(along, kind="stable").tolist():
        if scale.categorical or not kept or along[i] - along[kept[-1]] >= CLOSEST_TICKS:
            kept.append(i)
    ax.xaxis.set_minor_locator(NullLocator())
    labels = [scale.labels[i] for i in kept]
    crowded = sum(map(len, labels)) > 70
    turned: dict[str, Any] = {"rotation": 25, "ha": "right"} if crowded else {}
    ax.set_xticks([scale.positions[i] for i in kept], labels, **turned)
    if scale.categorical or high == low:
        ax.set_xlim(low - 0.5, high + 0.5)
