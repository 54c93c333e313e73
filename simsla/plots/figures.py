"""What every plot says in the same way, and where it draws when it is not told."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from simsla.run import Result


def axes_or_new(ax: Axes | None, size_in: tuple[float, float] = (8.0, 4.8)) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=size_in, layout="constrained")[1]


def what_was_run(results: Sequence[Result]) -> str:
    """The replications behind each number, and whether there are intervals, for a title."""
    counts = sorted({result.replications for result in results})
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 1:
        return "1 replication, no intervals"
    return f"{many} replications, 95 % intervals"


def light_grid(ax: Axes) -> None:
    """Lines to read values by, behind everything."""
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
