"""Time to detect and to recover: canaries with known times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

import simsla
from simsla.analysis.episodes import growing
from simsla.routing import AttemptError, Timeouts

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

START, LENGTH, HORIZON = 800.0, 600.0, 2600.0
TOLD = 0.06
"""Bins are 5 % wide."""


def world(*faults, **others):
    return scenario(
        {"a": deployment(provider="P"), "b": deployment()},
        {"chat": traffic(2)},
        horizon=HORIZON,
        components={"P": {"kind": "provider", "faults": list(faults)}},
        **others,
    )


def leaving_after(delay_s, back_after_s=0.0, users_feel_it=True):
    """A policy that knows of the outage, and goes elsewhere so long after its start."""

    def factory(transport):
        import asyncio

        near, far = transport.deployments

        async def handle(request):
            now = asyncio.get_running_loop().time()
            away = START + delay_s <= now < START + LENGTH + back_after_s
            try:
                return await transport.send(request, far if away else near, timeouts=Timeouts())
            except AttemptError:
                if users_feel_it:
                    raise
                return await transport.send(request, far, timeouts=Timeouts())

        return handle

    return factory


def run(policy, *faults, **others):
    return simsla.simulate(
        world(*(faults or (scheduled("outage", START, LENGTH),)), **others), policy, replications=2
    )


@pytest.mark.parametrize("delay_s", [5.0, 200.0])
def test_what_leaves_late_is_detected_late_and_users_feel_it_as_long(delay_s):
    for row in run(leaving_after(delay_s, back_after_s=40)).episodes.itertuples():
        assert (row.component, row.kind, row.start_s, row.end_s) == ("P", "outage", START, START + LENGTH)
        assert row.judged
        assert row.detect_s == pytest.approx(delay_s, rel=TOLD, abs=2)
        assert row.recover_s == pytest.approx(delay_s, rel=TOLD, abs=2)
        assert row.return_s == pytest.approx(40, rel=TOLD, abs=2)
        assert row.failed == pytest.approx(2 * delay_s, rel=0.3, abs=8)


def test_what_users_do_not_feel_needs_no_recovery():
    for row in run(leaving_after(100, users_feel_it=False)).episodes.itertuples():
        assert row.detect_s == pytest.approx(100, rel=TOLD)
        assert (row.recover_s, row.failed) == (0, 0)
        assert row.return_s == pytest.approx(0, abs=2)


def test_what_nobody_leaves_is_not_detected_and_lasts_to_its_end():
    result = run(leaving_after(math.inf))
    for row in result.episodes.itertuples():
        assert math.isnan(row.detect_s)
        assert math.isnan(row.return_s)
        assert row.recover_s == pytest.approx(LENGTH, rel=TOLD)
    assert result.metrics["detected_share"].value == 0
    assert math.isnan(result.metrics["time_to_detect_s"].value)


def test_metrics_are_means_over_episodes():
    result = run(leaving_after(60, back_after_s=40))
    frame, metrics = result.episodes, result.metrics
    assert metrics["detected_share"].value == 1
    for name in ("detect", "recover", "return"):
        assert metrics[f"time_to_{name}_s"].value == pytest.approx(frame[f"{name}_s"].mean())
        assert metrics[f"time_to_{name}_s"].n == 2


def test_a_fault_that_hurts_nobody_is_felt_by_nobody():
    nothing = run(leaving_after(math.inf), scheduled("brownout", START, LENGTH, severity=0.0001))
    for row in nothing.episodes.itertuples():
        assert math.isnan(row.detect_s)
        assert row.recover_s == 0


def test_a_router_with_a_breaker_leaves_within_seconds():
    routing = {
        "tiers": {"standard": ["a", "b"]},
        "retry": {"max_attempts": 1},
        "breaker": {"failures": 5, "open_s": 30},
    }
    for row in run(None, routing=routing).episodes.itertuples():
        assert row.detect_s < 10
        assert row.recover_s == 0
        assert 0 <= row.return_s < 60


def test_a_horizon_that_ends_in_an_episode_leaves_recovery_open():
    result = run(leaving_after(math.inf), scheduled("outage", 2000, 5000))
    assert result.episodes["recover_s"].isna().all()
    assert (result.episodes["failed"] > 1000).all()


def test_episodes_without_deployments_before_the_measured_time_or_without_requests():
    elsewhere = world(
        scheduled("outage", START, 0.01), scheduled("outage", 10, 20), scheduled("outage", 0, 5)
    )
    result = simsla.simulate(elsewhere.with_values({"warmup": 5}), leaving_after(math.inf), replications=2)
    assert sorted(set(result.episodes["start_s"])) == [10, START]
    assert not result.episodes[result.episodes["start_s"] == START]["judged"].any()
    unused = scenario(
        components={"Q": {"kind": "provider", "faults": [scheduled("outage", 10, 20)]}},
        classes={"chat": traffic()},
    )
    empty = simsla.simulate(unused, replications=2)
    assert len(empty.episodes) == 0
    assert list(empty.episodes.columns)[:3] == ["replication", "component", "kind"]
    assert math.isnan(empty.metrics["time_to_recover_s"].value)


def test_drawn_episodes_are_told_as_well():
    fault = {"kind": "outage", "uptime": exp(400), "repair": exp(40)}
    result = run(None, fault, routing={"tiers": {"standard": ["a", "b"]}})
    for number, each in enumerate(result.runs):
        mine = result.episodes[result.episodes["replication"] == number]
        assert mine["start_s"].tolist() == [s for s in each.environment.start_s if s < HORIZON]
    assert len(result.episodes) > 4


@pytest.mark.parametrize("length_s", [0.0, 0.2, 1.0, 3.7, 3600.0, 1e6])
def test_bins_cover_the_length_and_are_no_wider_than_told(length_s):
    edges = growing(length_s)
    assert edges[0] == 0
    assert edges[-1] == length_s
    widths = np.diff(edges)
    assert (widths > 0).all()
    assert (widths <= 1 + 0.05 * edges[:-1] + 1e-9).all()
