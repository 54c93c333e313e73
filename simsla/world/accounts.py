"""What providers grant: token buckets and limits on concurrency, kept on their side.

A bucket fills at a constant rate up to its size; an attempt takes what it needs, or is refused with a 429
that says how long to wait, and takes nothing. In the long run no more than the rate is granted, and within
any time t no more than size + rate x t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simsla.scenario.accounts import Account, RateLimits

DEFAULT_BURST_S: Final = 60.0

# Waiting for exactly as long as one was told must be enough, in spite of rounding.
_ROUNDING: Final = 1e-9

_MINUTE_S: Final = 60.0


class Bucket:
    """What is granted of one thing, `kind`: requests or tokens. Full at first."""

    __slots__ = ("_at_s", "_level", "kind", "per_minute", "size")

    def __init__(self, kind: str, per_minute: float, burst_s: float) -> None:
        """It holds the grant of `burst_s`; a bucket of requests at least one of them."""
        self.kind = kind
        self.per_minute = per_minute
        self.size = per_minute * burst_s / _MINUTE_S
        if kind == "requests":
            self.size = max(1.0, self.size)
        self._level = self.size
        self._at_s = 0.0

    def level(self, now: float) -> float:
        """What could be taken at `now`."""
        level = self._level + (now - self._at_s) * self.per_minute / _MINUTE_S
        return level if level < self.size else self.size

    def wait_s(self, amount: float, now: float) -> float:
        """How long until so much can be taken: 0 if it can be now, infinity if it never can."""
        lacking = amount - self.level(now)
        if lacking <= _ROUNDING * self.size:
            return 0.0
        return lacking * _MINUTE_S / self.per_minute if amount <= self.size else math.inf

    def take(self, amount: float, now: float) -> None:
        """Use so much up, of what is there."""
        self._level = max(0.0, self.level(now) - amount)
        self._at_s = now

    def headers(self, level: float) -> dict[str, str]:
        """What the OpenAI API says in the headers of an answer where so much is left."""
        full_s = (self.size - level) * _MINUTE_S / self.per_minute
        return {
            f"x-ratelimit-limit-{self.kind}": f"{self.per_minute:.0f}",
            f"x-ratelimit-remaining-{self.kind}": f"{math.floor(level + _ROUNDING * self.size)}",
            f"x-ratelimit-reset-{self.kind}": f"{full_s:.3f}s",
        }


def buckets_of(limits: RateLimits) -> list[Bucket]:
    """The buckets that keep the limits of an account or a deployment."""
    burst_s = DEFAULT_BURST_S if limits.burst_s is None else limits.burst_s
    rates = {"requests": limits.rpm, "tokens": limits.tpm}
    return [Bucket(kind, rate, burst_s) for kind, rate in rates.items() if rate is not None]


class SharedAccount:
    """An account during one run: its buckets, and how many attempts are in progress under it."""

    def __init__(self, spec: Account) -> None:
        self.buckets = buckets_of(spec)
        self.most = math.inf if spec.max_concurrency is None else spec.max_concurrency
        self.in_progress = 0


class Gate:
    """What stands before one deployment: its own buckets, and those and the concurrency of its account."""

    def __init__(self, own: Sequence[Bucket], account: SharedAccount | None) -> None:
        self._account = account
        self._buckets = [*own, *(() if account is None else account.buckets)]
        # The attempts let in, by identity: those count as in progress until they leave.
        self._inside: set[int] = set()

    def admit(self, attempt: object, tokens: int, now: float) -> float:
        """Let an attempt in that counts for so many tokens: 0; or refuse it, which uses up nothing.

        It is refused where the number is above 0: the seconds until it would fit, infinity where nobody knows
        or it never will.
        """
        account = self._account
        if account is not None and account.in_progress >= account.most:
            return math.inf
        wait_s = 0.0
        for bucket in self._buckets:
            lacks_s = bucket.wait_s(1 if bucket.kind == "requests" else tokens, now)
            if lacks_s > wait_s:
                wait_s = lacks_s
        if wait_s > 0:
            return wait_s
        for bucket in self._buckets:
            bucket.take(1 if bucket.kind == "requests" else tokens, now)
        if account is not None:
            account.in_progress += 1
        self._inside.add(id(attempt))
        return 0.0

    def leave(self, attempt: object) -> None:
        """An attempt has ended, whether it was let in or not."""
        if id(attempt) in self._inside:
            self._inside.remove(id(attempt))
            if self._account is not None:
                self._account.in_progress -= 1

    def headers(self, now: float) -> Mapping[str, str]:
        """The limits as a caller may know them; of two of a kind, the one with less left."""
        return LimitHeaders([(bucket, bucket.level(now)) for bucket in self._buckets])


class LimitHeaders(Mapping[str, str]):
    """The headers of an answer that tell the limits. They are put into words when read: few callers do."""

    __slots__ = ("_levels", "_words")

    def __init__(self, levels: Sequence[tuple[Bucket, float]]) -> None:
        """Buckets, each with what is left in it."""
        self._levels = levels
        self._words: dict[str, str] | None = None

    def _told(self) -> dict[str, str]:
        if self._words is None:
            least: dict[str, tuple[Bucket, float]] = {}
            for bucket, level in self._levels:
                if bucket.kind not in least or level < least[bucket.kind][1]:
                    least[bucket.kind] = bucket, level
            self._words = {}
            for bucket, level in least.values():
                self._words |= bucket.headers(level)
        return self._words

    def __getitem__(self, name: str) -> str:
        return self._told()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told())

    def __len__(self) -> int:
        return len(self._told())

    def __repr__(self) -> str:
        return repr(self._told())
