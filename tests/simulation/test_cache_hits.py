"""What the record says of answers out of a cache."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from simulation.scenarios import scenario, traffic

import simsla
from simsla.records import CACHE_HITS, PURPOSES
from simsla.routing import Reply
from simsla.simulation import run_one

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


def topical(rate=2.0, horizon=100.0, **topics):
    return scenario(None, {"chat": traffic(rate, topics={"count": 200} | topics)}, horizon=horizon)


def telling(metadata):
    """A policy that answers out of the blue, with something to say about it."""

    def factory(transport):
        async def handle(request):
            said = metadata(request) if callable(metadata) else metadata
            return Reply("known", "cache", "m", 0, 0, 0.0, 0.0, metadata=said)

        return handle

    return factory


def hits(run):
    return set(run.log.requests_frame()["cache_hit"])


@pytest.mark.parametrize(
    ("metadata", "hit"),
    [
        (None, "unknown"),
        ({}, "unknown"),
        ({"cache": None}, "unknown"),
        ({"cache": "hit"}, "unknown"),
        ({"cache": {}}, "unknown"),
        ({"cache": {"true_hit": None}}, "unknown"),
        ({"cache": {"true_hit": "yes"}}, "unknown"),
        ({"cache": {"true_hit": True}}, "true"),
        ({"cache": {"true_hit": False}}, "false"),
        # The world knows better than the policy, where it is told what was stored.
        (lambda request: {"cache": {"topic": request.topic, "true_hit": False}}, "true"),
        ({"cache": {"topic": "another", "true_hit": True}}, "false"),
    ],
)
def test_a_hit_is_what_the_world_knows_of_it_else_what_the_policy_says(metadata, hit):
    run = run_one(topical(), telling(metadata))
    assert hits(run) == {hit}
    assert set(run.log.requests_frame()["outcome"]) == {"cached"}


def test_a_policy_that_changes_the_topic_deceives_nobody():
    def claim(request):
        request.topic = "mine"
        return {"cache": {"topic": "mine", "true_hit": True}}

    assert hits(run_one(topical(), telling(claim))) == {"false"}


def test_without_topics_there_is_nothing_to_compare():
    said = {"cache": {"topic": "another", "true_hit": True}}
    assert hits(run_one(scenario(), telling(said))) == {"true"}


def test_what_was_answered_by_a_deployment_is_no_hit():
    def boasting(transport):
        async def handle(request):
            reply = await transport.send(request, transport.deployments[0])
            reply.metadata = {"cache": {"true_hit": True}}
            return reply

        return handle

    run = run_one(topical(), boasting)
    assert hits(run) == {"none"}
    assert run.requests["cache_hit"].dtype == np.int8
    assert CACHE_HITS[0] == "none"


def test_a_shadow_answers_nothing():
    """A copy of the request goes to a deployment, and a cache answers before and after it has ended."""

    def shadowing(transport):
        tasks = set()

        async def handle(request):
            shadow = request.derive(purpose="shadow")
            task = asyncio.ensure_future(transport.send(shadow, transport.deployments[0]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if request.id % 2:
                await task
            return Reply("known", "cache", "m", 0, 0, 0.0, 0.0)

        return handle

    run = run_one(scenario(), shadowing)
    frame = run.log.requests_frame()
    assert set(frame["outcome"]) == {"cached"}
    assert set(frame["cache_hit"]) == {"unknown"}
    attempts = run.log.attempts_frame()
    assert set(attempts["purpose"]) == {"shadow"}
    assert set(run.attempts["purpose"]) == {PURPOSES.index("shadow")} == {3}
    assert (attempts["request"] >= 0).all()
    assert attempts["cost_usd"].sum() == pytest.approx(frame["cost_usd"].sum())


def caching(key):
    """A cache without limits, filled when a request arrives, that finds by a key of it."""

    def factory(transport):
        stored = {}

        async def handle(request):
            first = stored.setdefault(key(request), request)
            if first is request:
                return await transport.send(request, transport.deployments[0])
            return Reply("known", "cache", "m", 0, 0, 0.0, 0.0, metadata={"cache": {"topic": first.topic}})

        return handle

    return factory


def exact(request):
    return request.prompt


def careless(request):
    """All words but the one that decides."""
    return request.prompt.rsplit(" ", 1)[0]


def expected_hits(n, count, zipf, near, wordings):
    """The share of repeats among n requests, by the closed form."""
    p = np.arange(1, count + 1) ** -zipf
    p /= p.sum()
    p = np.outer(p, [share / wordings for share in (1 - near, near) if share]).ravel()
    return 1 - wordings * -np.expm1(n * np.log1p(-p)).sum() / n


def test_an_exact_cache_hits_as_often_as_zipf_says_and_never_falsely():
    world = topical(10.0, 200.0, count=1000, zipf=1.0, near_misses=0.1, paraphrases=5)
    result = simsla.simulate(world, caching(exact), replications=10)
    found = result.metrics["cache_hit_share"]
    n = sum(result.outcomes.values()) / result.replications
    expected = expected_hits(n, 1000, 1.0, 0.1, 5)
    assert 0.3 < expected < 0.6
    assert abs(found.value - expected) < 2 * found.half_width
    assert found.half_width < 0.02
    false = result.metrics["cache_false_hit_share"]
    assert (false.value, false.ci_low, false.n) == (0, 0, 10)
    assert 0 < false.ci_high < 0.001


def test_a_careless_cache_hits_more_and_some_of_it_is_false():
    """Whoever asked first decides what all get: of two with near topics in m and 1 - m, 2m(1 - m) differ."""
    world = topical(10.0, 200.0, count=1000, zipf=1.0, near_misses=0.2, paraphrases=1)
    result = simsla.simulate(world, caching(careless), replications=10)
    n = sum(result.outcomes.values()) / result.replications
    found, false = (result.metrics[f"cache_{name}_share"] for name in ("hit", "false_hit"))
    assert abs(found.value - expected_hits(n, 1000, 1.0, 0, 1)) < 2 * found.half_width
    assert abs(false.value - 2 * 0.2 * 0.8) < 2 * false.half_width
    assert false.half_width < 0.1
    frame = result.requests
    known = frame["cache_hit"].isin(["true", "false"])
    assert false.value == pytest.approx((frame["cache_hit"][known] == "false").mean())
    assert ((frame["outcome"] == "cached") == known).all()
