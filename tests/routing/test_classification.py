from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import play
from routing.staged import Answers, asking, now, through

from simsla.routing import TIERS, ConfigError, Request, RoutingPolicy, ServerError
from simsla.routing.classification.classifier import Verdict
from simsla.routing.classification.model import CallClassifier, RouteLLMThreshold
from simsla.routing.classification.rules import CLASSES, Rules
from simsla.routing.router.classifying import ClassifyStage
from simsla.routing.router.guard import Guard

PLAIN = "tell me something about the small town on the hill where my aunt lives now"
LONG = PLAIN + " and so on" * 200


@pytest.mark.parametrize(
    ("prompt", "score", "name"),
    [
        (PLAIN, 0.0, "simple"),
        ("hello", -0.10 - 0.05, "simple"),
        ("what is the capital of the country that my aunt and her friends live in", -0.05, "simple"),
        (LONG, 0.10, "simple"),
        (f"{PLAIN}, in python", 0.15, "medium"),
        (f"{PLAIN}, as a python function", 0.30, "medium"),
        (f"{LONG}, as a python function", 0.40, "complex"),
        (f"{PLAIN}, step by step", 0.25 * 0.7, "medium"),
        (f"{PLAIN}, its network and its latency", 0.125, "simple"),
        (f"{PLAIN}: network, latency, memory, throughput, in python code", 0.55, "complex"),
        (f"{LONG}: network, latency, memory, throughput, in python code", 0.65, "reasoning"),
        # Two phrases of reasoning are enough whatever the score.
        (f"{PLAIN}, step by step, with pros and cons", 0.25, "reasoning"),
        (f"first {PLAIN} then go on", 0.015, "simple"),
        (f"1. {PLAIN} 2. and", 0.015, "simple"),
        (f"{PLAIN}? who? why? when?", 0.01, "simple"),
        # Whole words only: a capital is no API, and something defined is no def.
        (f"{PLAIN}, the capital, its rapid and undefined classical terror", 0.0, "simple"),
    ],
)
def test_the_score_is_litellms_weighted_sum(prompt, score, name):
    assert Rules().classify(prompt) == (name, pytest.approx(score))


def test_reasoning_is_looked_for_in_the_users_words_alone():
    rules = Rules()
    assert rules.classify(PLAIN, system="think carefully, step by step") == ("simple", 0.0)
    assert rules.classify(PLAIN, system="you write python code") == ("medium", pytest.approx(0.30))


def test_the_cuts_words_and_tiers_are_settings():
    rules = Rules(
        medium=0.05,
        complex=0.10,
        reasoning=0.2,
        weights={"code": 0.4},
        keywords={"code": ["ABAP"]},
        tiers={"simple": "economy", "medium": "economy", "complex": "standard", "reasoning": "premium"},
    )
    assert rules.classify(PLAIN) == ("simple", 0.0)
    verdict = rules.read(asking(f"{PLAIN} in abap"), None)
    assert verdict == Verdict("premium", "reasoning (0.200)")


@given(st.text(max_size=300))
def test_any_text_has_a_class_within_the_bounds_of_the_weights(text):
    name, score = Rules().classify(text)
    assert name in CLASSES
    assert -0.15 <= score <= 0.925 + 1e-12


def stage(kind, answers=None, score=None, **settings):
    policy = RoutingPolicy.from_dict({"classify": {"kind": kind} | settings}).classify
    return ClassifyStage(policy.build(score), answers or Answers(), Guard(), now)


def classified(made, *requests):
    """What is behind the stage sees of these requests."""

    async def main():
        answers = Answers()
        progresses = [(await through([made], request, answers))[1] for request in requests]
        return answers.calls, progresses

    return play(main())


def test_only_a_request_without_a_tier_is_classified_and_the_callers_object_stays_as_it_is():
    made = stage("rules")
    asked = [asking(f"{PLAIN} in python", 1), asking(f"{PLAIN} in python", 2, tier="premium")]
    seen, progresses = classified(made, *asked)
    assert [(request.id, request.tier) for request in seen] == [(1, "standard"), (2, "premium")]
    assert [request.tier for request in asked] == [None, "premium"]
    assert made.counts == {"standard": 1}
    assert [step[1:] for step in progresses[0].steps] == [("classify", "standard", "medium (0.150)")]


def test_rules_leave_a_request_with_a_complexity_to_it():
    made = stage("rules")
    seen, _ = classified(made, asking(PLAIN, complexity=0.9))
    assert (seen[0].tier, seen[0].complexity) == (None, 0.9)
    assert made.counts == {"none": 1}


def test_a_call_asks_the_economy_tier_is_billed_and_its_answer_is_obeyed():
    answers = Answers("The message needs: Premium.", after_s=0.3)
    made = stage("call", answers)
    asked = asking(PLAIN, 7, prompt_tokens=16, stream=True, max_tokens=500, needs=("json",))
    seen, progresses = classified(made, asked)
    assert seen[0].tier == "premium"
    call = answers.calls[0]
    assert (call.id, call.parent_id, call.purpose, call.tier) == ("7/classify", 7, "classify", "economy")
    assert (call.prompt_tokens, call.max_tokens, call.stream, call.needs) == (76, 8, False, ())
    assert call.messages[-1] == {"role": "user", "content": PLAIN}
    assert "{economy}" not in call.messages[0]["content"]
    # 76 tokens in at 1 USD and 10 out at 2 USD per million.
    assert progresses[0].spent_usd == pytest.approx(96e-6)
    assert progresses[0].attempts == 0, "those are attempts at the answer"


