from __future__ import annotations

import asyncio

import pytest
from simulation.policies import first_only
from simulation.scenarios import deployment, scenario, traffic

from simsla.analysis import summarise
from simsla.records import OUTCOMES
from simsla.routing import AttemptTimeout, DeadlineExceeded, Reply, Shed
from simsla.simulation import run_one

SLOW = {"a": deployment(latency={"total": 50})}


def outcomes(run):
    return set(run.log.requests_frame()["outcome"])


def answering(action):
    """A policy that makes one attempt, then acts."""

    def factory(transport):
        async def handle(request):
            reply = await transport.send(request, transport.deployments[0])
            return action(reply)

        return handle

    return factory


def raise_(error):
    raise error


def test_ok():
    run = run_one(scenario(), first_only)
    assert outcomes(run) == {"ok"}
    frame = run.log.requests_frame()
    assert frame["end_s"].to_numpy() == pytest.approx(frame["arrival_s"] + 1.1)
    assert frame["first_token_s"].to_numpy() == pytest.approx(frame["arrival_s"] + 0.1)
    assert set(frame["deployment"]) == {"a"}
    assert set(frame["output_tokens"]) == {100}
    assert set(frame["attempts"]) == {1}
    assert frame["cost_usd"].to_numpy() == pytest.approx((1000 * 1 + 100 * 2) / 1e6)


@pytest.mark.parametrize(
    ("served", "asked", "outcome"),
    [
        ("economy", "premium", "degraded"),
        ("economy", "standard", "degraded"),
        ("premium", "economy", "ok"),
        ("standard", "standard", "ok"),
        ("economy", None, "ok"),
    ],
)
def test_an_answer_from_a_lower_tier_is_degraded(served, asked, outcome):
    world = scenario({"a": deployment(tier=served)}, {"chat": traffic(tier=asked)})
    assert outcomes(run_one(world, first_only)) == {outcome}


def test_the_deployment_that_the_reply_names_decides_the_tier():
    """Both of two hedged attempts succeed; the answer is the premium one, though the other came last."""
    world = scenario(
        {
            "cheap": deployment(tier="economy", latency={"total": 2}),
            "dear": deployment(tier="premium", latency={"total": 1}),
        },
        {"chat": traffic(tier="premium")},
    )

    def both(transport):
        async def handle(request):
            replies = await asyncio.gather(*(transport.send(request, d) for d in transport.deployments))
            return replies[1]

        return handle

    run = run_one(world, both)
    assert outcomes(run) == {"ok"}
    assert set(run.log.requests_frame()["deployment"]) == {"dear"}


def test_cached_is_an_answer_without_a_successful_attempt():
    def cache(transport):
        async def handle(request):
            return Reply("known", "a", "m", 0, 0, 0.0, 0.0)

        return handle

    run = run_one(scenario(), cache)
    assert outcomes(run) == {"cached"}
    assert len(run.attempts["request"]) == 0
    assert run.log.requests_frame()["deployment"].isna().all()


def test_an_answer_after_failed_attempts_only_is_cached():
    def fallback(transport):
        async def handle(request):
            try:
                return await transport.send(request, transport.deployments[0])
            except Exception:
                return "a stale answer"

        return handle

    world = scenario({"a": deployment(errors={500: 1})})
    run = run_one(world, fallback)
    assert outcomes(run) == {"cached"}
    assert len(run.attempts["request"]) == len(run.requests["request"])


@pytest.mark.parametrize(("purpose", "outcome"), [("classify", "cached"), ("answer", "ok")])
def test_only_attempts_at_the_answer_make_an_answer(purpose, outcome):
    def classify_and_remember(transport):
        async def handle(request):
            await transport.send(request.derive(purpose=purpose), transport.deployments[0])
            return "what was answered before"

        return handle

    run = run_one(scenario(), classify_and_remember)
    assert outcomes(run) == {outcome}
    assert set(run.requests["attempts"]) == {1}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Shed("too much"), "shed"),
        (TimeoutError(), "timeout"),
        (DeadlineExceeded(), "timeout"),
        (AttemptTimeout("late", phase="total"), "timeout"),
        (ValueError("a mistake"), "error"),
        (asyncio.CancelledError(), "error"),
        (ConnectionError(), "error"),
    ],
)
def test_what_a_policy_raises_decides(error, outcome):
    run = run_one(scenario(), answering(lambda reply: raise_(error)))
    assert outcomes(run) == {outcome}
    frame = run.log.requests_frame()
    assert frame["deployment"].isna().all()
    assert frame["first_token_s"].isna().all()
    # The answered attempt is paid all the same.
    assert (frame["cost_usd"] > 0).all()


