"""Rankings that spread load: ``ordered``, ``weighted_random``, ``round_robin``, ``least_outstanding``,
``power_of_d`` and ``peak_ewma``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.ranking import Outstanding, Ranking, Stateless, drawing_key, refuses
from simsla.routing.types import Deployment, Reply, Request


@dataclass(frozen=True)
class Ordered(Section):
    """The order of the chain, as configured."""

    kind = "ordered"

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> None:
        """Nothing: the order stays."""

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


@dataclass(frozen=True)
class WeightedRandom(Section):
    """At random in proportion to weights: LiteLLM's simple-shuffle, Portkey's loadbalance."""

    kind = "weighted_random"

    weights: Mapping[str, float] = setting(FrozenMapping(), minimum=0.0)
    """Deployment -> weight. One left out has weight 1 as in Portkey; one of weight 0 comes last. LiteLLM
    takes requests per minute, else tokens per minute, where no weights are given: give those as weights."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _WeightedRandom({each.name: self.weights.get(each.name, 1.0) for each in deployments}, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """The deployments with a weight."""
        return ((f"weights.{name}", name) for name in self.weights)


class _WeightedRandom(Stateless):
    def __init__(self, weights: Mapping[str, float], rng: random.Random) -> None:
        self._weights = weights
        self._random = rng.random

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Drawn one after the other."""
        return sorted(
            group, key=lambda each: drawing_key(self._random(), self._weights[each.deployment.name])
        )


@dataclass(frozen=True)
class RoundRobin(Section):
    """In turn."""

    kind = "round_robin"

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _RoundRobin()

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _RoundRobin(Stateless):
    def __init__(self) -> None:
        self._next: dict[tuple[Candidate, ...], int] = {}

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> tuple[Candidate, ...]:
        """From the next one on, around."""
        first = self._next.get(group, 0)
        self._next[group] = (first + 1) % len(group)
        return group[first:] + group[:first]


@dataclass(frozen=True)
class LeastOutstanding(Section):
    """Fewest attempts in flight first, ties at random: LiteLLM's least-busy."""

    kind = "least_outstanding"

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _LeastOutstanding(rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _LeastOutstanding(Outstanding):
    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._random = rng.random

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """By attempts in flight."""
        pending = self.pending
        return sorted(group, key=lambda each: (pending.get(each.deployment.name, 0), self._random()))


@dataclass(frozen=True)
class PowerOfD(Section):
    """Of ``choices`` distinct deployments drawn at random, the one with the fewest attempts in flight.

    Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    """

    kind = "power_of_d"

    choices: int = setting(2, minimum=1)
    """Deployments drawn. 2: almost all of the gain."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _PowerOfD(self.choices, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _PowerOfD(Outstanding):
    def __init__(self, choices: int, rng: random.Random) -> None:
        super().__init__()
        self._choices = choices
        self._rng = rng

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Those drawn, the healthier and less loaded first; then the others at random."""
        shuffled = self._rng.sample(group, len(group))
        drawn = shuffled[: self._choices]
        drawn.sort(key=lambda each: (refuses(each, now), self.load(each.deployment.name, now)))
        return drawn + shuffled[self._choices :]

    def load(self, name: str, now: float) -> float:
        """Attempts in flight."""
        return self.pending.get(name, 0)


@dataclass(frozen=True)
class PeakEwma(Section):
    """Power of two choices by peak EWMA of round trips times (attempts in flight + 1): Finagle's
    ``Balancers.p2cPeakEwma``.
    """

    kind = "peak_ewma"

    decay_s: float = setting(10.0, above=0.0, unit="s")
    """Seconds; the time constant with which round trips are forgotten. 10 as in Finagle."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _PeakEwma(self.decay_s, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


_PENALTY = 2.0**31
"""The load of a deployment without history that has attempts in flight: one probe at a time."""


class _PeakEwma(_PowerOfD):
    """Cost: new = x (1 - w) + old w, w = exp(-dt / decay); x itself where x > old."""

    def __init__(self, decay_s: float, rng: random.Random) -> None:
        super().__init__(2, rng)
        self._decay_s = decay_s
        self._cost: dict[str, tuple[float, float]] = {}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """A round trip."""
        super().answered(name, now, took_s, reply)
        self._observe(name, now, took_s)

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """A slow failure counts; a fast one does not, or a broken deployment would attract all load."""
        super().failed(name, now, took_s, error)
        if took_s > self._cost.get(name, (0.0, now))[0]:
            self._observe(name, now, took_s)

    def _observe(self, name: str, now: float, took_s: float) -> None:
        cost, at = self._cost.get(name, (0.0, now))
        if took_s <= cost:
            weight = math.exp(-(now - at) / self._decay_s)
            took_s = took_s * (1.0 - weight) + cost * weight
        self._cost[name] = (took_s, now)

    def load(self, name: str, now: float) -> float:
        """Cost x (pending + 1). The cost decays while nothing is heard, as in Finagle, so that a slow
        deployment is tried again.
        """
        pending = self.pending.get(name, 0)
        cost, at = self._cost.get(name, (0.0, now))
        if cost == 0.0 and pending > 0:
            return _PENALTY + pending
        return cost * math.exp(-(now - at) / self._decay_s) * (pending + 1)
