"""The store behind a semantic cache: it finds what the router's own index would, takes time, and fails."""

from __future__ import annotations

import asyncio
import textwrap

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from simulation.runs import digest
from simulation.scenarios import deployment, scenario, traffic

from simsla.routing import CachePolicy, HashedWords, MemoryIndex
from simsla.routing.caching.backend import CacheEntry
from simsla.scenario import Scenario, ScenarioError
from simsla.scenario import cache as cache_section
from simsla.simulation import run_one
from simsla.world.cache_store import CacheStore
from simsla.world.requests import Prompt
from simsla.world.topics import NEAR, question

LOOK_UP_S = 0.05
ALWAYS = [{"at": 0, "for": "1h"}]


def world(cache=None, faults=(), routing=(), **others):
    """Many questions about few topics; an answer takes 1.1 s, a miss a look-up more."""
    topics = {"count": 50, "paraphrases": 4, "near_misses": 0.2}
    return scenario(
        {"a": deployment()},
        {"chat": traffic(5.0, topics=topics), "batch": traffic(1.0, topics=topics)},
        components={"redis": {"faults": list(faults)}},
        routing={"cache": {"threshold": 0.6, "per": []}, **dict(routing)},
        horizon=200.0,
        **({} if cache is None else {"cache": cache}),
        **others,
    )


def played(cache=None, faults=(), routing=(), **others):
    """The request log, with how long each took."""
    requests = run_one(world(cache, faults, routing, **others), seed=3).log.requests_frame()
    return requests.assign(took_s=requests["end_s"] - requests["arrival_s"])


def hits(requests):
    return (requests["outcome"] == "cached").mean()


def similar(requests):
    """Hits on what was not asked word for word: those were looked up."""
    return requests[(requests["outcome"] == "cached") & (requests["took_s"] > 0)]


EXACT = hits(played(routing={"cache": {"threshold": 1, "per": []}}))
ALL = hits(played())


def test_it_finds_what_the_index_in_memory_finds():
    for routing in ((), {"cache": {"threshold": 0.8, "ttl_s": 20, "capacity": 30}}):
        inside, outside = (run_one(world(cache, (), routing), seed=5) for cache in (None, {}))
        assert digest(inside.log) == digest(outside.log)


def test_a_look_up_takes_its_time_and_words_that_are_the_same_take_none():
    requests = played({"look_up": LOOK_UP_S})
    cached = requests[requests["outcome"] == "cached"]
    assert set(cached["took_s"].round(9)) == {0.0, LOOK_UP_S}
    assert set(requests[requests["outcome"] == "ok"]["took_s"].round(9)) == {1.15}


def test_luck_is_the_requests_whatever_the_policy():
    law = {"look_up": {"kind": "exponential", "mean": 0.01}}
    loose = similar(played(law)).set_index("request")["took_s"]
    strict = similar(played(law, routing={"cache": {"threshold": 0.8, "per": []}})).set_index("request")[
        "took_s"
    ]
    both = loose.index.intersection(strict.index)
    assert len(both) > 30
    np.testing.assert_allclose(loose[both], strict[both], atol=1e-9)
    assert loose.mean() == pytest.approx(0.01, rel=0.25)


def test_a_look_up_that_takes_too_long_is_a_miss():
    requests = played({"look_up": 0.3})
    assert hits(requests) == pytest.approx(EXACT, abs=0.02)
    assert set(requests[requests["outcome"] == "ok"]["took_s"].round(9)) == {1.3}


@pytest.mark.parametrize(
    ("fault", "miss_s"),
    [
        ({"kind": "outage"}, 0.0),
        ({"kind": "connect"}, 0.0),
        ({"kind": "connect", "hang": True}, 0.2),
        ({"kind": "hang"}, 0.2),
        ({"kind": "brownout", "severity": 1.0}, 0.0),
        ({"kind": "rate_limit_storm", "severity": 1.0}, 0.0),
        ({"kind": "malformed", "severity": 1.0}, 0.0),
    ],
    ids=str,
)
def test_every_fault_of_its_components_costs_the_hits(fault, miss_s):
    assert ALL > EXACT + 0.2
    requests = played({"components": ["redis"]}, [{**fault, "schedule": ALWAYS}])
    assert len(similar(requests)) == 0
    assert hits(requests) == pytest.approx(EXACT, abs=0.02)
    answered = requests[requests["outcome"] == "ok"]
    assert set(answered["took_s"].round(9)) == {round(1.1 + miss_s, 9)}


