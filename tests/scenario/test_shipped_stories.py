"""Each shipped scenario runs, and shows what its description promises."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import simsla
from simsla.scenario import Scenario, shipped

STORIES = [name for name in shipped("scenarios") if not name.startswith("playbook")]

GOOD = ("ok", "degraded", "cached")


def run(name, changes=None, replications=1):
    world = Scenario.load(name).with_values(changes or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(world, replications=replications, progress=False)


def between(result, begin_s, end_s):
    """The requests that arrive in an interval."""
    return result.requests.query(f"{begin_s} <= arrival_s < {end_s}")


def good(requests):
    return requests["outcome"].isin(GOOD).mean()


def p99(requests):
    answered = requests[requests["outcome"].isin(GOOD)]
    return np.quantile(answered["end_s"] - answered["arrival_s"], 0.99)


@pytest.mark.parametrize("name", list(shipped("scenarios")))
def test_every_shipped_scenario_runs(name):
    result = run(name, {"horizon": "10min", "warmup": 0})
    assert result.replications == 1
    assert Scenario.load(name).replications >= 4
    if result.outcomes["ok"] + result.outcomes["cached"] == 0:
        assert "rate: 12/h" in shipped("scenarios")[name].read_text()  # two requests, if any


@pytest.mark.parametrize("name", STORIES)
def test_every_description_says_what_to_see(name):
    description = Scenario.load(name).description
    assert len(description.split()) > 40
    text = shipped("scenarios")[name].read_text()
    assert "assumption" in text or "source" in text


def test_region_dark_at_3am():
    result = run("region-dark-at-3am")
    dark = between(result, 3 * 3600, 3.75 * 3600)
    assert good(result.requests) > 0.999
    quiet = between(result, 0, 3 * 3600)
    assert p99(dark) > 1.3 * p99(quiet)
    moved = dark[(dark["deployment"] != "us") & dark["outcome"].isin(GOOD)]
    assert len(moved) / len(dark) > 0.99
    assert set(quiet["deployment"].dropna()) == {"us", "eu", "ap"}
    stays = run("region-dark-at-3am", {"routing.regions.failover": False})
    assert 1 - good(stays.requests) == pytest.approx(1 / 24, rel=0.1)
    assert good(between(stays, 3 * 3600, 3.75 * 3600)) == pytest.approx(2 / 3, abs=0.03)


def test_shared_gateway():
    result = run("shared-gateway", replications=4)
    frames = {run.replication: run.environment.frame() for run in result.runs}
    failed = result.requests[~result.requests["outcome"].isin(GOOD)]
    assert len(failed) > 20
    with_gateway = 0
    for row in failed.itertuples():
        faults = frames[row.replication].query("component == 'gateway'")
        with_gateway += ((faults["start_s"] <= row.end_s) & (faults["end_s"] > row.arrival_s)).any()
    assert with_gateway > 0.95 * len(failed)
    assert result.availability.ci_low < 0.999 < result.availability.ci_high
    assert result.availability.ci_high < 0.9999


def test_brown_out():
    result = run("brown-out", replications=2)
    weak = between(result, 1800 + 30, 3600 - 60)
    assert weak["attempts"].mean() == pytest.approx(1.875, rel=0.04)
    assert 1 - good(weak) == pytest.approx(0.0625, abs=0.015)
    assert good(between(result, 0, 1700)) == 1
    assert good(between(result, 3700, 5400)) == 1
    budget = {"kind": "finagle", "ratio": 0.1, "reserve_per_s": 0}
    capped = between(run("brown-out", {"routing.retry_budget": budget}, 2), 1800 + 30, 3600 - 60)
    assert capped["attempts"].mean() == pytest.approx(1.1, abs=0.05)
    assert 1 - good(capped) == pytest.approx(0.45, abs=0.05)


def test_rate_limit_storm():
    result = run("rate-limit-storm", replications=2)
    assert result.availability.value > 0.999
    storm, calm = between(result, 1230, 2070), between(result, 0, 1200)
    assert (storm["deployment"] == "other").mean() > 0.5
    assert (calm["deployment"] == "other").mean() < 0.05
    tried = result.attempts.query("1230 <= start_s < 2070 and deployment != 'other'")
    assert (tried["outcome"] == "rate_limited").mean() > 0.75


def test_poison_request():
    result = run("poison-request", replications=3)
    poison = ~result.requests["valid"]
    assert poison.mean() == pytest.approx(0.005, rel=0.3)
    assert good(result.requests[poison]) == 0
    assert 1 - result.availability.value == pytest.approx(0.15 / 1.15, rel=0.35)
    assert run("poison-request", {"routing.breaker.failures": 5}).availability.value > 0.9999


def test_retry_storm():
    result = run("retry-storm")
    assert good(between(result, 0, 600)) > 0.99
    assert good(between(result, 2400, 3600)) < 0.01  # 27 minutes after the trigger has gone
    for changes in ({"traffic.chat.arrivals.rate": 0.8}, {"traffic.chat.client.retries": 0}):
        recovered = run("retry-storm", changes)
        assert good(between(recovered, 780, 800)) < 0.9
        assert good(between(recovered, 2400, 3600)) > 0.99


def test_flash_crowd():
    def served(result):
        """Answers per second in the second half of the crowd, to those who came in it."""
        crowd = between(result, 1500, 1740)
        return crowd["outcome"].isin(GOOD).sum() / 240

    result = run("flash-crowd")
    assert len(between(result, 1260, 1740)) == pytest.approx(8 * 1.5 * 480, rel=0.05)
    assert served(result) == pytest.approx(12 / 3.1, rel=0.1)
    assert good(between(result, 1860, 3600)) == 1
    assert served(run("flash-crowd", {"deployments.model.queue_limit": None})) < 0.5


def test_autoscaler_chases_provider_tail():
    chasing = run("autoscaler-chases-provider-tail")
    calm = run(
        "autoscaler-chases-provider-tail", {"gateway.autoscaler.metrics": [{"metric": "cpu", "target": 0.6}]}
    )
    pods = {result: result.runs[0].gateway.pods.tolist() for result in (chasing, calm)}
    assert (pods[chasing][0], pods[chasing][-1]) == (4, 40)
    assert pods[calm][-1] == 2
    assert chasing.latency(0.99).value == pytest.approx(3.4, rel=0.05)
    assert calm.latency(0.99).value == pytest.approx(chasing.latency(0.99).value, rel=0.02)


def test_cache_cold_start():
    result = run("cache-cold-start")
    hits = {
        begin_s: (between(result, begin_s, begin_s + 300)["outcome"] == "cached").mean()
        for begin_s in (0, 6900)
    }
    assert hits[0] == pytest.approx(0.125, abs=0.06)
    assert hits[6900] == pytest.approx(0.45, abs=0.08)
    assert result.metrics["cache_hit_share"].value == pytest.approx(0.4, abs=0.04)
    assert result.metrics["cache_false_hit_share"].value == pytest.approx(1 / 18, abs=0.02)
    exact = run("cache-cold-start", {"routing.cache.threshold": 1.0})
    assert exact.metrics["cache_false_hit_share"].value == 0
    assert exact.metrics["cache_hit_share"].value == pytest.approx(1 / 3, abs=0.04)


def test_one_provider_and_three():
    few = {"traffic.chat.arrivals.rate": "4/h"}
    one, three = (run(name, few, 4) for name in ("single-provider", "three-providers"))
    assert one.availability.ci_low < 0.998 < one.availability.ci_high
    assert one.availability.value < 0.9995
    retried = run("single-provider", few | {"routing.retry.max_attempts": 6}, 4)
    assert retried.availability.value == pytest.approx(one.availability.value, abs=5e-4)
    assert three.availability.value > 0.9999


@pytest.mark.slow
def test_playbook_full():
    result = run("playbook-full")
    plain = run("playbook", {"horizon": "1d"})
    metrics = result.metrics
    assert {"answer", "classify", "check"} <= set(result.attempts["purpose"])
    assert {"first", "retry", "hedge"} == set(result.attempts["relation"])
    assert metrics["cache_hit_share"].value == pytest.approx(0.42, abs=0.05)
    assert metrics["cost_usd_per_day"].value < 0.75 * plain.cost_per_day.value
    saved = plain.cost_per_day.value - result.cost_per_day.value
    assert metrics["cost_pods_usd_per_day"].value > saved
    assert result.runs[0].gateway.pods[-1] == 20
    assert metrics["latency_mean_s"].value > 0.5
    # What the look-up in the cache adds of its 12 ms is all that keeps half of the first tokens above 0.5 s.
    at_once = run("playbook-full", {"cache.look_up": None}).metrics["ttft_p50_s"].value
    assert at_once < 0.5 < metrics["ttft_p50_s"].value < at_once + 0.02
    assert result.by("request_class").query("metric == 'quality_mean'")["value"].between(0.7, 0.96).all()
