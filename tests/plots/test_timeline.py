"""plot_timeline: three panels over the measured time of one replication."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle, StepPatch

import simsla
from simsla import plot_timeline

HOURS = 3

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


def steps(panel):
    return [patch for patch in panel.patches if isinstance(patch, StepPatch)]


def bands(panel):
    """Start and end of each shaded band."""
    return sorted(
        (round(band.get_x(), 6), round(band.get_x() + band.get_width(), 6))
        for band in panel.patches
        if isinstance(band, Rectangle)
    )


def test_three_panels_share_the_measured_time(result):
    panels = plot_timeline(result)

    assert panels.shape == (3,)
    assert [panel.get_ylabel() for panel in panels] == ["availability", "p99 latency (s)", "share of answers"]
    assert panels[2].get_xlabel() == "time (h)"
    for panel in panels:
        assert panel.get_xlim() == pytest.approx((1 / 6, HOURS))


def test_the_panels_show_what_the_log_says(result):
    panels = plot_timeline(result, replication=1)
    log = result.requests.query("replication == 1")
    good = log["outcome"].isin(["ok", "degraded", "cached"])

    availability = steps(panels[0])[0].get_data()
    where = np.clip(np.searchsorted(availability.edges, log["arrival_s"] / 3600, side="right") - 1, 0, None)
    expected = good.groupby(where).mean()
    np.testing.assert_allclose(availability.values[expected.index], expected)

    latency = (log["end_s"] - log["arrival_s"])[good]
    p99 = steps(panels[1])[0].get_data().values
    expected = latency.groupby(where[good]).quantile(0.99, interpolation="higher")
    np.testing.assert_allclose(p99[expected.index], expected, rtol=0.2)

    counts = next(each for each in panels[0].figure.axes if each.get_ylabel() == "failed requests")
    assert sum(bar.get_height() for bar in counts.patches) == (~good).sum()


def test_shares_fill_the_panel_and_name_the_deployments(result):
    panel = plot_timeline(result)[2]

    assert {text.get_text() for text in panel.get_legend().get_texts()} == {"east", "west"}
    top = steps(panel)[-1].get_data()
    np.testing.assert_allclose(top.values, 1)


def test_faults_are_bands_in_every_panel_and_named_above(result):
    panels = plot_timeline(result)

    for panel in panels:
        assert bands(panel) == [(1.0, 2.0), (2.5, round(2.5 + 5 / 60, 6))]
    (strip,) = [each for each in panels[0].figure.axes if each.get_title()]
    assert [text.get_text() for text in strip.get_yticklabels()] == ["acme brownout", "gateway outage"]
    assert "two-regions" in strip.get_title()
    assert "replication 0 (of 3)" in strip.get_title()


def test_many_kinds_of_faults_share_the_last_lane(scenario):
    fault = {"kind": "brownout", "severity": 0.1, "schedule": [{"start": "1h", "duration": "1min"}]}
    more = {f"components.part{i}": {"kind": "model", "faults": [fault]} for i in range(12)}
    result = simsla.simulate(scenario.with_values(more), replications=1, progress=False)
    (strip,) = [each for each in plot_timeline(result)[0].figure.axes if each.get_title()]

    names = [text.get_text() for text in strip.get_yticklabels()]
    assert len(names) == 8
    assert names[-1] == "7 others"


@pytest.mark.parametrize(
    ("horizon", "warmup", "label"),
    [("90s", 0, "time (s)"), ("1h", 0, "time (min)"), ("6d", "5d", "time (h)")],
)
def test_time_is_told_in_a_sensible_unit(scenario, horizon, warmup, label):
    short = scenario.with_values(
        {"horizon": horizon, "warmup": warmup, "traffic.chat.arrivals.rate": "1/min"}
    )
    result = simsla.simulate(short, replications=1, progress=False)

    assert plot_timeline(result)[2].get_xlabel() == label


def test_without_logs_it_says_what_to_do(scenario):
    lean = simsla.simulate(scenario, replications=2, keep_logs=False, progress=False)

    with pytest.raises(RuntimeError, match="keep_logs=True"):
        plot_timeline(lean)
    assert plt.get_fignums() == []


def test_a_replication_that_was_not_run_is_refused(result):
    with pytest.raises(ValueError, match="expected 0 to 2, got 3"):
        plot_timeline(result, replication=3)


def test_axes_given_are_divided_in_their_place(result):
    figure, axes = plt.subplots(1, 2)
    place = axes[1].get_position()
    panels = plot_timeline(result, ax=axes[1])

    assert plt.get_fignums() == [figure.number]
    assert axes[0] in figure.axes
    assert axes[1] not in figure.axes
    for panel in panels:
        inside = panel.get_position()
        assert place.x0 <= inside.x0 + 1e-9
        assert inside.x1 <= place.x1 + 1e-9
        assert place.y0 <= inside.y0 + 1e-9
        assert inside.y1 <= place.y1 + 1e-9


def test_free_axes_are_divided_too(result):
    figure = plt.figure()
    panels = plot_timeline(result, ax=figure.add_axes((0.2, 0.2, 0.6, 0.6)))

    assert panels[2].get_position().y0 == pytest.approx(0.2)
    assert panels[0].get_position().x1 == pytest.approx(0.8)
