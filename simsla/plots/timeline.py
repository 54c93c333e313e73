"""What happened in one replication, from moment to moment."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from simsla.analysis.intervals import quantile_rank
from simsla.plots.bins import Bins
from simsla.plots.colours import BLACK, BLUE, FAULTS, GREY, SERIES, VERMILION
from simsla.plots.figures import light_grid
from simsla.plots.nines import percent
from simsla.records import GOOD_OUTCOMES, OUTCOMES
from simsla.run import Result
from simsla.scenario.quantities import format_duration
from simsla.simulation import Replication
from simsla.world.environment import FAULT_KINDS

MOST_LANES: Final = 8

MOST_NAMED: Final = len(SERIES) - 1
"""Deployments with a colour of their own."""

PANEL_HEIGHTS: Final = (1.3, 1.0, 1.3)

LANE_IN: Final = 0.2
"""Inches: a line of small text."""

GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Arrivals(NamedTuple):
    """The measured valid requests of a replication."""

    bin: Ints
    good: npt.NDArray[np.bool_]
    latency_s: Floats
    deployment: Ints
    """The one that answered; -1 for none."""


class Lane(NamedTuple):
    """Episodes of faults that are told apart from others in the strip above the panels."""

    label: str
    kind: str
    spans: list[tuple[float, float]]
    """Start and length, in units of the time axis."""


def plot_timeline(result: Result, *, replication: int = 0, ax: Axes | None = None) -> npt.NDArray[Any]:
    """Availability, p99 and traffic of one replication over its measured time, with its faults.

    Three panels share the time axis: availability of the requests that arrived in each bin, with the number
    that failed; the p99 of those answered; the share of answers that each deployment gave. Fault episodes are
    shaded through all panels and named in a strip above them. Bins are wide enough for a p99, where there
    are the requests for it. This is a record of one replication and no estimate: there are no intervals.

    Returns the three axes, from the top. `ax`, where given, is replaced by them. Raises RuntimeError where
    logs were not kept, ValueError for a replication that was not run.
    """
    run = the_run(result, replication)
    columns = run.log.requests
    measured = (columns["arrival_s"] >= run.start_s) & (columns["arrival_s"] < run.end_s) & columns["valid"]
    bins = Bins.covering(run.epoch_s + run.start_s, run.epoch_s + run.end_s, int(measured.sum()))
    arrivals = Arrivals(
        bins.of(run.epoch_s + columns["arrival_s"][measured]),
        np.isin(columns["outcome"][measured], GOOD),
        columns["end_s"][measured] - columns["arrival_s"][measured],
        columns["deployment"][measured].astype(np.int64),
    )
    lanes = lanes_of(run, bins)
    strip, panels = divide(ax, max(len(lanes), 1))
    for panel in panels[:2]:
        shade(panel, lanes)
    draw_availability(panels[0], bins, arrivals)
    draw_p99(panels[1], bins, arrivals)
    draw_traffic(panels[2], bins, arrivals, run.log.deployments)
    shade(panels[2], lanes, over=True)
    draw_strip(strip, lanes)
    strip.set_title(
        f"{result.scenario.name}: {result.policy}, replication {replication} (of {result.replications}), "
        f"bins of {format_duration(bins.width_s)}",
        fontsize="medium",
    )
    panels[2].set_xlabel(f"time ({bins.unit})")
    panels[2].set_xlim(bins.edges[0], bins.edges[-1])
    return panels


def the_run(result: Result, replication: int) -> Replication:
    if not result.runs:
        raise RuntimeError("logs were not kept; run simulate(..., keep_logs=True)")
    for run in result.runs:
        if run.replication == replication:
            return run
    raise ValueError(f"replication: expected 0 to {result.replications - 1}, got {replication!r}")


def divide(ax: Axes | None, lanes: int) -> tuple[Axes, npt.NDArray[Any]]:
    """A strip of so many lanes and three panels, in place of `ax` or in a new figure."""
    strip_in = LANE_IN * lanes
    where: SubplotSpec | None
    if ax is None:
        figure: Any = plt.figure(figsize=(9.0, 6.2 + strip_in), layout="constrained")
        heights = heights_of(strip_in, 6.0 + strip_in)
        rows: Any = figure.add_gridspec(4, 1, height_ratios=heights)
    else:
        figure = ax.get_figure()
        heights = heights_of(strip_in, ax.get_window_extent().height / figure.dpi)
        where = ax.get_subplotspec()
        if where is None:
            place = ax.get_position()
            sides = {"left": place.x0, "right": place.x1, "bottom": place.y0, "top": place.y1}
            rows = figure.add_gridspec(4, 1, height_ratios=heights, hspace=0.15, **sides)
        else:
            rows = where.subgridspec(4, 1, height_ratios=heights, hspace=0.15)
        ax.remove()
    last = figure.add_subplot(rows[3])
    strip, first, second = (figure.add_subplot(rows[i], sharex=last) for i in range(3))
    for upper in (strip, first, second):
        upper.tick_params(labelbottom=False)
    return strip, np.array([first, second, last], dtype=object)


def heights_of(strip_in: float, total_in: float) -> tuple[float, ...]:
    """How the strip and the panels share the height: the panels keep half of it, whatever the strip needs."""
    strip_in = min(strip_in, total_in / 2)
    return (strip_in, *(part / sum(PANEL_HEIGHTS) * (total_in - strip_in) for part in PANEL_HEIGHTS))


# The panels


def draw_availability(ax: Axes, bins: Bins, arrivals: Arrivals) -> None:
    valid = np.bincount(arrivals.bin, minlength=bins.count)
    failed = np.bincount(arrivals.bin[~arrivals.good], minlength=bins.count)
    with np.errstate(invalid="ignore"):
        share = (valid - failed) / valid
    counts = ax.twinx()
    counts.bar(bins.edges[:-1], failed, np.diff(bins.edges), align="edge", color=VERMILION, alpha=0.45)
    counts.set_ylabel("failed requests", color=VERMILION)
    counts.tick_params(axis="y", colors=VERMILION)
    counts.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    # Bars in the lower half, the line above them.
    counts.set_ylim(0, max(2 * int(failed.max()), 1))
    counts.spines["top"].set_visible(False)
    ax.set_zorder(counts.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.stairs(share, bins.edges, baseline=None, color=BLUE, linewidth=1.5, label="availability")
    lowest = float(np.nanmin(share)) if np.isfinite(share).any() else 0.0
    reach = (1 - lowest) or 0.01
    ax.set_ylim(1 - 1.15 * reach, 1 + 0.1 * reach)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(lambda value, _: percent(min(value, 1)))
    ax.set_ylabel("availability")
    light_grid(ax)


def draw_p99(ax: Axes, bins: Bins, arrivals: Arrivals) -> None:
    answered = arrivals.latency_s[arrivals.good]
    at = arrivals.bin[arrivals.good]
    order = np.lexsort((answered, at))
    ordered = answered[order]
    sizes = np.bincount(at, minlength=bins.count)
    p99 = np.full(bins.count, np.nan)
    first = 0
    for i, size in enumerate(sizes.tolist()):
        if size:
            p99[i] = ordered[first + quantile_rank(0.99, size)]
            first += size
    ax.stairs(p99, bins.edges, baseline=None, color=BLACK, linewidth=1.5)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("p99 latency (s)")
    light_grid(ax)


def draw_traffic(ax: Axes, bins: Bins, arrivals: Arrivals, deployments: tuple[str, ...]) -> None:
    """The busiest deployments by name, the others together."""
    code = arrivals.deployment[arrivals.good]
    counts = np.zeros((len(deployments) + 1, bins.count))
    np.add.at(counts, (code, arrivals.bin[arrivals.good]), 1)  # -1 is the last row
    names = [*deployments, "none (cache)"]
    with np.errstate(invalid="ignore"):
        shares = np.nan_to_num(counts / counts.sum(axis=0))
    busiest = np.argsort(-counts.sum(axis=1), kind="stable")
    busiest = busiest[counts.sum(axis=1)[busiest] > 0]
    named = np.sort(busiest[:MOST_NAMED] if len(busiest) > MOST_NAMED + 1 else busiest)
    parts = [(names[i], shares[i], SERIES[k]) for k, i in enumerate(named.tolist())]
    if rest := len(busiest) - len(named):
        parts.append((f"{rest} others", shares[np.setdiff1d(busiest, named)].sum(axis=0), GREY))
    base = np.zeros(bins.count)
    handles = []
    for name, share, colour in parts:
        ax.stairs(base + share, bins.edges, baseline=base, fill=True, color=colour, alpha=0.85)
        handles.append(Patch(color=colour, alpha=0.85, label=name))
        base = base + share
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_ylabel("share of answers")
    ax.spines[["top", "right"]].set_visible(False)
    # As the layers lie: the first at the bottom.
    ax.legend(
        handles=handles[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small", frameon=False
    )


# The faults


def lanes_of(run: Replication, bins: Bins) -> list[Lane]:
    """A lane per component and kind of fault met, in the scenario's order; those hit least share the last."""
    met = run.environment.between(bins.start_s, bins.end_s)
    spans: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for component, kind, start, end in zip(
        met.component.tolist(), met.kind.tolist(), met.start_s.tolist(), met.end_s.tolist(), strict=True
    ):
        low, high = bins.in_unit(max(start, bins.start_s)), bins.in_unit(min(end, bins.end_s))
        spans.setdefault((component, kind), []).append((low, high - low))
    longest = sorted(spans, key=lambda key: -sum(length for _, length in spans[key]))
    own = set(longest if len(longest) <= MOST_LANES else longest[: MOST_LANES - 1])
    lanes = [
        Lane(f"{met.components[component]} {FAULT_KINDS[kind]}", FAULT_KINDS[kind], spans[component, kind])
        for component, kind in sorted(own)
    ]
    if others := [key for key in longest if key not in own]:
        lanes.append(Lane(f"{len(others)} others", "", [span for key in others for span in spans[key]]))
    return lanes


def shade(ax: Axes, lanes: list[Lane], *, over: bool = False) -> None:
    """Behind what is drawn, in the colour of the fault; or, where all is covered, a shadow over it."""
    for lane in lanes:
        look: dict[str, Any] = {"color": FAULTS.get(lane.kind, GREY), "alpha": 0.18, "zorder": 0}
        if over:
            look = {"color": BLACK, "alpha": 0.15, "zorder": 3}
        for start, length in lane.spans:
            ax.axvspan(start, start + length, linewidth=0.5, **look)


def draw_strip(ax: Axes, lanes: list[Lane]) -> None:
    for row, lane in enumerate(lanes):
        colour = FAULTS.get(lane.kind, GREY)
        ax.broken_barh(lane.spans, (row - 0.35, 0.7), color=colour, linewidth=0.8)
    ax.set_ylim(max(len(lanes), 1) - 0.4, -0.6)
    ax.set_yticks(range(len(lanes)), [lane.label for lane in lanes], fontsize="small")
    if not lanes:
        ax.set_yticks([0], ["no faults"], fontsize="small")
    ax.tick_params(axis="both", length=0)
    ax.spines[:].set_visible(False)
