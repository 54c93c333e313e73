"""A canary for each kind of fault: what is injected must be seen, and only where it was injected."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation.scenarios import deployment, scenario, scheduled, traffic

from simsla.routing import Timeouts
from simsla.simulation import run_one
from simsla.world.environment import FAULT_KINDS, Environment

START, END = 40.0, 80.0
PLACES = {
    "provider": {"provider": "where"},
    "gateway": {"components": ["where"]},
    "region": {"region": "where"},
}


def with_fault(fault, place="gateway", *, rate=20.0, horizon=120, **changes):
    """A deployment that depends on the faulty component, and one that does not."""
    faults = {"faults": [fault]}
    parts = {"regions": {"where": faults}} if place == "region" else {"components": {"where": faults}}
    return scenario(
        {"hit": deployment(**PLACES[place], **changes), "spared": deployment(**changes)},
        {"chat": traffic(rate)},
        horizon=horizon,
        **parts,
    )


def both(transport):
    """One attempt at each deployment, one after the other, with a limit of 9 s."""

    async def handle(request):
        for deployment_ in transport.deployments:
            try:
                reply = await transport.send(request, deployment_, timeouts=Timeouts(total_s=9))
            except Exception as error:
                last = error
        if "reply" not in locals():
            raise last
        return reply

    return handle


def attempts(world, **options):
    frame = run_one(world, both, **options).log.attempts_frame().astype({"deployment": str, "outcome": str})
    frame["took_s"] = frame["end_s"] - frame["start_s"]
    frame["inside"] = (frame["start_s"] >= START) & (frame["start_s"] < END)
    return frame


CANARIES = [
    ({"kind": "outage"}, "connect", 0.05),
    ({"kind": "hang"}, "timeout", 9.0),
    ({"kind": "brownout", "severity": 1}, "unavailable", 0.05),
    ({"kind": "brownout", "severity": 1, "error": 500}, "server_error", 0.05),
    ({"kind": "brownout", "severity": 1, "error": 503}, "unavailable", 0.05),
    ({"kind": "brownout", "severity": 1, "error": 429}, "rate_limited", 0.05),
    ({"kind": "slowdown", "severity": 3}, "ok", 3.3),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("fault", "outcome", "took"), CANARIES, ids=lambda value: str(value)[:40])
def test_a_fault_changes_what_attempts_meet_while_it_lasts_and_nothing_else(place, fault, outcome, took):
    frame = attempts(with_fault(scheduled(start=START, duration=END - START, **fault), place, rate=3))
    hit = (frame["deployment"] == "hit") & frame["inside"]
    assert hit.sum() > 50
    assert set(frame["outcome"][hit]) == {outcome}
    assert frame["took_s"][hit].to_numpy() == pytest.approx(took)
    assert (frame["cost_usd"][hit] > 0).all() == (outcome == "ok")
    assert set(frame["outcome"][~hit]) == {"ok"}
    assert frame["took_s"][~hit].to_numpy() == pytest.approx(1.1)


@pytest.mark.parametrize("kind", ["outage", "hang", "brownout"])
@pytest.mark.parametrize("severity", [0.1, 0.6])
def test_the_severity_is_the_share_of_attempts_that_are_hit(kind, severity):
    frame = attempts(with_fault(scheduled(kind, START, END - START, severity=severity)))
    hit = frame[(frame["deployment"] == "hit") & frame["inside"]]
    failed = int((hit["outcome"] != "ok").sum())
    assert len(hit) > 500
    assert stats.binomtest(failed, len(hit), severity).pvalue > 1e-4
    assert (frame["outcome"][~frame["inside"]] == "ok").all()


def test_an_episode_may_have_a_severity_of_its_own():
    fault = {
        "kind": "brownout",
        "severity": 0.9,
        "schedule": [
            {"start": START, "duration": 20, "severity": 0.2},
            {"start": START + 20, "duration": 20},
        ],
    }
    frame = attempts(with_fault(fault, rate=40))
    hit = frame[(frame["deployment"] == "hit") & frame["inside"]]
    for late, severity in ((False, 0.2), (True, 0.9)):
        part = hit[(hit["start_s"] >= START + 20) == late]
        failed = int((part["outcome"] == "unavailable").sum())
        assert stats.binomtest(failed, len(part), severity).pvalue > 1e-4


def test_faults_that_overlap_act_independently():
    severities = {"p": 0.5, "q": 0.4, "r": 0.3}
    windows = {"p": (0, 300), "q": (100, 200), "r": (200, 100)}
    world = scenario(
        {"a": deployment(components=["p", "q", "r"])},
        {"chat": traffic(20)},
        components={
            name: {"faults": [scheduled("brownout", *windows[name], severity=severity)]}
            for name, severity in severities.items()
        },
        horizon=300,
    )
    frame = run_one(world, both).log.attempts_frame()
    survives = 1.0
    for number, severity in enumerate(severities.values()):
        survives *= 1 - severity
        part = frame[(frame["start_s"] >= 100 * number) & (frame["start_s"] < 100 * (number + 1))]
        failed = int((part["outcome"] == "unavailable").sum())
        assert len(part) > 1500
        assert stats.binomtest(failed, len(part), 1 - survives).pvalue > 1e-4


def test_slowdowns_multiply():
    world = scenario(
        {"a": deployment(components=["p", "q"])},
        components={
            "p": {"faults": [scheduled("slowdown", 0, 100, severity=2)]},
            "q": {"faults": [scheduled("slowdown", 50, 50, severity=3)]},
        },
    )
    frame = run_one(world, both).log.attempts_frame()
    late = frame["start_s"] >= 50
    took = (frame["end_s"] - frame["start_s"]).to_numpy()
    assert took[~late] == pytest.approx(2.2)
    assert took[late] == pytest.approx(6.6)


def test_a_fault_and_the_deployments_own_errors_add_up():
    world = with_fault(
        scheduled("brownout", START, END - START, severity=0.5), errors={500: 0.2, "connect": 0.1}
    )
    frame = attempts(world)
    hit = frame[(frame["deployment"] == "hit") & frame["inside"]]
    for outcome, share in (("connect", 0.1), ("unavailable", 0.9 * 0.5), ("server_error", 0.9 * 0.5 * 0.2)):
        count = int((hit["outcome"] == outcome).sum())
        assert stats.binomtest(count, len(hit), share).pvalue > 1e-4, outcome


def test_who_was_hit_is_hit_by_a_worse_fault_too():
    """One uniform decides: a larger severity hits the same attempts and more."""
    mild, severe = (
        attempts(with_fault(scheduled("brownout", START, END - START, severity=severity)))
        for severity in (0.2, 0.5)
    )
    sets = [set(f["request"][(f["deployment"] == "hit") & (f["outcome"] != "ok")]) for f in (mild, severe)]
    assert sets[0] < sets[1]


def test_an_environment_may_be_given():
    world = with_fault(scheduled("outage", 0, 1))
    given = Environment.of([(0, FAULT_KINDS.index("outage"), START, END, 1.0, 0)], ("where",))
    frame = attempts(world, environment=given)
    failed = frame["outcome"] == "connect"
    assert (failed == ((frame["deployment"] == "hit") & frame["inside"])).all()
    assert failed.any()


def test_a_fault_that_began_before_the_window_is_met_by_it():
    world = with_fault(scheduled("outage", START, END - START))
    run = run_one(world, both, window=(60.0, 40.0))
    frame = run.log.attempts_frame()
    hit = frame[frame["deployment"] == "hit"]
    down = hit["start_s"] < 20
    assert down.any()
    assert set(hit["outcome"][down]) == {"connect"}
    assert set(hit["outcome"][~down]) == {"ok"}


def test_the_condition_is_looked_up_when_the_attempt_is_served():
    """An attempt that waits in the queue while an outage begins meets it when its turn comes."""
    world = scenario(
        {"a": deployment(max_concurrency=1, latency={"total": 30}, components=["g"])},
        {"chat": traffic(1)},
        components={"g": {"faults": [scheduled("brownout", 25, 30, severity=1)]}},
        horizon=20,
    )

    def unlimited(transport):
        async def handle(request):
            return await transport.send(request, transport.deployments[0])

        return handle

    frame = run_one(world, unlimited).log.attempts_frame().sort_values("start_s")
    assert list(frame["outcome"][:2]) == ["ok", "unavailable"]
    assert np.isclose(frame["queued_s"].iloc[1], frame["end_s"].iloc[0] - frame["start_s"].iloc[1])
