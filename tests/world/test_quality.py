"""Quality: what answers are worth, by who gave them to whom, and what is lost where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of
from simulation.policies import first_only, patient
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

from simsla import simulate
from simsla.analysis import Metrics, summarise
from simsla.routing import Reply
from simsla.scenario import Scenario, ScenarioError

SCORES = [[0.9, 0.8], [0.5, 0.4]]
"""Of the deployments near and far, for the classes chat and batch."""


def measured(*requests, scores=SCORES):
    return Metrics([summarise(log_of(requests), start_s=0, end_s=10, quality=scores)] * 2)


def value(metrics, name, request_class=None):
    return metrics.estimate(name, request_class).value


def test_the_mean_over_answers_and_over_all_that_asked():
    metrics = measured(
        {},
        {"deployment": 1, "outcome": "degraded"},
        {"request_class": "batch"},
        {"outcome": "timeout", "deployment": -1},
        {"request_class": "batch", "outcome": "error", "deployment": -1},
        {"outcome": "error", "deployment": -1, "valid": False},  # could not succeed anywhere
    )
    assert value(metrics, "quality_mean") == pytest.approx((0.9 + 0.5 + 0.8) / 3)
    assert value(metrics, "satisfaction") == pytest.approx((0.9 + 0.5 + 0.8) / 5)
    assert value(metrics, "quality_mean", "chat") == pytest.approx(0.7)
    assert value(metrics, "satisfaction", "batch") == pytest.approx(0.4)


def test_out_of_a_cache_comes_what_deployments_said_before_and_the_answer_to_another_question_is_worthless():
    hit = {"outcome": "cached", "deployment": -1}
    metrics = measured(
        {},
        {"deployment": 1},
        hit | {"cache_hit": "true"},
        hit | {"cache_hit": "unknown"},
        hit | {"cache_hit": "false"},
    )
    assert value(metrics, "quality_mean") == pytest.approx((0.9 + 0.5 + 0.7 + 0.7 + 0) / 5)
    only_hits = measured(hit | {"cache_hit": "true"})
    assert value(only_hits, "satisfaction") == pytest.approx(0.7)  # any deployment may have been asked


def test_where_nothing_is_told_nothing_is_known():
    metrics = measured({}, scores=None)
    assert np.isnan(value(metrics, "quality_mean"))
    assert metrics.estimate("satisfaction").n == 0


def test_by_deployment():
    metrics = measured({}, {"deployment": 1}, {"deployment": 1, "request_class": "batch"})
    frame = metrics.by("deployment").query("metric == 'quality_mean'").set_index("deployment")
    assert dict(frame["value"]) == pytest.approx({"near": 0.9, "far": 0.45})
    assert "quality_mean" not in set(measured({}, scores=None).by("deployment")["metric"])


def world(**changes):
    """A good deployment that has an outage for half the time, and a poor one that has not.

    Example:
        deployments:
          good: {..., quality: {default: 0.9, code: 0.95}}
          poor: {..., quality: 0.4}
    """
    outage = {"faults": [{"kind": "outage", "uptime": exp(60), "repair": exp(60)}]}
    return scenario(
        {
            "good": deployment(provider="p", quality={"default": 0.9, "code": 0.95}),
            "poor": deployment(quality=0.4),
        },
        {"chat": traffic(2.0), "code": traffic(2.0)},
        components={"p": outage},
        horizon=1200.0,
        replications=4,
        **changes,
    )


def test_degradation_has_a_price_and_failure_a_higher_one():
    good, failing = (simulate(world(), policy, keep_logs=False) for policy in (patient, first_only))
    # The fall-back answers everything, and less well; without it half fails, and the rest is good.
    assert good.availability.value == 1
    assert failing.availability.value < 0.7
    assert good.metrics["quality_mean"].value < failing.metrics["quality_mean"].value
    assert good.metrics["satisfaction"].value > failing.metrics["satisfaction"].value
    by_class = failing.by("request_class").query("metric == 'quality_mean'").set_index("request_class")
    assert dict(by_class["value"]) == pytest.approx({"chat": 0.9, "code": 0.95})
    assert {"quality_mean", "satisfaction"} <= set(good.to_dict()["metrics"])


def test_the_interval_knows_of_drawn_faults():
    """An outage half of the time: quality is 0.9 or 0.4, and its interval holds the mean of the two."""
    chat = world().with_values(
        {"traffic": {"chat": world().to_dict()["traffic"]["chat"]}, "deployments.good.quality": 0.9}
    )
    found = simulate(chat, patient, keep_logs=False).metrics["quality_mean"]
    assert "post-stratified" in found.method
    assert found.ci_low < 0.65 < found.ci_high
    assert found.ci_high - found.ci_low < 0.25


def test_satisfaction_can_be_promised():
    promised = world(
        objectives=[{"metric": "satisfaction", "target": 0.3}, {"metric": "quality_mean", "target": 0.99}]
    )
    met = [row["met"] for row in simulate(promised, patient, keep_logs=False).objectives]
    assert met == [True, False]


def test_an_answer_that_the_policy_credits_to_another_deployment_has_its_quality():
    def mistaken(transport):
        async def handle(request):
            await transport.send(request, transport.deployments[0])
            return Reply("", "poor", "m", 1, 1, 0.1, 0.1)

        return handle

    still = world().with_values({"components.p.faults": [scheduled("outage", 5000, 1)]})
    assert simulate(still, mistaken, keep_logs=False).metrics["quality_mean"].value == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("good", "poor", "path", "expected"),
    [
        (1.2, 0.4, "deployments.good.quality", "1"),
        ({"code": 0.9}, 0.4, "deployments.good.quality.default", "required"),
        ({"default": 0.9, "cod": 0.9}, 0.4, "deployments.good.quality.cod", "'code'"),
        (0.9, None, "deployments.poor.quality", "other deployments have one"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(good, poor, path, expected):
    data = world().to_dict()
    data["deployments"]["good"]["quality"] = good
    data["deployments"]["poor"]["quality"] = poor
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data)
    assert path in str(caught.value)
    assert expected in str(caught.value)


def test_quality_is_written_as_it_was_read():
    assert Scenario.from_dict(world().to_dict()) == world()
