"""The rules that open a breaker, as several kinds use them."""

from __future__ import annotations

from simsla.routing.errors import AttemptError
from simsla.routing.health.windows import Window
from simsla.routing.types import Reply


class Consecutive:
    """So many failures without a success between them."""

    __slots__ = ("_failures", "_limit")

    def __init__(self, failures: int) -> None:
        self._limit = failures
        self._failures = 0

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """The row ends."""
        self._failures = 0
        return False

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """The row is one longer."""
        self._failures += 1
        return self._failures >= self._limit

    def clear(self) -> None:
        """A new row."""
        self._failures = 0


class FailureRatio:
    """At least so large a share of failures among at least so many calls; asked at failures, as Polly."""

    __slots__ = ("_least_calls", "_ratio", "_window")

    def __init__(self, window: Window, ratio: float, least_calls: int) -> None:
        self._window = window
        self._ratio = ratio
        self._least_calls = least_calls

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """It counts, and never opens."""
        self._window.add(now, False, False)
        return False

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether the share is reached."""
        window = self._window
        window.add(now, True, False)
        return window.calls >= self._least_calls and window.failed / window.calls >= self._ratio

    def clear(self) -> None:
        """An empty window."""
        self._window.clear()


class FailureAccrual:
    """So many failures in a row, or a success rate below the one required: Finagle's default policy."""

    __slots__ = ("_consecutive", "_least_calls", "_success_rate", "_window")

    def __init__(self, failures: int, window: Window, success_rate: float, least_calls: int) -> None:
        self._consecutive = Consecutive(failures)
        self._window = window
        self._success_rate = success_rate
        self._least_calls = least_calls

    def succeeded(self, now: float, took_s: float, reply: Reply) -> bool:
        """It counts, and never opens."""
        self._window.add(now, False, False)
        return self._consecutive.succeeded(now, took_s, reply)

    def failed(self, now: float, took_s: float, error: AttemptError) -> bool:
        """Whether either rule is met."""
        window = self._window
        window.add(now, True, False)
        in_a_row = self._consecutive.failed(now, took_s, error)
        rate = (window.calls - window.failed) / window.calls
        return in_a_row or (window.calls >= self._least_calls and rate < self._success_rate)

    def clear(self) -> None:
        """No failures."""
        self._consecutive.clear()
        self._window.clear()
