"""plot_latency: the curve, the estimates on it, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

import simsla
from simsla import plot_latency


def test_the_curve_passes_through_the_estimates(result):
    ax = plot_latency(result)
    curve, *points = ax.get_lines()

    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert "answered requests" in ax.get_xlabel()
    assert "(s)" in ax.get_xlabel()
    assert "3 replications, 95 % intervals" in ax.get_title()
    x, y = curve.get_data()
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) < 0).all()
    assert y[0] == 1
    for point, name in zip(points, ("p50", "p95", "p99", "p999"), strict=True):
        estimate = result.metrics[f"latency_{name}_s"]
        assert point.get_xdata()[0] == estimate.value
        level = point.get_ydata()[0]
        at = np.searchsorted(x, estimate.value)
        # The curve falls in steps: through the level, but for the points that it leaves out.
        assert y[at] >= 0.97 * level
        assert y[at + 1] <= 1.03 * level


def test_bars_are_the_intervals(result):
    ax = plot_latency(result)
    bars = [tuple(bar.get_segments()[0][:, 0]) for bar in ax.collections]

    for name in ("p50", "p95", "p99", "p999"):
        estimate = result.metrics[f"latency_{name}_s"]
        assert (estimate.ci_low, estimate.ci_high) in bars
        assert estimate.ci_low <= estimate.value <= estimate.ci_high


def test_results_by_name_have_a_legend(result):
    ax = plot_latency({"today": result, "tomorrow": result})

    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["today", "tomorrow"]
    assert plot_latency(result).get_legend() is None


def test_failed_requests_are_on_the_curve_of_all(result):
    ax = plot_latency(result, kind="latency_all")

    assert ax.get_lines()[0].get_xdata().max() == pytest.approx(120)
    assert "failed ones at their deadline" in ax.get_xlabel()


def test_logs_are_not_needed(scenario):
    lean = simsla.simulate(scenario, replications=2, keep_logs=False, progress=False)
    ax = plot_latency(lean, kind="ttft")

    assert "first token" in ax.get_xlabel()
    assert len(ax.get_lines()[0].get_xdata()) > 50


def test_an_unknown_kind_is_refused(result):
    with pytest.raises(ValueError, match="kind: expected one of latency, latency_all, ttft"):
        plot_latency(result, kind="p99")
    assert plt.get_fignums() == []


def test_it_draws_on_the_axes_given_and_makes_no_figure(result):
    figure, ax = plt.subplots()

    assert plot_latency(result, ax=ax, linewidth=3) is ax
    assert ax.get_lines()[0].get_linewidth() == 3
    assert plt.get_fignums() == [figure.number]
