"""plot_availability_curve: what stands where, and what is said beside it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

import simsla
from simsla import plot_availability_curve

SEVERITY = "components.acme.faults.0.severity"
ATTEMPTS = "routing.retry.max_attempts"


def curves(ax):
    """The lines that are in the legend or alone, by label."""
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def bands(ax):
    return [each for each in ax.collections if isinstance(each, PolyCollection)]


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def sweep(scenario, grid, **kwargs):
    return simsla.sweep(scenario, grid, **{"replications": 2, "progress": False, **kwargs})


def test_the_first_path_is_x_and_the_other_gives_the_lines(study):
    ax = plot_availability_curve(study)

    assert ax.get_xlabel() == SEVERITY
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.2", "0.5", "1"]
    assert list(curves(ax)) == ["1", "2"]
    assert ax.get_legend().get_title().get_text() == ATTEMPTS
    assert "3 replications, 95 % intervals" in ax.get_title()
    assert "two-regions" in ax.get_title()


def test_lines_are_the_values_and_bands_the_intervals_of_the_frame(study):
    ax = plot_availability_curve(study)
    frame = study.frame.query("metric == 'availability'")

    for band, (attempts, line) in zip(bands(ax), curves(ax).items(), strict=True):
        rows = frame[frame[ATTEMPTS] == int(attempts)]
        assert line.get_xdata().tolist() == rows[SEVERITY].tolist()
        drawn = line.get_ydata()
        expected = np.where(rows["value"] < 1, rows["value"], np.nan)
        np.testing.assert_array_equal(drawn, expected)
        corners = band.get_paths()[0].vertices
        for x, low, high in rows[[SEVERITY, "ci_low", "ci_high"]].itertuples(index=False):
            heights = corners[corners[:, 0] == x][:, 1]
            assert heights.min() == low
            assert heights.max() == high


def test_any_varied_path_can_be_x(study):
    ax = plot_availability_curve(study, x=ATTEMPTS)

    assert ax.get_xlabel() == ATTEMPTS
    assert list(curves(ax)) == ["0.2", "0.5", "1"]


def test_a_path_that_was_not_varied_is_refused_with_the_nearest(study):
    with pytest.raises(ValueError, match=r"x: .*did you mean 'routing\.retry\.max_attempts'"):
        plot_availability_curve(study, x="routing.retry.max_attempt")
    with pytest.raises(ValueError, match=r"by: .*components\.acme"):
        plot_availability_curve(study, by="components.acme.faults.0.severities")
    assert plt.get_fignums() == []


def test_by_gives_the_colours_and_what_is_left_the_line_styles(scenario):
    study = sweep(
        scenario,
        {SEVERITY: [0.5, 1.0], ATTEMPTS: [1, 2], "routing.max_attempts": [1, 3]},
    )
    ax = plot_availability_curve(study, by="routing.max_attempts")
    lines = curves(ax)

    assert list(lines) == ["1, 1", "1, 3", "2, 1", "2, 3"]
    colours = {label: line.get_color() for label, line in lines.items()}
    styles = {label: line.get_linestyle() for label, line in lines.items()}
    assert colours["1, 1"] == colours["2, 1"] != colours["1, 3"] == colours["2, 3"]
    assert styles["1, 1"] == styles["1, 3"] != styles["2, 1"] == styles["2, 3"]


def test_several_studies_have_a_line_each(study, scenario):
    other = sweep(scenario, {SEVERITY: [0.2, 1.0]})
    ax = plot_availability_curve({"a": other, "b": other})
    assert list(curves(ax)) == ["a", "b"]

    with pytest.raises(ValueError, match="one varies"):
        plot_availability_curve({"a": study, "b": other})


def test_the_axis_counts_nines(study):
    ax = plot_availability_curve(study)
    at = {share: ax.transData.transform((0.5, share))[1] for share in (0.9, 0.99, 0.999)}

    assert at[0.999] - at[0.99] == pytest.approx(at[0.99] - at[0.9])


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.5, 0.99999, ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]),
        (0.985, 0.9993, ["99 %", "99.5 %", "99.8 %", "99.9 %"]),
        (0.9990, 0.99905, ["99.9 %", "99.901 %", "99.902 %", "99.903 %", "99.904 %", "99.905 %"]),
    ],
)
def test_ticks_are_round_at_every_magnification(study, low, high, labels):
    ax = plot_availability_curve(study)
    ax.set_ylim(low, high)
    ax.figure.canvas.draw()

    shown = [
        text.get_text()
        for text, tick in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)
        if low - 1e-12 <= tick <= high + 1e-12
    ]
    assert shown == labels


def test_where_nothing_failed_a_triangle_marks_the_lower_end(scenario):
    calm = scenario.with_values({"components.acme.faults": [], "components.gateway.faults": []})
    study = sweep(calm, {"routing.max_attempts": [1, 2]})
    ax = plot_availability_curve(study)

    (triangles,) = [line for line in ax.get_lines() if line.get_marker() == "^"]
    lows = [result.availability.ci_low for result in study.results]
    assert all(result.availability.value == 1 for result in study.results)
    assert triangles.get_ydata().tolist() == lows
    low, high = ax.get_ylim()
    assert low < min(lows) <= max(lows) < high < 1
    assert "none failed: lower bound" in legend_texts(ax)


def test_one_replication_has_no_band_and_says_so(scenario):
    study = sweep(scenario, {SEVERITY: [0.5, 1.0]}, replications=1)
    ax = plot_availability_curve(study)
    ax.figure.canvas.draw()

    assert "1 replication, no intervals" in ax.get_title()
    assert np.isfinite(ax.get_ylim()).all()


def test_objectives_are_labelled_lines_inside_the_limits(study):
    ax = plot_availability_curve(study)

    assert "objective 99.95 %" in [text.get_text() for text in ax.texts]
    assert [0.9995, 0.9995] in [list(line.get_ydata()) for line in ax.get_lines()]
    assert ax.get_ylim()[0] < 0.9995 < ax.get_ylim()[1]


def test_the_objective_of_one_request_class_is_not_one_of_all(scenario):
    own = {"name": "chat", "metric": "availability", "request_class": "chat", "target": 0.9}
    study = sweep(scenario.with_values({"objectives": [own]}), {SEVERITY: [0.5, 1.0]})

    assert not plot_availability_curve(study).texts


def test_durations_stand_at_their_seconds_in_their_own_words(scenario):
    path = "components.acme.faults.0.schedule.0.duration"
    study = sweep(scenario, {path: ["30s", "5min", "1h"]})
    ax = plot_availability_curve(study)

    assert curves(ax) == {}
    assert ax.get_lines()[0].get_xdata().tolist() == [30, 300, 3600]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["30 s", "5 min", "1 h"]


def test_words_stand_side_by_side_with_bars_for_intervals(scenario):
    study = sweep(scenario, {"routing.breaker": [None, {"failures": 3}], ATTEMPTS: [1, 2]})
    ax = plot_availability_curve(study)

    assert [text.get_text() for text in ax.get_xticklabels()] == ["null", '{"failures": 3}']
    assert bands(ax) == []
    places = [line.get_xdata() for line in curves(ax).values()]
    assert not set(places[0]) & set(places[1])


def test_it_draws_on_the_axes_given_and_makes_no_figure(study):
    figure, axes = plt.subplots(1, 2)
    assert plot_availability_curve(study, ax=axes[1], linewidth=3, color="#123456") is axes[1]

    assert plt.get_fignums() == [figure.number]
    assert not axes[0].get_lines()
    assert {to_hex(line.get_color()) for line in curves(axes[1]).values()} == {"#123456"}
