"""A store that cannot grow: so many values, each for so long."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """At most ``capacity`` values, none for longer than ``ttl_s``; the least recently used one makes room."""

    __slots__ = ("_capacity", "_ttl_s", "_used", "_values")

    def __init__(self, capacity: int, ttl_s: float) -> None:
        self._capacity = capacity
        self._ttl_s = ttl_s
        # Two orders of the same keys: by age, and by use.
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._used: OrderedDict[K, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: K) -> V:
        return self._values[key][1]

    def get(self, key: K, now: float) -> V | None:
        """The value, which has now been used; None where there is none or its time is over."""
        kept = self._values.get(key)
        if kept is None or now - kept[0] >= self._ttl_s:
            return None
        self._used.move_to_end(key)
        return kept[1]

    def put(self, key: K, value: V, now: float) -> list[V]:
        """Keep a value from ``now`` on; the values that had to go for it."""
        gone = self.expire(now)
        if key in self._values:
            gone.append(self.remove(key))
        elif len(self._values) >= self._capacity:
            gone.append(self.remove(next(iter(self._used))))
        self._values[key] = now, value
        self._used[key] = None
        return gone

    def remove(self, key: K) -> V:
        """Forget a value that is there."""
        del self._used[key]
        return self._values.pop(key)[1]

    def expire(self, now: float) -> list[V]:
        """Forget the values whose time is over; they are returned."""
        gone = []
        while self._values:
            oldest = next(iter(self._values))
            if now - self._values[oldest][0] < self._ttl_s:
                break
            gone.append(self.remove(oldest))
        return gone
