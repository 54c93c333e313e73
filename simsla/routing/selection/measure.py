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

    For a streamed request lowest mean of seconds to the first token, as far as streams have shown it. A
    deployment never used scores 0, so it is tried; ties are broken at random.
    """

    kind = "latency"

    samples: int = setting(10, minimum=1)
    """Latest attempts in the mean. 10 as in LiteLLM."""
    buffer: float = setting(0.0, minimum=0.0)
    """Share above the lowest mean within which deployments count as equally fast. 0 as in LiteLLM."""
    timeout_score_s: float = setting(1000.0, above=0.0, unit="s")
    """Seconds that a timeout counts as, per token or to the first one. 1000 as in LiteLLM."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _Latency(self, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


_Samples = dict[str, deque[float]]


class _Latency(Stateless):
    def __init__(self, policy: LatencyRanking, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._per_token: _Samples = {}
        self._first_token: _Samples = {}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """A sample; one of the first token too where it was seen to come before the last."""
        self._add(self._per_token, name, took_s / max(reply.tokens_out, 1))
        if reply.first_token_s < reply.total_s:
            self._add(self._first_token, name, reply.first_token_s)

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """A sample where it timed out."""
        if isinstance(error, AttemptTimeout):
            self._add(self._per_token, name, self._policy.timeout_score_s)
            self._add(self._first_token, name, self._policy.timeout_score_s)

    def _add(self, samples: _Samples, name: str, sample: float) -> None:
        samples.setdefault(name, deque(maxlen=self._policy.samples)).append(sample)

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Those within the buffer at random, then the others by their means."""
        shuffled = self._rng.sample(group, len(group))
        samples = self._first_token if request.stream and self._first_token else self._per_token
        means = {each: _mean(samples, each.deployment.name) for each in shuffled}
        bound = min(means.values()) * (1.0 + self._policy.buffer)
        return sorted(shuffled, key=lambda each: max(means[each], bound))


def _mean(samples: _Samples, name: str) -> float:
    found = samples.get(name)
    return sum(found) / len(found) if found else 0.0


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
        return sorted(group, key=lambda each: expected_usd(request, each.deployment, self._output_tokens))


def expected_usd(request: Request, deployment: Deployment, output_tokens: int) -> float:
    """The price of the prompt and of so many output tokens, or of ``max_tokens`` where that is less."""
    if request.max_tokens is not None:
        output_tokens = min(output_tokens, request.max_tokens)
    return deployment.cost_usd(request.prompt_tokens, output_tokens)


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