def test_what_a_policy_raises_is_counted_by_type_with_its_first_message():
    run = run_one(scenario(), answering(lambda reply: raise_(ValueError("a mistake"))))
    assert set(run.failures) == {"ValueError"}
    assert run.failures["ValueError"].times == len(run.requests["request"])
    assert run.failures["ValueError"].first == "a mistake"


def test_the_deadline_ends_a_request_and_its_attempt():
    run = run_one(scenario(SLOW, {"chat": traffic(deadline=5)}), first_only)
    frame = run.log.requests_frame()
    assert outcomes(run) == {"timeout"}
    assert (frame["end_s"] == frame["arrival_s"] + 5).all()
    attempts = run.log.attempts_frame()
    assert set(attempts["outcome"]) == {"cancelled"}
    assert attempts["cancelled"].all()
    assert attempts["end_s"].to_numpy() == pytest.approx(attempts["start_s"] + 5)


def test_the_clients_patience_ends_a_request_and_its_attempt():
    run = run_one(scenario(SLOW, {"chat": traffic(deadline=5, patience=2)}), first_only)
    frame = run.log.requests_frame()
    assert outcomes(run) == {"abandoned"}
    assert frame["end_s"].to_numpy() == pytest.approx(frame["arrival_s"] + 2)
    assert set(run.log.attempts_frame()["outcome"]) == {"cancelled"}


@pytest.mark.parametrize(("patience", "outcome"), [(4, "abandoned"), (5, "abandoned"), (6, "timeout")])
def test_patience_comes_before_the_deadline(patience, outcome):
    run = run_one(scenario(SLOW, {"chat": traffic(deadline=5, patience=patience)}), first_only)
    assert outcomes(run) == {outcome}


@pytest.mark.parametrize(("limit", "outcome"), [({"patience": 2}, "abandoned"), ({"deadline": 2}, "timeout")])
@pytest.mark.parametrize("answer", [Shed(), ValueError(), "an answer"])
def test_a_limit_that_has_passed_outweighs_what_the_policy_does_when_cancelled(limit, outcome, answer):
    def deaf(transport):
        async def handle(request):
            try:
                return await transport.send(request, transport.deployments[0])
            except asyncio.CancelledError:
                if isinstance(answer, Exception):
                    raise answer from None
                return answer

        return handle

    run = run_one(scenario(SLOW, {"chat": traffic(**limit)}), deaf)
    assert outcomes(run) == {outcome}


def test_a_reply_in_time_is_not_spoilt_by_limits_that_pass_later():
    run = run_one(scenario(None, {"chat": traffic(deadline=2, patience=1.5)}), first_only)
    assert outcomes(run) == {"ok"}


def test_a_request_that_fits_nowhere_is_invalid_and_not_counted():
    world = scenario(
        {"a": deployment(context_window=900), "b": deployment(context_window=1000)},
        {"long": traffic(prompt_tokens=1000), "short": traffic(prompt_tokens=10)},
    )
    run = run_one(world, first_only)
    frame = run.log.requests_frame()
    long = frame["request_class"] == "long"
    assert set(frame["outcome"][long]) == {"error"}
    assert not frame["valid"][long].any()
    assert frame["valid"][~long].all()
    summary = summarise(run.log, start_s=run.start_s, end_s=run.end_s)
    assert summary.valid.sum() == (~long).sum()
    assert summary.valid[..., OUTCOMES.index("error")].sum() == 0


def test_a_request_that_fits_only_elsewhere_is_valid():
    world = scenario({"a": deployment(context_window=900), "b": deployment(context_window=1001)})
    run = run_one(world, first_only)
    assert outcomes(run) == {"error"}
    assert run.requests["valid"].all()
