from __future__ import annotations

import asyncio
import random

import pytest
from routing.fakes import copied, deployment, play
from routing.staged import Answers, asking, candidate, now, through

from simsla.routing import ConfigError, Reply, RoutingPolicy, ServerError, Timeouts
from simsla.routing.progress import Progress
from simsla.routing.router.caching import CacheStage
from simsla.routing.router.guard import Guard
from simsla.routing.router.sampling import SamplingStage, ShadowStage
from simsla.routing.sampling.quality import read_check

QUESTION = "how do I grow the pool"


def sampler(answers=None, review=None, seed=1, **settings):
    policy = RoutingPolicy.from_dict({"quality": settings}).quality
    return SamplingStage(policy, answers or Answers("PASS"), Guard(), now, random.Random(seed), review)


def shadow(answers=None, compare=None, seed=1, **settings):
    policy = RoutingPolicy.from_dict({"shadow": {"deployment": "new"} | settings}).shadow
    return ShadowStage(policy, answers or Answers("new"), Guard(), now, random.Random(seed), compare)


def run(stage, requests=1, answers=None, then_s=100.0, **more):
    """The replies to so many requests, one after the other, and what goes on behind them."""

    async def main():
        got = []
        for number in range(requests):
            start = now()
            request = asking(QUESTION, number, **more)
            got.append((await through([stage], request, answers or Answers(after_s=0.0)))[0])
            assert now() == start, "nobody waits for a sample"
        await asyncio.sleep(then_s)
        await stage.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return got

    return play(main())


ALL_REVIEWED = {"human_review_share": 1.0, "automated_check_share": 0.0}
ALL_CHECKED = {"human_review_share": 0.0, "automated_check_share": 1.0}


def test_one_percent_is_reviewed_and_another_five_are_checked():
    def play_it(seed):
        reviewed = []
        stage = sampler(
            review=lambda request, reply: reviewed.append(request.id),
            seed=seed,
            usd_per_review=0.5,
            max_in_flight=10_000,
        )
        run(stage, 10_000)
        return stage.counts, reviewed, stage.spent_usd

    counts, reviewed, spent_usd = play_it(seed=1)
    # Within 4.5 standard errors: 10 and 22.
    assert counts["human_review"] == len(reviewed) == pytest.approx(100, abs=45)
    assert counts["automated_check"] == counts["passed"] == pytest.approx(500, abs=98)
    assert spent_usd["human_review"] == 0.5 * len(reviewed)
    assert play_it(seed=1)[:2] == (counts, reviewed)
    assert play_it(seed=2)[1] != reviewed


def test_a_check_is_a_subordinate_call_with_question_and_answer_and_is_billed():
    answers = Answers("FAIL: wrong", after_s=3.0)
    stage = sampler(answers, **ALL_CHECKED)
    run(stage, prompt_tokens=6, stream=True, tier="premium")
    call = answers.calls[0]
    assert (call.purpose, call.parent_id, call.tier, call.stream, call.max_tokens) == (
        "check",
        0,
        "standard",
        False,
        64,
    )
    assert call.prompt_tokens == 6 + 10 + 60
    assert QUESTION in call.prompt
    assert "an answer" in call.prompt
    assert stage.counts == {"automated_check": 1, "failed": 1}
    # 76 tokens in at 1 USD and 10 out at 2 USD per million.
    assert stage.spent_usd["automated_check"] == pytest.approx(96e-6)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [(" **PASS**", "passed"), ("Fail: no", "failed"), ("simulated", "unclear"), ("", "unclear")],
)
def test_the_verdict_stands_at_the_beginning(text, verdict):
    assert read_check(Reply(text, "a", "m", 1, 1, 0.1, 0.1)) == verdict


def test_answers_out_of_a_cache_are_sampled_as_well():
    policy = RoutingPolicy.from_dict({"cache": {"threshold": 1.0}}).cache
    reviewed = []
    stage = sampler(review=lambda request, reply: reviewed.append(reply.metadata), **ALL_REVIEWED)

    async def main():
        stages = [stage, CacheStage(policy, policy.build(), Guard(), now)]
        for number in (1, 2):
            await through(stages, asking(QUESTION, number), Answers())
        await asyncio.sleep(0)

    play(main())
    assert reviewed[0] is None
    assert reviewed[1]["cache"]["stored_request"] == 1