def test_it_is_there_again_after_an_outage_with_what_it_had():
    outage = {"kind": "outage", "schedule": [{"at": 80, "for": 60}]}
    whole = played({"components": ["redis"], "look_up": LOOK_UP_S})
    broken = played({"components": ["redis"], "look_up": LOOK_UP_S}, [outage])
    for requests, none in ((whole, False), (broken, True)):
        at_s = similar(requests)["arrival_s"]
        assert ((at_s > 80) & (at_s < 140)).any() != none
        assert (at_s < 80).sum() == (similar(whole)["arrival_s"] < 80).sum()
        assert (at_s > 140).sum() > 50


def test_faults_act_by_share_and_by_factor_and_on_some_alone():
    slow = {"kind": "slowdown", "severity": 3, "schedule": ALWAYS}
    times = similar(played({"components": ["redis"], "look_up": LOOK_UP_S}, [slow]))["took_s"]
    assert set(times.round(9)) == {round(3 * LOOK_UP_S, 9)}
    half = {"kind": "brownout", "severity": 0.5, "schedule": ALWAYS}
    assert EXACT + 0.02 < hits(played({"components": ["redis"]}, [half])) < ALL - 0.02
    grey = {"kind": "outage", "only": {"classes": ["batch"]}, "schedule": ALWAYS}
    looked = similar(played({"components": ["redis"], "look_up": LOOK_UP_S}, [grey]))
    assert set(looked["request_class"]) == {"chat"}


def test_a_router_under_chaos_has_the_store_too():
    requests = played({"look_up": LOOK_UP_S}, routing={"chaos": {"faults": {"server_error": 0.0001}}})
    assert len(similar(requests)) > 50


@pytest.mark.parametrize(
    ("cache", "routing", "said"),
    [
        ({"components": ["redsi"]}, {}, "did you mean 'redis'"),
        ({"lookup": 1}, {}, "look_up"),
        ({"look_up": -1}, {}, "cache.look_up"),
        ({}, {"cache": None}, "routing.cache"),
    ],
)
def test_mistakes_are_told(cache, routing, said):
    with pytest.raises(ScenarioError, match=said):
        world(cache, (), routing)


def test_the_documented_example_is_read_and_written():
    text = textwrap.dedent(cache_section.__doc__.partition("\n\n")[2])
    read = world(**yaml.safe_load(text))
    assert Scenario.from_dict(read.to_dict()) == read
    assert read.cache.components == ("redis",)
    assert read.cache.look_up_s.mean() == pytest.approx(0.012)


# The store by itself, beside the index


class NeverMatters:
    """Conditions in which nothing happens."""

    matter = False


def prompt(topic, wording):
    text = Prompt(" ".join(question(topic, wording, 12)))
    text.asked, text.topic = None, topic
    return text


steps = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["x-1", "x-2", f"x-1{NEAR}", "y-1"]),
        st.integers(0, 4),
        st.sampled_from(["economy", "premium"]),
        st.sampled_from([0.0, 0.0, 3.0]),
    ),
    max_size=30,
)


@given(steps, st.integers(1, 5), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_store_and_index_agree_step_by_step(steps, capacity, threshold):
    policy = CachePolicy(threshold=threshold, ttl_s=10.0, capacity=capacity)
    store, index = CacheStore(NeverMatters(), policy), policy.build()
    assert isinstance(index, MemoryIndex)
    now = 0.0
    for number, (puts, topic, wording, scope, passes_s) in enumerate(steps):
        now += passes_s
        text = prompt(topic, wording)
        mine, theirs = asyncio.run(store.embed(text)), HashedWords()(text)
        if puts:
            entry = CacheEntry(scope, str(text), "text", "m", "a", 1, number, topic, now)
            store.put(mine, entry, now)
            index.put(theirs, entry, now)
        else:
            scopes = [scope, "premium" if scope == "economy" else "economy"]
            found = asyncio.run(store.nearest(mine, scopes, now))
            assert found == asyncio.run(index.nearest(theirs, scopes, now))


def test_a_question_that_is_not_of_the_worlds_making_is_like_itself_alone():
    async def main():
        for text in ("what is it", "what is that"):
            vector = await store.embed(text)
            assert await store.nearest(vector, ["s"], 0.0) is None
            store.put(vector, CacheEntry("s", text, "text", "m", "a", 1, 1, None, 0.0), 0.0)
        found = await store.nearest(await store.embed("what is it"), ["s"], 0.0)
        return found[0].key, found[1]

    store = CacheStore(NeverMatters(), CachePolicy(threshold=0.5))
    assert asyncio.run(main()) == ("what is it", pytest.approx(1.0))
