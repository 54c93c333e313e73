"""The throughput guard: a stream that starts too slowly is given up."""

from __future__ import annotations

from dataclasses import dataclass

from simsla.routing.config import Section, setting


@dataclass(frozen=True)
class ThroughputGuard(Section):
    """Gives a stream up that is slower than ``min_tokens_per_s`` over its first ``over_s``.

    Source: Bifrost, stream_throughput_guard, in tokens instead of characters. As there, a stream has passed
    once it has shown ``min_tokens_per_s * over_s`` tokens or has ended, and is not watched any more. A stream
    that stands still is for ``timeouts.idle_s``.
    """

    kind = "bifrost"

    min_tokens_per_s: float = setting(above=0.0)
    """Tokens per second, the first chunk included."""
    over_s: float = setting(5.0, above=0.0, unit="s")
    """Seconds since the first chunk, of waiting for the deployment: a slow reader is not held against it. 5
    as Bifrost's probe window."""

    def build(self) -> Probe:
        """The probe of one stream that has not shown anything yet."""
        return Probe(self)


class Probe:
    """How fast one stream has been so far. It is judged when a chunk comes, which takes no timer."""

    __slots__ = ("_over_s", "_rate", "_tokens", "_waited_s", "passed")

    def __init__(self, guard: ThroughputGuard) -> None:
        self._rate = guard.min_tokens_per_s
        self._over_s = guard.over_s
        self._tokens = 0
        self._waited_s = 0.0
        self.passed = False
        """Whether it has been fast enough for long enough."""

    def too_slow(self, tokens: int, waited_s: float) -> bool:
        """Whether the stream fails with these tokens, which came after so many seconds of waiting."""
        self._tokens += tokens
        self._waited_s += waited_s
        if self._waited_s < self._over_s:
            self.passed = self._tokens >= self._rate * self._over_s
            return False
        self.passed = self._tokens >= self._rate * self._waited_s
        return not self.passed