@pytest.mark.parametrize(
    "answers", [Answers(error=ServerError()), Answers(error=KeyError()), Answers(after_s=1e6)]
)
def test_a_failing_or_hanging_check_or_copy_is_only_counted(answers):
    for stage in (sampler(answers, timeout_s=5.0, **ALL_CHECKED), shadow(answers, timeout_s=5.0)):
        assert run(stage, 3)[0].text == "an answer"
        assert sum(stage._guard.swallowed.values()) == 3
        assert answers.in_flight == 0


def test_a_failing_review_or_comparison_is_only_counted():
    def fail(*answer):
        raise RuntimeError

    for stage in (sampler(review=fail, **ALL_REVIEWED), shadow(compare=fail)):
        assert len(run(stage, 2)) == 2
        assert sum(stage._guard.swallowed.values()) == 2


def test_too_many_at_a_time_are_dropped_and_counted():
    for answers, stage in (
        (slow := Answers("PASS", after_s=10.0), sampler(slow, max_in_flight=3, **ALL_CHECKED)),
        (slow := Answers(after_s=10.0), shadow(slow, max_in_flight=3)),
    ):
        run(stage, 8)
        assert (answers.peak, len(answers.calls)) == (3, 3)
        assert stage.counts["dropped"] == 5


def test_no_answer_is_no_sample_and_no_copy():
    for stage in (sampler(**ALL_CHECKED), shadow()):
        with pytest.raises(ServerError):
            run(stage, answers=Answers(after_s=0.0, error=ServerError()))
        assert not stage.counts


def test_what_is_going_on_when_the_router_closes_is_cancelled():
    for stage in (sampler(Answers(after_s=50.0), **ALL_CHECKED), shadow(Answers(after_s=50.0))):
        run(stage, 2, then_s=1.0)
        assert not stage._guard.swallowed


def test_a_copy_goes_to_the_shadow_and_both_answers_are_compared():
    seen = []
    answers = Answers("the new answer", after_s=2.0)
    stage = shadow(
        answers, compare=lambda request, reply, new: seen.append((request.id, reply.text, new.text))
    )
    run(stage, tier="premium", stream=True)
    copy = answers.calls[0]
    assert (copy.id, copy.purpose, copy.stream, copy.messages[0]["content"]) == (
        "0/shadow",
        "shadow",
        False,
        QUESTION,
    )
    assert seen == [(0, "an answer", "the new answer")]
    assert stage.counts == {"sent": 1, "answered": 1}
    assert stage.spent_usd == {"shadow": pytest.approx(6e-6 + 20e-6)}


def test_a_share_of_the_requests_is_copied():
    stage = shadow(share=0.2, max_in_flight=10_000)
    run(stage, 5000)
    assert stage.counts["sent"] == stage.counts["answered"] == pytest.approx(1000, abs=130)


def test_the_plan_of_a_copy_is_its_deployment_alone():
    policy = RoutingPolicy.from_dict({"shadow": {"deployment": "new", "timeout_s": 9}}).shadow
    selector = policy.selector(deployment("new", "economy"))
    request = asking(QUESTION, tier="premium")
    (only,) = selector.candidates(request, 0.0)
    assert (only.deployment.name, only.degraded, only.timeouts) == ("new", False, Timeouts(total_s=9.0))
    assert selector.after(ServerError(), only, [candidate("standard", "standard")]) == ()


def test_the_cap_of_the_request_pays_for_its_checks():
    payers = []

    async def call(request, progress):
        payers.append(progress.account)
        return await Answers("PASS")(request, progress)

    stage = sampler(call, **ALL_CHECKED)

    async def main():
        progress = Progress(asking(QUESTION))
        stage.leave(progress.request, progress, await Answers()(progress.request, progress))
        await asyncio.sleep(5)
        return progress

    assert payers == [play(main())]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (
            {"quality": {"human_review_share": 0.6, "automated_check_share": 0.6}},
            "routing.quality.automated_check_share",
        ),
        ({"quality": {"human_review_share": -0.1}}, "routing.quality.human_review_share"),
        ({"quality": {"check_tier": "best"}}, "routing.quality.check_tier"),
        ({"shadow": {}}, "routing.shadow.deployment"),
        ({"shadow": {"deployment": "new", "share": 2}}, "routing.shadow.share"),
    ],
)
def test_mistakes_are_refused(settings, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict(settings)
    assert caught.value.path == path


def test_an_unknown_shadow_is_refused_with_the_nearest_name():
    policy = RoutingPolicy.from_dict({"shadow": {"deployment": "newer"}})
    with pytest.raises(ConfigError) as caught:
        policy.check([deployment("new"), deployment("old")])
    assert (caught.value.path, caught.value.suggestion) == ("routing.shadow.deployment", "new")
    policy.check([deployment("newer")])
    assert copied(policy) == policy
