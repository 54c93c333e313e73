"""A sum over the latest stretch of time."""

from __future__ import annotations

import math


class SlidingSum:
    """What was added in the current slice of time and in the ``slices`` - 1 before it."""

    __slots__ = ("_current", "_slice_s", "_slices", "_total")

    def __init__(self, slice_s: float, slices: int) -> None:
        self._slice_s = slice_s
        self._slices = [0.0] * slices
        self._current = 0
        self._total = 0.0

    def add(self, amount: float, now: float) -> int:
        """Add to the current slice, and return its number."""
        self._turn(now)
        self._slices[self._current % len(self._slices)] += amount
        self._total += amount
        return self._current

    def take_back(self, amount: float, number: int, now: float) -> None:
        """Undo an addition to the slice of this number, unless it is forgotten by now."""
        self._turn(now)
        if number > self._current - len(self._slices):
            self._slices[number % len(self._slices)] -= amount
            self._total -= amount

    def total(self, now: float) -> float:
        """The sum."""
        self._turn(now)
        return self._total

    def age_s(self, now: float) -> float:
        """Seconds since the oldest slice that has something in it began; 0 where there is none."""
        self._turn(now)
        size = len(self._slices)
        for number in range(self._current - size + 1, self._current + 1):
            if self._slices[number % size]:
                return now - number * self._slice_s
        return 0.0

    def falls_to(self, target: float, now: float) -> float:
        """When the sum will be at most ``target`` (from 0 up) if nothing is added."""
        self._turn(now)
        left = self._total
        if left <= target:
            return now
        size = len(self._slices)
        number = self._current - size + 1
        while number < self._current and left - self._slices[number % size] > target:
            left -= self._slices[number % size]
            number += 1
        return (number + size) * self._slice_s

    def _turn(self, now: float) -> None:
        current = math.floor(now / self._slice_s)
        passed = current - self._current
        if passed <= 0:
            return
        size = len(self._slices)
        for step in range(1, min(passed, size) + 1):
            self._slices[(self._current + step) % size] = 0.0
        self._current = current
        self._total = math.fsum(self._slices)