def test_a_long_prompt_is_shown_in_part():
    answers = Answers("economy")
    classified(stage("call", answers, longest_prompt_tokens=10), asking("word " * 500, prompt_tokens=500))
    assert answers.calls[0].prompt_tokens == 70
    assert len(answers.calls[0].prompt) == 40


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("economy", "economy"),
        (" *Standard*\n", "standard"),
        ("premium, I think", "premium"),
        ("simulated", None),
        ("", None),
        ("not economy but premium", None),
        ("substandard", None),
    ],
)
def test_exactly_one_label_is_a_verdict(text, tier):
    made = stage("call", Answers(text))
    assert classified(made, asking(PLAIN))[0][0].tier == tier
    assert made.counts == {tier or "none": 1}


def test_labels_of_ones_own():
    labels = {"economy": "easy", "standard": "fair", "premium": "hard"}
    answers = Answers("HARD")
    assert classified(stage("call", answers, labels=labels), asking(PLAIN))[0][0].tier == "premium"
    assert "hard for one that takes" in answers.calls[0].messages[0]["content"]


@pytest.mark.parametrize(
    "answers", [Answers(error=ServerError("sk-1")), Answers(error=KeyError("sk-1")), Answers(after_s=1e6)]
)
def test_a_failing_classifier_leaves_the_tier_to_the_complexity_or_the_default(answers):
    made = stage("call", answers, timeout_s=2.0)

    async def main():
        start = now()
        reply, progress = await through([made], asking(PLAIN), Answers(after_s=0.0))
        assert reply.text == "an answer"
        assert progress.request.tier is None
        assert now() - start <= 2.0
        assert answers.in_flight == 0, "the call is cancelled"

    play(main())
    assert made._guard.swallowed == {"classify": 1}
    assert made.counts == {"none": 1}


def test_a_classifier_never_outlives_the_deadline():
    async def main():
        start = now()
        await through(
            [stage("call", Answers(after_s=1e6))], asking(PLAIN), Answers(after_s=0.0), deadline_s=0.5
        )
        assert now() - start == 0.5

    play(main())


def test_a_cancelled_request_cancels_its_classification():
    answers = Answers(after_s=1e6)

    async def main():
        task = asyncio.ensure_future(through([stage("call", answers)], asking(PLAIN), Answers()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert answers.in_flight == 0

    play(main())


@pytest.mark.parametrize(
    ("complexity", "tier"), [(0.11593, "premium"), (0.11592, "economy"), (1.0, "premium"), (None, None)]
)
def test_routellm_sends_to_the_strong_tier_from_its_threshold_on(complexity, tier):
    made = stage("routellm", threshold=0.11593)
    assert classified(made, asking(PLAIN, complexity=complexity))[0][0].tier == tier


def test_routellm_takes_a_score_of_ones_own_and_a_failing_one_is_no_verdict():
    made = stage("routellm", threshold=0.5, weak="standard", score=lambda request: len(request.prompt) / 100)
    seen, _ = classified(made, asking("short", 1), asking("x" * 60, 2))
    assert [request.tier for request in seen] == ["standard", "premium"]
    made = stage("routellm", threshold=0.5, score=lambda request: 1 / 0)
    assert classified(made, asking(PLAIN))[0][0].tier is None
    assert made._guard.swallowed == {"classify": 1}


def test_a_request_replaced_is_the_same_request():
    request = Request("r-1", prompt_tokens=5, topic="t")
    other = request.replace(tier="economy", prompt_tokens=6)
    assert (other.id, other.topic, other.tier, other.prompt_tokens) == ("r-1", "t", "economy", 6)
    assert (request.tier, request.prompt_tokens) == (None, 5)
    with pytest.raises(AttributeError):
        request.replace(teir="economy")


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"kind": "ruls"}, "routing.classify.kind"),
        ({"medium": 0.5}, "routing.classify.reasoning"),
        ({"tiers": {"simple": "economy"}}, "routing.classify.tiers.medium"),
        ({"tiers": {"simple": "cheap"}}, "routing.classify.tiers.simple"),
        ({"weights": {"codes": 1}}, "routing.classify.weights.codes"),
        ({"short_tokens": 500}, "routing.classify.long_tokens"),
        ({"kind": "call", "timeout_s": 61}, "routing.classify.timeout_s"),
        (
            {"kind": "call", "labels": {"economy": "a", "standard": "A", "premium": "b"}},
            "routing.classify.labels.standard",
        ),
        ({"kind": "call", "labels": {"economy": "a"}}, "routing.classify.labels.standard"),
        ({"kind": "routellm"}, "routing.classify.threshold"),
        ({"kind": "routellm", "threshold": 0.5, "strong": "economy"}, "routing.classify.strong"),
    ],
)
def test_mistakes_are_refused(settings, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"classify": settings})
    assert caught.value.path == path


@pytest.mark.parametrize("section", [Rules(), CallClassifier(), RouteLLMThreshold(threshold=0.5)])
def test_sections_survive_a_file(section):
    policy = RoutingPolicy(classify=section)
    assert RoutingPolicy.from_dict(policy.to_dict()) == policy
    assert all(tier in TIERS for tier in getattr(section, "tiers", {}).values())
