"""Rankings by what a deployment does or costs: ``latency``, ``cost`` and ``usage``."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import AttemptError, AttemptTimeout
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.ranking import Ranking, Stateless
from simsla.routing.types import Deployment, Reply, Request


@dataclass(frozen=True)
class LatencyRanking(Section):
    """Lowest mean of seconds per output token: LiteLLM's latency-based-routing.

    A deployment never used scores 0, so it is tried; ties are broken at random.
    """

    kind = "latency"

    samples: int = setting(10, minimum=1)
    """Latest attempts in the mean. 10 as in LiteLLM."""
    buffer: float = setting(0.0, minimum=0.0)
    """Share above the lowest mean within which deployments count as equally fast. 0 as in LiteLLM."""
    timeout_score_s: float = setting(1000.0, above=0.0, unit="s")
    """Seconds per token that a timeout counts as. 1000 as in LiteLLM."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _Latency(self, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _Latency(Stateless):
    def __init__(self, policy: LatencyRanking, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._samples: dict[str, deque[float]] = {}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """A sample."""
        self._add(name, took_s / max(reply.tokens_out, 1))

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """A sample where it timed out."""
        if isinstance(error, AttemptTimeout):
            self._add(name, self._policy.timeout_score_s)

    def _add(self, name: str, sample: float) -> None:
        self._samples.setdefault(name, deque(maxlen=self._policy.samples)).append(sample)

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Those within the buffer at random, then the others by their means."""
        shuffled = self._rng.sample(group, len(group))
        means = {each: self._mean(each.deployment.name) for each in shuffled}
        bound = min(means.values()) * (1.0 + self._policy.buffer)
        return sorted(shuffled, key=lambda each: max(means[each], bound))

    def _mean(self, name: str) -> float:
        samples = self._samples.get(name)
        return sum(samples) / len(samples) if samples else 0.0


@dataclass(frozen=True)
class CostRanking(Section):
    """Cheapest expected price of the request first; equal prices in their listed order."""

    kind = "cost"

    output_tokens: int = setting(500, minimum=0)
    """Tokens that an answer is expected to have, at most the request's ``max_tokens``."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _Cost(self.output_tokens)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _Cost(Stateless):
    def __init__(self, output_tokens: int) -> None:
        self._output_tokens = output_tokens

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """By the price of the prompt and of the expected output."""
        tokens_in = request.prompt_tokens
        tokens_out = self._output_tokens
        if request.max_tokens is not None:
            tokens_out = min(tokens_out, request.max_tokens)
        return sorted(
            group,
            key=lambda each: (
                tokens_in * each.deployment.usd_per_mtok_in + tokens_out * each.deployment.usd_per_mtok_out
            ),
        )


@dataclass(frozen=True)
class UsageLimit(Section):
    """What one deployment may take in a minute; None: no limit."""

    tpm: int | None = setting(None, minimum=1)
    """Tokens a minute, prompt and output."""
    rpm: int | None = setting(None, minimum=1)
    """Attempts a minute."""


@dataclass(frozen=True)
class UsageRanking(Section):
    """Most head-room in tokens and attempts of the current minute first: LiteLLM's usage-based-routing.

    Without limits: fewest tokens this minute. Ties at random.
    """

    kind = "usage"

    limits: Mapping[str, UsageLimit] = setting(FrozenMapping())
    """Deployment -> its limits."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _Usage(self.limits, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """The deployments with limits."""
        return ((f"limits.{name}", name) for name in self.limits)


class _Usage(Stateless):
    def __init__(self, limits: Mapping[str, UsageLimit], rng: random.Random) -> None:
        self._limits = limits
        self._random = rng.random
        self._minute = -1
        self._tokens: dict[str, int] = {}
        self._attempts: dict[str, int] = {}

    def started(self, name: str, now: float) -> None:
        """One attempt in this minute."""
        self._turn(now)
        self._attempts[name] = self._attempts.get(name, 0) + 1

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """Its tokens count in the minute of the answer."""
        self._turn(now)
        self._tokens[name] = self._tokens.get(name, 0) + reply.tokens_in + reply.tokens_out

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """By the share of the tighter limit that is used, then by tokens."""
        self._turn(now)
        return sorted(group, key=lambda each: (*self._used(each.deployment.name), self._random()))

    def _used(self, name: str) -> tuple[float, int]:
        tokens = self._tokens.get(name, 0)
        limit = self._limits.get(name)
        share = 0.0
        if limit is not None:
            if limit.tpm is not None:
                share = tokens / limit.tpm
            if limit.rpm is not None:
                share = max(share, self._attempts.get(name, 0) / limit.rpm)
        return share, tokens

    def _turn(self, now: float) -> None:
        minute = int(now // 60.0)
        if minute != self._minute:
            self._minute = minute
            self._tokens.clear()
            self._attempts.clear()
