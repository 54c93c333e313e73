"""What has happened lately: calls, failed ones and slow ones, over so many calls or so many seconds."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

BUCKETS = 10
"""Parts of a time window; the oldest one leaves as a whole. 10 as Polly."""


class Window(Protocol):
    """Counts of the outcomes in the window."""

    calls: int
    failed: int
    slow: int

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """One outcome more; those that are now too old leave."""
        ...

    def clear(self) -> None: ...


class CountWindow:
    """The last so many calls."""

    def __init__(self, size: int) -> None:
        self._outcomes: deque[tuple[bool, bool]] = deque()
        self._size = size
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """The oldest outcome makes room."""
        if self.calls == self._size:
            was_failed, was_slow = self._outcomes.popleft()
            self.failed -= was_failed
            self.slow -= was_slow
        else:
            self.calls += 1
        self._outcomes.append((failed, slow))
        self.failed += failed
        self.slow += slow

    def clear(self) -> None:
        """Nothing has happened."""
        self._outcomes.clear()
        self.calls = self.failed = self.slow = 0


class TimeWindow:
    """The last ``window_s`` seconds, up to a bucket more or less."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self._buckets: deque[list[int]] = deque()
        """Each its number, calls, failed and slow; the latest last."""
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """Buckets that lie a whole window back leave."""
        number = math.floor(now / self._bucket_s)
        buckets = self._buckets
        while buckets and buckets[0][0] <= number - BUCKETS:
            _, calls, was_failed, was_slow = buckets.popleft()
            self.calls -= calls
            self.failed -= was_failed
            self.slow -= was_slow
        if not buckets or buckets[-1][0] != number:
            buckets.append([number, 0, 0, 0])
        bucket = buckets[-1]
        bucket[1] += 1
        bucket[2] += failed
        bucket[3] += slow
        self.calls += 1
        self.failed += failed
        self.slow += slow

    def clear(self) -> None:
        """Nothing has happened."""
        self._buckets.clear()
        self.calls = self.failed = self.slow = 0


class ExpiringCount:
    """A count that is forgotten as a whole a fixed time after its first increment: a counter with a TTL."""

    __slots__ = ("_count", "_expires_at", "_ttl_s")

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._count = 0
        self._expires_at = -math.inf

    def add(self, now: float) -> None:
        """One more."""
        if now >= self._expires_at:
            self._count = 0
            self._expires_at = now + self._ttl_s
        self._count += 1

    def value(self, now: float) -> int:
        """The count, 0 once it is forgotten."""
        return self._count if now < self._expires_at else 0

    def clear(self) -> None:
        """0, as before the first one."""
        self._expires_at = -math.inf
