"""Answers that are spoiled on their way: they break off, or end in what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulation.runs import play
from simulation.scenarios import deployment, scenario, scheduled, traffic
from world.scripts import only, sending, streaming, world

import simsla
from simsla.routing import (
    AttemptTimeout,
    BadRequest,
    ContextLengthExceeded,
    MalformedReply,
    StreamInterrupted,
    Timeouts,
)
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one
from simsla.world.conditions import CUT, MALFORMED, condition
from simsla.world.environment import FAULT_KINDS

SPOILED = {"cut": StreamInterrupted, "malformed": MalformedReply}
OUTCOME = {"cut": "interrupted", "malformed": "malformed"}
BROWNOUT = FAULT_KINDS.index("brownout")


def seen(chunks):
    return sum(chunk.tokens for _, chunk in chunks)


# One attempt


@pytest.mark.parametrize("kind", SPOILED)
def test_send_ends_in_the_error_of_its_kind(kind):
    (error, took), run = play(world(errors={kind: 1}), sending())
    assert type(error) is SPOILED[kind]
    assert error.deployment == "a"
    assert only(run)["outcome"] == OUTCOME[kind]
    if kind == "malformed":
        assert took == pytest.approx(1.1)
    else:
        assert 0.1 <= took < 1.1


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("tokens", [100, 17, 2, 1])
def test_a_stream_shows_what_came_before_and_never_its_end(kind, tokens):
    (chunks, error, took), run = play(world(errors={kind: 1}), streaming(max_tokens=tokens))
    (_, sent), _ = play(world(errors={kind: 1}), sending(max_tokens=tokens))
    assert type(error) is SPOILED[kind]
    assert all(chunk.finish_reason is None for _, chunk in chunks)
    assert took == pytest.approx(sent), "the same luck ends both at the same moment"
    if kind == "malformed":
        assert seen(chunks) == tokens - 1
        assert only(run)["tokens_out"] == tokens
    else:
        assert 1 <= seen(chunks) <= tokens
        assert only(run)["tokens_out"] == seen(chunks)
    assert all(at <= took for at, _ in chunks)


def test_a_whole_answer_at_once_is_cut_or_unreadable_then():
    for kind, error_type in SPOILED.items():
        (error, took), _ = play(world(latency={"total": 0.7}, errors={kind: 1}), sending())
        assert type(error) is error_type
        assert took == pytest.approx(0.7)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(SPOILED)),
    limit=st.floats(0.01, 1.5),
    what=st.sampled_from(["total_s", "first_token_s", "idle_s"]),
    per_token=st.sampled_from([0.01, 0.2]),
)
def test_limits_of_time_hold_for_a_spoiled_stream(kind, limit, what, per_token):
    spec = world(errors={kind: 1}, latency={"first_token": 0.3, "per_token": per_token})
    (chunks, error, took), _ = play(spec, streaming(Timeouts(**{what: limit})))
    (_, _, unlimited), _ = play(spec, streaming())
    if isinstance(error, AttemptTimeout):
        assert error.phase == what.removesuffix("_s")
        assert took <= unlimited + 1e-9
    else:
        assert type(error) is SPOILED[kind]
        assert took == pytest.approx(unlimited)
    if what == "first_token_s" and limit < 0.299:
        assert chunks == []
        assert took == pytest.approx(limit)
    if what == "total_s":
        assert took <= limit + 1e-9


def test_a_slow_reader_is_not_billed_for_tokens_after_the_cut():
    _, run = play(world(errors={"cut": 1}), streaming())
    _, lagging = play(world(errors={"cut": 1}), streaming(pause_s=0.5))
    assert only(lagging)["tokens_out"] == only(run)["tokens_out"] < 100


# The bill


@pytest.mark.parametrize("rule", ["generated", "full", "none"])
def test_a_cut_is_billed_by_its_own_rule(rule):
    opposite = "none" if rule != "none" else "full"
    spec = world(errors={"cut": 1}, billing={"cut": rule, "timed_out": opposite, "cancelled": opposite})
    (_, took), run = play(spec, sending())
    row = only(run)
    generated = int((took - 0.1) / 0.01 + 1e-6)
    expected = {"generated": (1000, generated), "full": (1000, 100), "none": (0, 0)}[rule]
    assert (row["tokens_in"], row["tokens_out"]) == expected
    assert row["first_token_s"] == pytest.approx(row["start_s"] + 0.1)
    assert row["cost_usd"] == pytest.approx((expected[0] * 1 + expected[1] * 2) / 1e6)


@pytest.mark.parametrize("rule", ["generated", "none"])
def test_what_cannot_be_read_is_billed_in_full(rule):
    others = dict.fromkeys(("timed_out", "cancelled", "cut", "errors"), rule)
    spec = world(errors={"malformed": 1}, billing=others)
    _, run = play(spec, sending())
    row = only(run)
    assert (row["tokens_in"], row["tokens_out"]) == (1000, 100)
    assert row["cost_usd"] == pytest.approx((1000 * 1 + 100 * 2) / 1e6)


# Shares


def one_attempt(transport):
    async def handle(request):
        return await transport.send(request, transport.deployments[0], timeouts=Timeouts(total_s=30))

    return handle


def outcomes(spec, **options):
    return run_one(spec, one_attempt, **options).log.attempts_frame().astype({"outcome": str})


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("severity", [0.2, 0.7])
def test_the_severity_is_the_share_of_answers_that_are_hit(kind, severity):
    spec = scenario(
        {"a": deployment(components=["g"])},
        {"chat": traffic(20)},
        components={"g": {"faults": [scheduled(kind, 50, 50, severity=severity)]}},
    )
    frame = outcomes(spec)
    inside = frame["start_s"] >= 50
    hit = int((frame["outcome"][inside] == OUTCOME[kind]).sum())
    assert inside.sum() > 500
    assert stats.binomtest(hit, int(inside.sum()), severity).pvalue > 1e-4
    assert set(frame["outcome"][inside]) == {"ok", OUTCOME[kind]}
    assert set(frame["outcome"][~inside]) == {"ok"}


def test_a_cut_comes_at_any_token_alike():
    frame = outcomes(scenario({"a": deployment(errors={"cut": 1})}, {"chat": traffic(20)}))
    took = (frame["end_s"] - frame["start_s"]).to_numpy()
    assert stats.kstest((took - 0.1) / 1.0, "uniform").pvalue > 1e-4


def test_the_errors_of_a_deployment_are_shares_of_its_answers():
    shares = {"400": 0.1, "429": 0.05, "cut": 0.2, "malformed": 0.15}
    frame = outcomes(scenario({"a": deployment(errors=shares)}, {"chat": traffic(40)}))
    names = {"400": "bad_request", "429": "rate_limited", "cut": "interrupted", "malformed": "malformed"}
    for kind, share in shares.items():
        hit = int((frame["outcome"] == names[kind]).sum())
        assert stats.binomtest(hit, len(frame), share).pvalue > 1e-4, kind


def test_a_400_of_a_deployment_is_the_fault_of_the_request():
    (error, took), run = play(world(errors={400: 1}), sending())
    assert type(error) is BadRequest
    assert not isinstance(error, ContextLengthExceeded)
    assert error.blames_request
    assert error.status == 400
    assert took == pytest.approx(0.05)
    assert only(run)["cost_usd"] == 0


def test_faults_of_answers_strike_after_everything_else():
    """Thresholds are appended, so that the luck of a scenario without them does not move."""
    cut, malformed = FAULT_KINDS.index("cut"), FAULT_KINDS.index("malformed")
    before = condition({"500": 0.2}, [(BROWNOUT, 0.5, 503)])
    after = condition({"500": 0.2}, [(BROWNOUT, 0.5, 503), (cut, 0.5, 0), (malformed, 0.5, 0)])
    assert after.steps[: len(before.steps)] == before.steps
    assert after.failing == pytest.approx(1 - 0.5 * 0.8 * 0.5 * 0.5)
    assert [outcome for _, outcome in after.steps[len(before.steps) :]] == [CUT, MALFORMED]
    assert condition({}, [(cut, 1.0, 0)]).failing == 1


@given(u=st.floats(0, 1, exclude_max=True))
def test_the_place_in_a_step_is_a_share_of_it(u):
    met = condition({"connect": 0.1, "cut": 0.3}, [(BROWNOUT, 0.2, 503)])
    if u >= met.failing:
        return
    outcome, where = met.failure(u)
    assert 0 <= where < 1
    below = max((threshold for threshold, _ in met.steps if threshold <= u), default=0.0)
    above = min(threshold for threshold, _ in met.steps if threshold > u)
    assert below + where * (above - below) == pytest.approx(u)
    assert (above, outcome) in met.steps


# Canaries: what is injected moves the numbers of a run, and in the right direction


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("how", ["errors", "fault"])
def test_injecting_it_costs_availability_without_retries_and_attempts_with_them(kind, how):
    def results(share, max_attempts):
        spec = {"errors": {kind: share}} if how == "errors" else {"components": ["g"]}
        fault = scheduled(kind, 0, 300, severity=share)
        parts = {"components": {"g": {"faults": [fault]}}} if how == "fault" else {}
        policy = {"retry": {"max_attempts": max_attempts}, "breaker": None, "max_attempts": max_attempts}
        world = scenario(
            {"a": deployment(**spec)}, {"chat": traffic(4)}, horizon=300, routing=policy, **parts
        )
        return simsla.simulate(world, seed=1, replications=2).metrics

    hit, retried = results(0.3, 1), results(0.3, 3)
    assert hit["availability"].value == pytest.approx(0.7, abs=0.05)
    assert retried["availability"].value > 0.9
    assert hit["amplification"].value == 1
    assert retried["amplification"].value > 1.3
    assert retried["cost_usd_per_day"].value > hit["cost_usd_per_day"].value


def test_a_400_is_not_retried_and_costs_availability():
    def result(errors):
        policy = {"retry": {"max_attempts": 3}, "breaker": None}
        spec = scenario({"a": deployment(errors=errors)}, horizon=300, routing=policy)
        return simsla.simulate(spec, seed=1, replications=2).metrics

    assert result({400: 0.3})["availability"].value == pytest.approx(0.7, abs=0.06)
    assert result({400: 0.3})["amplification"].value == 1


# What cannot be


@pytest.mark.parametrize("kind", SPOILED)
def test_a_fault_of_answers_needs_its_share(kind):
    with pytest.raises(ScenarioError, match="severity"):
        scenario(components={"g": {"faults": [scheduled(kind, 0, 10)]}})
    with pytest.raises(ScenarioError, match="no error"):
        scenario(components={"g": {"faults": [scheduled(kind, 0, 10, severity=0.5, error=500)]}})


def test_a_misspelt_error_is_refused_with_the_nearest_name():
    with pytest.raises(ScenarioError, match="malformed"):
        scenario({"a": deployment(errors={"malformd": 0.1})})


def test_a_scenario_with_them_is_read_back_as_written():
    spec = scenario(
        {"a": deployment(components=["g"], errors={"cut": 0.1, "400": 0.1})},
        components={"g": {"faults": [scheduled("malformed", 5, 10, severity=0.5)]}},
    )
    assert Scenario.from_dict(spec.to_dict()) == spec


def test_no_draw_of_other_attempts_moves():
    plain = outcomes(scenario({"a": deployment(errors={500: 0.2})}, {"chat": traffic(20)}))
    more = outcomes(scenario({"a": deployment(errors={500: 0.2, "cut": 0.2})}, {"chat": traffic(20)}))
    failed = [set(frame["request"][frame["outcome"] == "server_error"]) for frame in (plain, more)]
    assert failed[0] == failed[1]
    same = more["outcome"] == "ok"
    assert np.isin(more["request"][same], plain["request"][plain["outcome"] == "ok"]).all()
