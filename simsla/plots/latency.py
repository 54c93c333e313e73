"""The tail of latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from simsla.plots.colours import LINE_STYLES, MARKERS, SERIES
from simsla.plots.figures import axes_or_new, light_grid, what_was_run
from simsla.plots.nines import percent
from simsla.run import Result

KINDS: Final = {
    "latency": "latency of answered requests, arrival to last token (s)",
    "latency_all": "latency of valid requests, failed ones at their deadline (s)",
    "ttft": "time to first token of answered requests (s)",
}

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}

CURVE_POINTS: Final = 400

WIDE: Final = 3000.0
"""The ratio of the ends of the axis of latencies from which only powers of ten are labelled."""


def plot_latency(
    results: Result | Mapping[str, Result],
    *,
    kind: str = "latency",
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """The share of requests slower than each latency (CCDF), both axes logarithmic.

    `results` is one result, or several by name. `kind` is "latency" (answered requests, arrival to last
    token), "latency_all" (failed ones too, at their deadline) or "ttft" (to the first token). The curve pools
    the replications and has no interval; the points are the estimates of p50, p95, p99 and p99.9 with their
    95 % intervals. Kept logs are not needed. Further arguments go to `Axes.plot`.

    Raises ValueError for another kind, or where no request has such a latency.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    named = dict(results) if isinstance(results, Mapping) else {"": results}
    samples = {name: result.sample(kind) for name, result in named.items()}
    for name, sample in samples.items():
        if not len(sample):
            raise ValueError(f"no request has a {kind}" + (f" in {name!r}" if name else ""))
    ax = axes_or_new(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for i, (name, result) in enumerate(named.items()):
        slower_than, share = ccdf(samples[name])
        look = {
            "color": SERIES[i % len(SERIES)],
            "linestyle": LINE_STYLES[i // len(SERIES) % len(LINE_STYLES)],
            "label": name or None,
            # Between two values, the share slower is that of the greater one.
            "drawstyle": "steps-pre",
            **line,
        }
        (drawn,) = ax.plot(slower_than, share, **look)
        mark_quantiles(ax, result, kind, str(drawn.get_color()), MARKERS[i % len(MARKERS)])

    least = min(1 / len(sample) for sample in samples.values())
    ax.set_ylim(min(least, 5e-4), 1.3)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    low, high = ax.get_xlim()
    if high / low < WIDE:
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    ax.xaxis.set_minor_formatter(NullFormatter())
    light_grid(ax)
    levels = ax.secondary_yaxis("right")
    levels.set_yticks(
        [1 - p for p in QUANTILES.values()], [f"p{percent(p)[:-2]}" for p in QUANTILES.values()]
    )
    levels.yaxis.set_minor_locator(NullLocator())
    levels.spines["right"].set_visible(False)
    ax.set_xlabel(KINDS[kind])
    ax.set_ylabel("share of requests slower")
    names = ", ".join(dict.fromkeys(result.scenario.name for result in named.values()))
    ax.set_title(f"Latency of {names}: {what_was_run(list(named.values()))}", fontsize="medium")
    if len(named) > 1:
        ax.legend(fontsize="small")
    return ax


def ccdf(ordered: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Latencies and the shares of values at or above them, as many points as a curve needs.

    Evenly spread over the logarithm of the share, so that the few slowest are all there.
    """
    n = len(ordered)
    above = np.unique(np.rint(np.geomspace(1, n, CURVE_POINTS)).astype(np.int64))[::-1]
    return ordered[n - above].astype(np.float64), above / n


def mark_quantiles(ax: Axes, result: Result, kind: str, colour: str, marker: str) -> None:
    for name, p in QUANTILES.items():
        estimate = result.estimate(f"{kind}_{name}_s")
        ax.plot(estimate.value, 1 - p, marker, color=colour, markersize=5, zorder=3)
        ax.hlines(1 - p, estimate.ci_low, estimate.ci_high, color=colour, linewidth=5, alpha=0.45, zorder=2.5)
