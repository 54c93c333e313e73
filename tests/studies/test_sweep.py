"""sweep: every point of a grid, in the same world."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import simsla

SEVERITY = "components.acme.faults.0.severity"
ATTEMPTS = "routing.retry.max_attempts"


@pytest.fixture(scope="module")
def scenario():
    latency = {"total": {"kind": "lognormal", "mean": 1.0, "p99": 4.0}}
    incident = {
        "kind": "brownout",
        "severity": 0.3,
        "uptime": {"kind": "exponential", "mean": 20, "unit": "min"},
        "repair": {"kind": "exponential", "mean": 5, "unit": "min"},
    }
    return simsla.Scenario.from_dict(
        {
            "name": "tiny",
            "horizon": "2h",
            "warmup": "10min",
            "components": {"acme": {"kind": "provider", "faults": [incident]}},
            "deployments": {
                "east": {"model": "m", "provider": "acme", "latency": latency},
                "west": {"model": "m", "latency": latency, "errors": {"503": 0.05}},
            },
            "traffic": {
                "chat": {
                    "arrivals": {"kind": "poisson", "rate": "6/min"},
                    "prompt_tokens": 100,
                    "output_tokens": 50,
                }
            },
            "routing": {"max_attempts": 2},
        }
    )


@pytest.fixture(scope="module")
def study(scenario):
    return simsla.sweep(scenario, {SEVERITY: [0.3, 1.0], ATTEMPTS: [1, 2]}, replications=2, progress=False)


def test_the_points_are_the_product_and_the_last_path_varies_fastest(study):
    assert study.paths == (SEVERITY, ATTEMPTS)
    assert [tuple(point.values()) for point in study.points] == [(0.3, 1), (0.3, 2), (1.0, 1), (1.0, 2)]
    assert len(study.results) == 4
    assert repr(study) == f"<Study tiny: 4 points over {SEVERITY}, {ATTEMPTS}>"


def test_the_frame_is_tidy(study):
    frame = study.frame

    assert list(frame.columns) == [
        SEVERITY,
        ATTEMPTS,
        "metric",
        "value",
        "ci_low",
        "ci_high",
        "n",
        "method",
        "unit",
    ]
    assert not frame.duplicated([SEVERITY, ATTEMPTS, "metric"]).any()
    assert len(frame) == 4 * len(study.results[0].metrics)
    (row,) = frame.query(f"`{SEVERITY}` == 1.0 and `{ATTEMPTS}` == 2 and metric == 'availability'").to_dict(
        "records"
    )
    estimate = study.results[3].availability
    assert (row["value"], row["ci_low"], row["ci_high"]) == (
        estimate.value,
        estimate.ci_low,
        estimate.ci_high,
    )
    assert (row["n"], row["unit"]) == (2, "share")


def test_every_point_meets_the_same_world(study):
    requests = [result.per_replication("requests_per_day") for result in study.results]
    assert all(each == requests[0] for each in requests)
    assert requests[0][0] != requests[0][1]


def test_an_irrelevant_value_changes_no_number(scenario):
    study = simsla.sweep(scenario, {"description": ["one", "another"]}, replications=2, progress=False)
    first, second = (
        study.frame.query(f"description == '{text}'").drop(columns="description").reset_index(drop=True)
        for text in ("one", "another")
    )
    pd.testing.assert_frame_equal(first, second)


def test_a_point_is_what_simulate_gives_there(study, scenario):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        alone = simsla.simulate(
            scenario.with_values(study.points[1]), replications=2, keep_logs=False, progress=False
        )
    assert alone.to_dict() == study.results[1].to_dict()


def test_points_differ_by_what_was_varied(study):
    share = {
        tuple(p.values()): r.availability.value for p, r in zip(study.points, study.results, strict=True)
    }
    assert share[1.0, 1] < share[0.3, 1]
    # Two attempts in all, spent on the deployment that is ill.
    assert share[0.3, 2] < share[0.3, 1]


def test_processes_change_no_number(study, scenario):
    parallel = simsla.sweep(
        scenario, {SEVERITY: [0.3, 1.0], ATTEMPTS: [1, 2]}, replications=2, n_jobs=2, progress=False
    )
    pd.testing.assert_frame_equal(study.frame, parallel.frame, check_exact=True)


def test_another_seed_is_another_world(study, scenario):
    other = simsla.sweep(scenario, {ATTEMPTS: [1]}, seed=2, replications=2, progress=False)
    assert other.results[0].per_replication("requests_per_day") != study.results[0].per_replication(
        "requests_per_day"
    )


def test_a_policy_is_swept_like_the_built_in_one(scenario):
    def once(transport):
        timeouts = simsla.routing.Timeouts(connect_s=5, first_token_s=60, idle_s=60, total_s=60)

        async def handle(request):
            return await transport.send(request, transport.deployments[0], timeouts=timeouts)

        return handle

    study = simsla.sweep(scenario, {SEVERITY: [0.3, 1.0]}, once, replications=2, progress=False)
    assert [result.metrics["amplification"].value for result in study.results] == [1, 1]
    assert study.results[1].availability.value < study.results[0].availability.value
    assert "once" in study.results[0].policy


def test_the_number_of_replications_is_the_scenarios_unless_given(scenario):
    study = simsla.sweep(scenario.with_values({"replications": 3}), {ATTEMPTS: [1]}, progress=False)
    assert study.results[0].replications == 3


def test_nothing_warns_but_the_study_has_the_caveats(scenario):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = simsla.sweep(scenario, {ATTEMPTS: [1, 2]}, replications=1, progress=False)
    assert study.caveats["SingleReplicationWarning"] == 2


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ({"routing.retyr.max_attempts": [1]}, simsla.ScenarioError, "routing.retry.max_attempts"),
        ({"components.acm.faults.0.severity": [0.1]}, simsla.ScenarioError, "acme"),
        ({ATTEMPTS: [1, 0]}, simsla.ScenarioError, "max_attempts"),
        ({ATTEMPTS: []}, ValueError, "at least one value"),
        ({}, ValueError, "at least one path"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_runs(scenario, monkeypatch, grid, error, message):
    monkeypatch.setattr("simsla.run.run_one", None)
    with pytest.raises(error, match=message):
        simsla.sweep(scenario, grid, replications=2, progress=False)


def test_the_notebook_shows_a_row_per_point(study):
    html = study._repr_html_()
    assert html.count("<tr>") == 1 + 4
    assert SEVERITY in html
    assert str(study.results[0].availability) in html
