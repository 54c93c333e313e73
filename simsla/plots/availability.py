"""The availability curve of a sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from simsla.analysis.intervals import unseen_share
from simsla.distributions import nearest
from simsla.plots.colours import LINE_STYLES, MARKERS, SERIES
from simsla.plots.figures import axes_or_new, light_grid, what_was_run
from simsla.plots.nines import NinesScale, nines, percent
from simsla.plots.swept import Scale, lay_out, scale_of, words
from simsla.run import Result
from simsla.studies import Study

DODGE: Final = 0.08
"""Between lines over a categorical axis, of the distance of two categories."""


class Line(NamedTuple):
    """The points that share every swept value but that of x."""

    label: str
    colour: str
    marker: str
    style: str
    points: list[tuple[float, Result]]


def plot_availability_curve(
    study: Study | Mapping[str, Study],
    x: str | None = None,
    *,
    by: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """Availability on a nines axis against one swept path, with 95 % intervals.

    `study` is one study, or several by name (policies, for example) which are drawn together. `x` is the path
    along the axis, by default the first one varied. There is a line for each value of the other paths: colour
    and marker tell those of `by` apart (by default the first other path, or the names of the studies), line
    style the rest. Durations and rates in words stand at their numbers. Data coordinates of the y axis are shares.

    Where no request failed the value, 1, is off the axis: a triangle pointing up marks the lower end of its
    interval. The scenario's objectives for availability are dashed lines. Further arguments go to `Axes.plot`.

    Raises ValueError for a path that was not varied, naming the nearest one.
    """
    studies = dict(study) if isinstance(study, Mapping) else {"": study}
    if not studies:
        raise ValueError("study: expected at least one study")
    paths = list(dict.fromkeys(path for each in studies.values() for path in each.paths))
    x = paths[0] if x is None else varied("x", x, paths)
    others = [path for path in paths if path != x]
    coloured = [by] if isinstance(by, str) else list(by if by is not None else others[: len(studies) < 2])
    for path in coloured:
        varied("by", path, others)
    for name, each in studies.items():
        if set(each.paths) != set(paths):
            raise ValueError(f"study {name!r} varies {', '.join(each.paths)}, not {', '.join(paths)}")

    ax = axes_or_new(ax)
    results = [result for each in studies.values() for result in each.results]
    scale = scale_of(x, [point[x] for each in studies.values() for point in each.points])
    lines = lines_of(studies, x, others, coloured, scale)
    ax.set_yscale(NinesScale())
    for i, each in enumerate(lines):
        offset = DODGE * (i - (len(lines) - 1) / 2) if scale.categorical else 0.0
        draw(ax, each, offset, dashed=scale.categorical, **line)
    objectives = {
        (o.name, o.target) for r in results for o in r.scenario.objectives if o.metric == "availability"
    }
    ax.set_ylim(*limits(results, [target for _, target in objectives]))
    lay_out(ax, scale)
    for name, target in sorted(objectives):
        ax.axhline(target, color="black", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        text = f"objective {percent(target)}" if name == "availability" else f"{name}: {percent(target)}"
        ax.annotate(
            text, (0.995, target), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", fontsize="small",
        )  # fmt: skip
    light_grid(ax)
    ax.set_xlabel(x)
    ax.set_ylabel("availability (good / valid requests)")
    names = list(dict.fromkeys(each.scenario.name for each in studies.values()))
    ax.set_title(f"{', '.join(names)}: availability\n{what_was_run(results)}", fontsize="medium", loc="left")
    if len(lines) > 1:
        ax.legend(title="\n".join(others) or None, fontsize="small", title_fontsize="small", framealpha=0.9)
    return ax


def varied(argument: str, path: str, paths: Sequence[str]) -> str:
    if path in paths:
        return path
    hint = nearest(path, paths)
    raise ValueError(
        f"{argument}: expected a varied path ({', '.join(paths) or 'there is no other'}), got {path!r}"
        + (f"; did you mean {hint!r}?" if hint else "")
    )


def lines_of(
    studies: Mapping[str, Study], x: str, others: Sequence[str], coloured: Sequence[str], scale: Scale
) -> list[Line]:
    """A line per study and combination of the other paths' values, in the order of the sweep."""
    styled = [path for path in others if path not in coloured]
    if len(studies) < 2 or by_name_only(coloured):
        first, second = coloured, styled
    else:
        first, second = coloured, styled
    colours: dict[str, int] = {}
    styles: dict[str, int] = {}
    lines: dict[tuple[str, ...], Line] = {}
    return list(lines.values())
