"""The store behind a policy's semantic cache, as the world has it: it takes its time, and it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import mul
from typing import TYPE_CHECKING, Final, NamedTuple

from simsla.routing import HashedWords
from simsla.routing.caching.index import ROUNDING
from simsla.routing.caching.shelf import Shelf
from simsla.world.conditions import HANG, UNREACHED, Condition, Conditions
from simsla.world.grey import grey_conditions
from simsla.world.requests import Prompt
from simsla.world.streams import BLOCK, Stream
from simsla.world.topics import NEAR

if TYPE_CHECKING:
    from simsla.routing.caching.backend import CacheEntry
    from simsla.routing.caching.semantic import CachePolicy
    from simsla.scenario import Scenario
    from simsla.world.environment import Environment

__all__ = ["CacheStore", "StoreConditions"]

# Where the blocks of requests keep what their look-ups drew; deployments have numbers from 0 on.
_LUCK: Final = (-1, "cache")

_FAILS: Final = "the store of the cache fails"

_words_of: Final = HashedWords()


class StoreConditions:
    """How look-ups fare during one run: luck by request, and the faults of what the store depends on."""

    def __init__(
        self,
        scenario: Scenario,
        environment: Environment,
        seed: int,
        replication: int,
        begin_s: float,
        end_s: float,
    ) -> None:
        """`begin_s` and `end_s` bound the run in absolute time. The scenario has a `cache`."""
        spec = scenario.cache
        assert spec is not None
        self._look_up = spec.look_up_s
        self._conditions = Conditions({}, spec.components, environment, begin_s, end_s)
        self._grey = grey_conditions({}, spec.components, environment, (seed, replication), begin_s, end_s)
        self._address = (seed, replication, "cache")
        self.matter = spec.look_up_s is not None or bool(spec.components)
        """Whether a look-up takes time or can fail."""

    def of(self, prompt: Prompt, now: float) -> tuple[Condition, float, float]:
        """What the look-up of a request meets, its uniform, and its seconds without any fault."""
        request = prompt.asked
        whose = request._world
        block, place = whose.block, whose.place
        conditions = self._conditions if self._grey is None else self._grey.of(whose, request)
        drawn = block.other_luck.get(_LUCK)
        if drawn is None:
            stream = Stream(*self._address, block.request_class)
            fails, takes = stream.uniforms((2, BLOCK), block.index)
            seconds = [0.0] * BLOCK if self._look_up is None else self._look_up.ppf(takes).tolist()
            drawn = block.other_luck[_LUCK] = [(fails.tolist(), seconds)]
        uniforms, seconds = drawn[0]
        return conditions.at(now), uniforms[place], seconds[place]


class _Question(NamedTuple):
    """The vector of a question: its words, and the topic to whose vectors alone it can be near."""

    text: str
    topic: str
    prompt: Prompt | None


class _Kept:
    __slots__ = ("_vector", "entry", "slot", "text", "topic")

    def __init__(self, slot: int, question: _Question, entry: CacheEntry) -> None:
        self.slot = slot
        self.text = question.text
        self.topic = question.topic
        self.entry = entry
        self._vector: Mapping[int, float] | None = None

    def similarity(self, other: Mapping[int, float]) -> float:
        """The cosine; most entries are never compared."""
        if self._vector is None:
            self._vector = _words_of(self.text) or {}
        mine = self._vector
        shared: float = sum(map(mul, mine.values(), map(other.get, mine, repeat(0.0))))
        return shared


class CacheStore:
    """A `CacheBackend` that finds what the router's own index would, as a service that the world provides.

    Questions about one topic, and about its near topic, are as alike as their words say (`HashedWords`); any
    others are not alike, and are never compared, which is why this is fast.
    """

    def __init__(self, conditions: StoreConditions, policy: CachePolicy) -> None:
        """An empty one, which keeps as much and for as long as the policy says."""
        self._conditions = conditions
        self._threshold = policy.threshold - ROUNDING
        self._shelf: Shelf[int, _Kept] = Shelf(policy.capacity, policy.ttl_s)
        self._slots: dict[tuple[str, str], int] = {}
        self._by_topic: dict[str, list[int]] = {}
        self._next = 0

    async def embed(self, text: str) -> _Question:
        """The vector of a question, after the time of the whole look-up. Raises ConnectionError where the
        store fails.
        """
        if not isinstance(text, Prompt):
            # Not of the world's making: it is like nothing but itself.
            return _Question(text, f"\x1f{text}", None)
        if self._conditions.matter:
            await self._look_up(text)
        return _Question(str(text), text.topic.removesuffix(NEAR), text)

    async def nearest(
        self, vector: _Question, scopes: Sequence[str], now: float
    ) -> tuple[CacheEntry, float] | None:
        """The most similar entry; None where none reaches the threshold.

        Of equals it is that in the first scope, and there the oldest.
        """
        self.expire(now)
        slots = self._by_topic.get(vector.topic)
        if slots is None:
            return None
        ranks = {scope: rank for rank, scope in enumerate(scopes)}
        ranked = [(ranks.get(self._shelf[slot].entry.scope), slot) for slot in slots]
        best_slot, best = -1, self._threshold
        mine = _words_of(vector.text) or {}
        for _, slot in sorted((rank, slot) for rank, slot in ranked if rank is not None):
            similarity = self._shelf[slot].similarity(mine)
            if similarity > best or (best_slot < 0 and similarity == best):
                best_slot, best = slot, similarity
        kept = self._shelf.get(best_slot, now)
        return None if kept is None else (kept.entry, min(best, 1.0))

    def put(self, vector: _Question, entry: CacheEntry, now: float) -> None:
        """Keep an entry in the place of one with its scope and key. Raises ConnectionError where the store
        fails.
        """
        if vector.prompt is not None and self._conditions.matter:
            condition, u, _ = self._conditions.of(vector.prompt, now)
            if u < condition.failing:
                raise ConnectionError(_FAILS)
        slot = self._slots.get((entry.scope, entry.key))
        if slot is not None:
            self._unlist(self._shelf.remove(slot))
        slot = self._next
        self._next += 1
        for gone in self._shelf.put(slot, _Kept(slot, vector, entry), now):
            self._unlist(gone)
        self._slots[entry.scope, entry.key] = slot
        self._by_topic.setdefault(vector.topic, []).append(slot)

    def expire(self, now: float) -> None:
        """Forget the entries whose time is over."""
        for gone in self._shelf.expire(now):
            self._unlist(gone)

    async def _look_up(self, prompt: Prompt) -> None:
        loop = asyncio.get_running_loop()
        condition, u, seconds = self._conditions.of(prompt, loop.time())
        if u < condition.failing:
            outcome, _ = condition.failure(u)
            if outcome in (HANG, UNREACHED):
                await loop.create_future()
            raise ConnectionError(_FAILS)
        if seconds > 0:
            await asyncio.sleep(seconds * condition.slowdown)

    def _unlist(self, kept: _Kept) -> None:
        del self._slots[kept.entry.scope, kept.entry.key]
        slots = self._by_topic[kept.topic]
        slots.remove(kept.slot)
        if not slots:
            del self._by_topic[kept.topic]
