"""The availability curve of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from simsla.analysis.intervals import unseen_share
from simsla.distributions import nearest
from simsla.plots.colours import BLACK, GREY, LINE_STYLES, MARKERS, SERIES
from simsla.plots.figures import axes_or_new, light_grid, what_was_run
from simsla.plots.nines import NinesScale, nines, percent
from simsla.plots.swept import lay_out, scale_of, words
from simsla.run import Result
from simsla.studies import Study

DODGE: Final = 0.08
"""Between lines over a categorical axis, of the distance of two categories."""

NAME: Final = ""
"""The path under which a point has the name of its study; no path in a scenario is empty."""


class Line(NamedTuple):
    """The results that share every swept value but that of x, each with its place on the axis."""

    label: str
    look: dict[str, Any]
    points: list[tuple[float, Result]]


def plot_availability_curve(
    study: Study | Mapping[str, Study],
    x: str | None = None,
    *,
    by: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """Availability against one swept path, on a nines axis, with 95 % intervals.

    `study` is one study, or several by name (one for each policy, say) to be drawn together. `x` is the path
    along the axis, by default the first one varied. There is a line for each combination of the other paths'
    values: colour and marker tell those of `by` apart (by default the names of the studies, else the first
    other path), the line style tells the rest. Durations and rates in words stand at their numbers, other
    words side by side. On the y axis, data coordinates are shares.

    Where no request failed the value, 1, is infinitely far up: a triangle marks the lower end of its
    interval instead. Dashed lines are the scenario's objectives for availability. Further arguments go to
    `Axes.plot`.

    Raises ValueError for a path that was not varied, naming the nearest one.
    """
    studies = dict(study) if isinstance(study, Mapping) else {NAME: study}
    points = [
        ({NAME: name, **point}, result)
        for name, each in studies.items()
        for point, result in zip(each.points, each.results, strict=True)
    ]
    paths = common_paths(studies)
    x = paths[0] if x is None else one_of(paths, x, "x")
    others = [path for path in ((NAME, *paths) if len(studies) > 1 else paths) if path != x]
    coloured = (
        others[:1] if by is None else [one_of(others, p, "by") for p in ([by] if isinstance(by, str) else by)]
    )

    own_figure = ax is None
    ax = axes_or_new(ax)
    ax.set_yscale(NinesScale())
    scale = scale_of(x, [point[x] for point, _ in points])
    placed = [(scale.position(point[x]), point, result) for point, result in points]
    lines = lines_of(placed, others, coloured)
    for i, each in enumerate(lines):
        offset = DODGE * (i - (len(lines) - 1) / 2) if scale.categorical else 0.0
        draw(ax, each, offset, banded=not scale.categorical, **line)
    lay_out(ax, scale)

    results = [result for _, result in points]
    objectives = dict.fromkeys(
        (o.name, o.target)
        for result in results
        for o in result.scenario.objectives
        if o.metric == "availability" and o.request_class is None
    )
    ax.set_ylim(*limits(results, [target for _, target in objectives]))
    for name, target in objectives:
        ax.axhline(target, color=BLACK, linestyle=(0, (4, 3)), linewidth=1, zorder=1.5)
        ax.annotate(
            f"objective {percent(target)}" if name == "availability" else f"{name}: {percent(target)}",
            (0.99, target),
            (0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize="small",
            annotation_clip=True,
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
        )
    light_grid(ax)
    ax.set_xlabel(x)
    ax.set_ylabel("availability (good / valid requests)")
    names = ", ".join(dict.fromkeys(each.scenario.name for each in studies.values()))
    ax.set_title(f"Availability of {names}: {what_was_run(results)}", fontsize="medium")
    handles, labels = ax.get_legend_handles_labels()
    if any(result.availability.value == 1 for result in results):
        handles.append(Line2D([], [], linestyle="", marker="^", color=GREY, markersize=8))
        labels.append("none failed: lower bound")
    if labels:
        title = "\n".join(path for path in others if path != NAME)
        # Beside the bands, where the layout of the figure is this function's own to decide.
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
        ax.legend(
            handles,
            labels,
            title=title or None,
            fontsize="small",
            title_fontsize="small",
            **(beside if own_figure else {}),
        )
    return ax


def common_paths(studies: Mapping[str, Study]) -> tuple[str, ...]:
    """What every study varied. Raises ValueError where they differ."""
    if not studies:
        raise ValueError("study: expected at least one")
    first, *rest = studies.values()
    for each in rest:
        if set(each.paths) != set(first.paths):
            raise ValueError(f"study: one varies {', '.join(first.paths)}, another {', '.join(each.paths)}")
    return first.paths


def one_of(paths: Sequence[str], path: str, argument: str) -> str:
    if path in paths:
        return path
    known = ", ".join(each for each in paths if each != NAME) or "there is none left"
    hint = nearest(path, paths)
    raise ValueError(
        f"{argument}: expected a varied path ({known}), got {path!r}"
        + (f"; did you mean {hint!r}?" if hint else "")
    )


def lines_of(
    placed: Sequence[tuple[float, Mapping[str, Any], Result]],
    others: Sequence[str],
    coloured: Sequence[str],
) -> list[Line]:
    """A line for each combination of the other paths' values, in the order in which they were swept."""
    styled = [path for path in others if path not in coloured]
    colours: dict[tuple[str, ...], int] = {}
    styles: dict[tuple[str, ...], int] = {}
    lines: dict[tuple[str, ...], Line] = {}
    for position, point, result in placed:
        value = {path: words(point[path]) for path in others}
        key = tuple(value.values())
        if key not in lines:
            colour = colours.setdefault(tuple(value[path] for path in coloured), len(colours))
            style = styles.setdefault(tuple(value[path] for path in styled), len(styles))
            look = {
                "color": SERIES[colour % len(SERIES)],
                "marker": MARKERS[colour % len(MARKERS)],
                "linestyle": LINE_STYLES[(style + colour // len(SERIES)) % len(LINE_STYLES)],
            }
            lines[key] = Line(", ".join(key), look, [])
        lines[key].points.append((position, result))
    return list(lines.values())


def draw(ax: Axes, line: Line, offset: float, *, banded: bool, **overrides: Any) -> None:
    """A line with its band, or with bars where nothing lies between the points."""
    points = sorted(line.points, key=lambda point: point[0])
    estimates = [result.availability for _, result in points]
    at = np.array([position + offset for position, _ in points])
    low = np.array([estimate.ci_low for estimate in estimates])
    high = np.array([estimate.ci_high for estimate in estimates])
    shown = np.array([drawable(result) for _, result in points])
    bounded = np.array([estimate.value == 1 for estimate in estimates])
    look = {**line.look, "label": line.label or None, "markersize": 5, "zorder": 3, **overrides}
    # A bound is no value to draw a line through.
    (drawn,) = ax.plot(at, np.where(bounded, np.nan, shown), **look)
    colour = drawn.get_color()
    if banded and len(points) > 1:
        ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0.5)
    else:
        # Bars from end to end: the distance from 1 to the value would lose the digits of a bar by lengths.
        ax.vlines(at, low, high, color=colour, linewidth=1.5, zorder=2.5)
    if bounded.any():
        ax.plot(at[bounded], shown[bounded], "^", color=colour, markersize=9, zorder=3.5)


def drawable(result: Result) -> float:
    """The availability, or a lower bound of it where no request failed."""
    estimate = result.availability
    if estimate.value < 1:
        return estimate.value
    if not math.isnan(estimate.ci_low):
        return estimate.ci_low
    return 1 - float(unseen_share(sum(result.outcomes.values())))


def limits(results: Sequence[Result], targets: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest of values, ends of intervals below 1, and objectives, with a margin."""
    ends = [n for value in interesting(results, targets) if math.isfinite(n := nines(value)) and value < 1]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(0.08 * (high - low), 0.02)
    return 1 - 10 ** -max(low - margin, -0.02), 1 - 10 ** -(high + margin)


def interesting(results: Sequence[Result], targets: Sequence[float]) -> Iterator[float]:
    for result in results:
        yield from (drawable(result), result.availability.ci_low, result.availability.ci_high)
    yield from targets
