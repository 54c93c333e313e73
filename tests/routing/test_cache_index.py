from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simsla.routing.caching.backend import CacheEntry
from simsla.routing.caching.embedding import LONGEST, HashedWords
from simsla.routing.caching.index import MemoryIndex
from simsla.routing.caching.shelf import Shelf

embed = HashedWords()


def similarity(one, other):
    first, second = embed(one), embed(other)
    return sum(weight * second.get(feature, 0.0) for feature, weight in first.items())


def entry(key, scope="s"):
    return CacheEntry(scope, str(key), "text", "model", "name", 1, key, None, 0.0)


def nearest(index, text, now=0.0, scopes=("s",)):
    found = asyncio.run(index.nearest(embed(text), scopes, now))
    return None if found is None else (found[0].request, found[1])


def put(index, key, text, now=0.0, scope="s"):
    index.put(embed(text), entry(key, scope), now)


def test_a_vector_has_length_one_and_depends_on_words_order_and_signs():
    vector = embed("How tall is Mont Blanc, how tall?")
    assert math.fsum(weight**2 for weight in vector.values()) == pytest.approx(1.0)
    assert similarity("How tall is it?", "how  TALL is it?") == pytest.approx(1.0)
    assert similarity("dog bites man", "man bites dog") == pytest.approx(3 / (3 + 2 * 0.49))
    assert similarity("2 + 2", "2 * 2") < 0.8
    assert similarity("one two three", "four five six") == 0.0
    assert similarity("北京的天气", "北京的人口") == pytest.approx((3 + 2 * 0.49) / (5 + 4 * 0.49))
    assert embed("  ") is None
    assert embed("a" * (LONGEST + 1)) is None


def test_a_vector_is_the_same_in_every_process():
    code = "from simsla.routing.caching.embedding import HashedWords; print(HashedWords()('so it is, is it'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{embed('so it is, is it')}\n"}


def test_opposites_are_more_alike_than_paraphrases():
    # litellm#12234, semantic-router#2691: no threshold lets the paraphrase in and keeps the opposite out.
    asked = "please increase the maximum size of the connection pool of our primary database to two hundred"
    opposite = asked.replace("increase", "decrease")
    paraphrase = "raise the upper limit for connections in the pool of the main database to 200, please"
    assert similarity(asked, opposite) > 0.9 > 0.6 > similarity(asked, paraphrase)
    index = MemoryIndex(0.9, 60.0, 10)
    put(index, 1, asked)
    assert nearest(index, opposite) == (1, pytest.approx(similarity(asked, opposite)))
    assert nearest(index, paraphrase) is None


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), min_size=1, max_size=30),
    query=st.lists(st.sampled_from("abcdefghxy"), min_size=1, max_size=8),
    threshold=st.floats(0.05, 1.0),
)
def test_the_index_finds_what_a_comparison_with_every_entry_finds(texts, query, threshold):
    index = MemoryIndex(threshold, 60.0, 100)
    asked = " ".join(query)
    for number, words in enumerate(texts):
        put(index, number, " ".join(words))
    best = max(similarity(asked, " ".join(words)) for words in texts)
    found = nearest(index, asked)
    if best >= threshold + 1e-8:
        assert found is not None
        assert found[1] == pytest.approx(best)
        assert similarity(asked, " ".join(texts[found[0]])) == pytest.approx(best)
    elif best < threshold - 1e-8:
        assert found is None


def test_an_entry_goes_when_its_time_is_over_and_use_does_not_prolong_it():
    index = MemoryIndex(0.9, 10.0, 5)
    put(index, 1, "what is it", now=0.0)
    put(index, 2, "who was that", now=5.0)
    assert nearest(index, "what is it", now=9.99) == (1, pytest.approx(1.0))
    assert nearest(index, "what is it", now=10.0) is None
    assert len(index) == 1
    index.expire(15.0)
    assert len(index) == 0


def test_the_least_recently_used_entry_makes_room():
    index = MemoryIndex(0.9, 100.0, 2)
    put(index, 1, "the first one")
    put(index, 2, "a second thing")
    assert nearest(index, "the first one") is not None
    put(index, 3, "yet another matter")
    assert len(index) == 2
    assert nearest(index, "a second thing") is None
    assert nearest(index, "the first one") is not None


def test_scopes_are_apart_and_one_key_is_kept_once():
    index = MemoryIndex(0.5, 100.0, 10)
    put(index, 1, "the same words", scope="one")
    assert nearest(index, "the same words", scopes=("two",)) is None
    assert nearest(index, "the same words", scopes=("two", "one")) is not None
    put(index, 1, "other words altogether", scope="one")
    assert len(index) == 1
    assert nearest(index, "the same words", scopes=("one",)) is None


class Shelves(RuleBasedStateMachine):
    """A `Shelf` against a list that is searched from end to end."""

    def __init__(self):
        super().__init__()
        self.shelf = Shelf(4, 10.0)
        self.model = []  # [key, value, at], the least recently used first
        self.now = 0.0

    @rule(wait_s=st.floats(0.0, 6.0))
    def wait(self, wait_s):
        self.now += wait_s

    @rule(key=st.integers(0, 6), value=st.integers())
    def put(self, key, value):
        self.shelf.put(key, value, self.now)
        self.model = [kept for kept in self.model if self.now - kept[2] < 10.0 and kept[0] != key]
        if len(self.model) == 4:
            del self.model[0]
        self.model.append([key, value, self.now])

    @rule(key=st.integers(0, 6))
    def get(self, key):
        found = [kept for kept in self.model if kept[0] == key and self.now - kept[2] < 10.0]
        assert self.shelf.get(key, self.now) == (found[0][1] if found else None)
        if found:
            self.model.remove(found[0])
            self.model.append(found[0])

    @invariant()
    def it_never_holds_more_than_its_capacity(self):
        assert len(self.shelf) <= 4


TestShelves = Shelves.TestCase
TestShelves.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


class Indexes(RuleBasedStateMachine):
    """Whatever is put and forgotten, the lists hold the entries that are there and no others."""

    def __init__(self):
        super().__init__()
        self.index = MemoryIndex(0.5, 10.0, 5)
        self.now = 0.0

    @rule(key=st.integers(0, 8), words=st.lists(st.sampled_from("abcde"), min_size=1, max_size=4))
    def put(self, key, words):
        put(self.index, key, " ".join(words), self.now, scope=str(key % 2))

    @rule(wait_s=st.floats(0.0, 6.0))
    def wait(self, wait_s):
        self.now += wait_s
        self.index.expire(self.now)

    @invariant()
    def nothing_is_left_behind(self):
        index = self.index
        slots = {slot for each in index._lists.values() for slot in each}
        assert slots == set(index._slots.values())
        assert len(slots) == len(index) <= 5
        assert all(each == sorted(each) for each in index._lists.values())


TestIndexes = Indexes.TestCase
TestIndexes.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
