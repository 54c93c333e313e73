"""Poison requests fail everywhere, every time, and are nobody's fault."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy import stats
from simulation.policies import patient
from simulation.runs import arrivals, digest
from simulation.scenarios import deployment, scenario, scheduled, traffic, varied

from simsla import simulate
from simsla.analysis import NoFailuresWarning
from simsla.routing import BadRequest, ServerError
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one


def world(poison=0.05, *, horizon=400.0, **changes):
    return scenario(
        {"a": deployment(), "b": deployment()},
        {"chat": traffic(3, poison=poison)},
        horizon=horizon,
        **changes,
    )


def everywhere(transport):
    """Each deployment three times, and a subordinate call; whatever succeeds is kept in `answered`."""

    async def handle(request):
        calls = [transport.send(request, each) for each in transport.deployments for _ in range(3)] + [
            transport.send(request.derive(purpose="classify"), transport.deployments[0])
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        errors = [result for result in results if isinstance(result, Exception)]
        # All of them, or none.
        assert len(errors) in (0, len(calls)), errors
        if errors:
            raise errors[0]

    return handle


def poisoned(run):
    frame = run.log.requests_frame()
    return set(frame["request"][~frame["valid"]])


def test_they_fail_at_every_attempt_and_the_others_at_none():
    run = run_one(world(), everywhere)
    frame = run.log.requests_frame()
    assert set(run.failures) == {"ServerError"}
    assert poisoned(run) == set(frame["request"][frame["outcome"] == "error"])
    assert stats.binomtest(len(poisoned(run)), len(frame), 0.05).pvalue > 1e-4
    attempts = run.log.attempts_frame()
    bad = attempts[attempts["request"].isin(poisoned(run))]
    assert set(bad["outcome"]) == {"server_error"}
    assert set(bad["cost_usd"]) == {0.0}
    assert (bad["end_s"] - bad["start_s"]).to_numpy() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("status", "errors", "cost_usd"),
    [(500, "none", 0.0), (500, "generated", 0.001), (500, "full", 0.001), (400, "generated", 0.0)],
)
def test_they_are_billed_as_other_errors_are(status, errors, cost_usd):
    poison = {"share": 1.0, "status": status}
    billed = scenario(
        {"a": deployment(billing={"errors": errors})}, {"chat": traffic(3, poison=poison)}, horizon=20.0
    )

    def policy(transport):
        async def handle(request):
            await transport.send(request, transport.deployments[0])

        return handle

    attempts = run_one(billed, policy).log.attempts_frame()
    assert attempts["cost_usd"].to_numpy() == pytest.approx(cost_usd)


@pytest.mark.parametrize(("status", "error"), [(400, BadRequest), (500, ServerError)])
def test_the_status_is_chosen(status, error):
    def policy(transport):
        async def handle(request):
            await transport.send(request, transport.deployments[0])

        return handle

    run = run_one(world({"share": 1.0, "status": status}, horizon=20), policy)
    assert list(run.failures) == [error.__name__]
    assert set(run.requests["valid"]) == {False}


def test_streams_fail_too():
    def policy(transport):
        async def handle(request):
            async with transport.stream(request, transport.deployments[0]) as chunks:
                async for _ in chunks:
                    pass

        return handle

    run = run_one(world(), policy)
    frame = run.log.requests_frame()
    assert poisoned(run) == set(frame["request"][frame["outcome"] == "error"])


def test_even_a_continued_answer_fails():
    def policy(transport):
        async def handle(request):
            return await transport.send(request.replace(prefix_tokens=5), transport.deployments[0])

        return handle

    frame = run_one(world(1.0, horizon=10), policy).log.requests_frame()
    assert set(frame["outcome"]) == {"error"}


def test_which_ones_does_not_depend_on_the_policy_nor_on_the_window():
    full, other = run_one(world(), everywhere), run_one(world(), patient)
    assert poisoned(full) == poisoned(other)
    part = run_one(world(), patient, window=(100, 200))
    frame = full.log.requests_frame()
    inside = frame[(frame["arrival_s"] >= 100) & (frame["arrival_s"] < 300)]["request"]
    assert poisoned(part) == poisoned(full) & set(inside)
    assert len(poisoned(part)) > 10


def test_poison_moves_no_other_draw():
    clean = scenario({"a": deployment(), "b": deployment()}, {"chat": traffic(3)}, horizon=400)
    one, other = arrivals(run_one(clean, patient)), arrivals(run_one(world(), patient))
    for column in ("request", "arrival_s", "prompt_tokens"):
        np.testing.assert_array_equal(one[column], other[column])
    assert one["valid"].all()
    assert not other["valid"].all()


def test_they_do_not_count_against_availability():
    with pytest.warns(NoFailuresWarning):
        result = simulate(world(0.2), patient, replications=2)
    assert result.availability.value == 1.0
    assert sum(result.outcomes.values()) < len(result.requests)


def test_they_can_open_a_breaker_that_blames_the_deployment():
    """The canary: a 500 per request is taken for the deployment's fault, a 400 is not."""

    def errors(status):
        spec = world(
            {"share": 0.4, "status": status},
            horizon=300,
            routing={"breaker": {"failures": 2, "open_s": 20}, "retry": {"max_attempts": 2}},
        )
        run = run_one(spec)
        frame = run.log.requests_frame()
        return int((frame["valid"] & (frame["outcome"] == "error")).sum())

    assert errors(400) == 0
    assert errors(500) > 20


def test_an_outage_comes_first():
    spec = scenario(
        {"a": deployment(components=["g"])},
        {"chat": traffic(2, poison=1.0)},
        components={"g": {"faults": [scheduled("outage", 0, 1e6)]}},
        horizon=20,
    )
    run = run_one(spec, patient)
    assert set(run.log.attempts_frame()["outcome"]) == {"connect"}


def test_the_same_seed_gives_the_same_logs():
    data = varied(60).to_dict()
    data["traffic"]["chat"]["poison"] = {"share": 0.1}
    spec = Scenario.from_dict(data)
    assert digest(run_one(spec, patient)) == digest(run_one(spec, patient))
    assert Scenario.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("poison", "path"),
    [(1.5, "share"), (-0.1, "share"), ({"share": 0.1, "status": 503}, "status"), ({"status": 500}, "share")],
)
def test_what_cannot_be_is_refused(poison, path):
    with pytest.raises(ScenarioError) as caught:
        world(poison)
    assert [problem.path for problem in caught.value.problems] == [f"traffic.chat.poison.{path}"]
