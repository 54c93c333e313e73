"""An index in memory: the exact nearest neighbour among sparse vectors, by inverted lists."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import mul
from typing import Final

from simsla.routing.caching.backend import CacheEntry
from simsla.routing.caching.embedding import HASHED_WORDS, Vector
from simsla.routing.caching.shelf import Shelf

ROUNDING: Final = 1e-9
"""Sums of products round: a similarity counts as reached when it lacks less than this."""

# A list is read while it has at most so many slots for each candidate that is left: found by measuring, with
# 10,000 short questions.
_WORTH: Final = 4


class _Kept:
    """An entry with its vector, packed."""

    __slots__ = ("entry", "features", "slot", "weights")

    def __init__(self, slot: int, entry: CacheEntry, vector: Vector) -> None:
        self.slot = slot
        self.entry = entry
        self.features = array("Q", vector.keys())
        self.weights = array("d", vector.values())

    def similarity(self, vector: Vector) -> float:
        shared: float = sum(map(mul, self.weights, map(vector.get, self.features, repeat(0.0))))
        return shared


class MemoryIndex:
    """A `CacheBackend` of this process: at most ``capacity`` entries, for ``ttl_s`` seconds each.

    It finds the most similar entry, if that is at least ``threshold``: entries below it are not looked at.
    A unit vector reaches the product t with q only if it shares features that make up t^2 of the squared
    length of q. So the rarest features, whose lists are short, name every candidate once 1 - t^2 of the
    length is looked at, and the next ones rule most of them out; the long lists are seldom read (after
    Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007). So a look-up is fast at the
    thresholds that are any use, 0.8 and more.
    """

    def __init__(
        self,
        threshold: float,
        ttl_s: float,
        capacity: int,
        embed: Callable[[str], Vector | None] = HASHED_WORDS,
    ) -> None:
        """``embed`` makes vectors of length 1, without a negative or zero weight, of few features each."""
        self._threshold = threshold - ROUNDING
        self._embed = embed
        self._shelf: Shelf[int, _Kept] = Shelf(capacity, ttl_s)
        self._slots: dict[tuple[str, str], int] = {}
        # The slots of the entries that have a feature, of whatever scope, ascending.
        self._lists: dict[int, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._shelf)

    async def embed(self, text: str) -> Vector | None:
        """The vector of a text."""
        return self._embed(text)

    async def nearest(
        self, vector: Vector, scopes: Sequence[str], now: float
    ) -> tuple[CacheEntry, float] | None:
        """The most similar entry; None where none reaches the threshold.

        Of equals it is that in the first scope, and there the oldest.
        """
        self.expire(now)
        best_slot, best = -1, self._threshold
        ranks = {scope: rank for rank, scope in enumerate(scopes)}
        found = []
        for slot in self._candidates(vector):
            rank = ranks.get(self._shelf[slot].entry.scope)
            if rank is not None:
                found.append((rank, slot))
        for _, slot in sorted(found):
            similarity = self._shelf[slot].similarity(vector)
            if similarity > best or (best_slot < 0 and similarity == best):
                best_slot, best = slot, similarity
        kept = self._shelf.get(best_slot, now)
        return None if kept is None else (kept.entry, min(best, 1.0))

    def _candidates(self, vector: Vector) -> Iterable[int]:
        """The slots of all entries that may reach the threshold, and of few others."""
        enough = self._threshold * self._threshold
        # Column by column rather than with a key of Python's, which would be called for each feature.
        lists = list(map(self._lists.get, vector, repeat(())))
        lengths = list(map(len, lists))
        weights = list(vector.values())
        shared: dict[int, float] = {}  # by slot: the part of the squared length that it has in common
        left = 1.0  # the part that has not been looked at
        for at in sorted(range(len(lists)), key=lengths.__getitem__):
            slots, part = lists[at], weights[at] * weights[at]
            if left >= enough:
                for slot in slots:
                    shared[slot] = shared.get(slot, 0.0) + part
                left -= part
                continue
            if len(slots) > _WORTH * len(shared):
                break
            for slot in slots:
                if slot in shared:
                    shared[slot] += part
            left -= part
            shared = {slot: common for slot, common in shared.items() if common + left >= enough}
        return shared

    def put(self, vector: Vector, entry: CacheEntry, now: float) -> None:
        """Keep an entry in the place of one with its scope and key."""
        slot = self._slots.get((entry.scope, entry.key))
        if slot is not None:
            self._unlist(self._shelf.remove(slot))
        slot = self._next
        self._next += 1
        for gone in self._shelf.put(slot, _Kept(slot, entry, vector), now):
            self._unlist(gone)
        self._slots[entry.scope, entry.key] = slot
        lists = self._lists
        for feature in vector:
            lists.setdefault(feature, []).append(slot)

    def expire(self, now: float) -> None:
        """Forget the entries whose time is over."""
        for gone in self._shelf.expire(now):
            self._unlist(gone)

    def _unlist(self, kept: _Kept) -> None:
        entry = kept.entry
        del self._slots[entry.scope, entry.key]
        lists = self._lists
        for feature in kept.features:
            slots = lists[feature]
            if len(slots) == 1:
                del lists[feature]
            else:
                del slots[bisect_left(slots, kept.slot)]
