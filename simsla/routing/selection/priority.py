"""Rankings by state: ``priority`` levels with spill and panic, and ``p99_shift``."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.ranking import Ranking, Stateless, drawing_key, refuses
from simsla.routing.types import Deployment, Reply, Request


@dataclass(frozen=True)
class PriorityRanking(Section):
    """Priority levels with spill and panic threshold, as in Envoy.

    A level's health is min(1, over-provisioning x healthy share); what it lacks spills to the next level.
    A deployment is healthy where its breaker would admit a call. In panic a level ignores health: its
    deployments are called even where the breaker refuses.
    """

    kind = "priority"

    levels: Mapping[str, int] = setting(FrozenMapping(), minimum=0)
    """Deployment -> level, the lowest first; 0 where left out."""
    overprovisioning: float = setting(1.4, minimum=1.0)
    """1.4 as in Envoy: a level spills below a healthy share of 71.4 %."""
    panic_threshold: float = setting(0.5, minimum=0.0, maximum=1.0)
    """Healthy share below which a level ignores health while all levels together lack health. 0.5 as in
    Envoy; 0: never."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _Priority(self, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """The deployments with a level."""
        return ((f"levels.{name}", name) for name in self.levels)


def level_loads(healthy_shares: Sequence[float], overprovisioning: float = 1.4) -> list[float]:
    """The share of the load that each level gets, highest priority first. Source: Envoy, "Priority levels".

    They sum to 1; all to the first level where nothing is healthy.
    """
    healths = [min(1.0, overprovisioning * share) for share in healthy_shares]
    total = min(1.0, sum(healths))
    if total == 0.0:
        return [1.0] + [0.0] * (len(healths) - 1)
    left = 1.0
    loads = []
    for health in healths:
        load = min(left, health / total)
        loads.append(load)
        left -= load
    return loads


class _Priority(Stateless):
    def __init__(self, policy: PriorityRanking, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._panicking: set[str] = set()

    def overrides(self, name: str) -> bool:
        """Whether the deployment's level is in panic."""
        return name in self._panicking

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """A level drawn by load, then the others in their order; within each the healthy first."""
        policy = self._policy
        levels: dict[int, list[Candidate]] = {}
        for each in self._rng.sample(group, len(group)):
            levels.setdefault(policy.levels.get(each.deployment.name, 0), []).append(each)
        ordered = [levels[level] for level in sorted(levels)]
        shares = []
        for members in ordered:
            healthy = [not refuses(each, now) for each in members]
            shares.append(sum(healthy) / len(members))
        lacking = sum(min(1.0, policy.overprovisioning * share) for share in shares) < 1.0
        for members, share in zip(ordered, shares, strict=True):
            names = [each.deployment.name for each in members]
            if lacking and share < policy.panic_threshold:
                self._panicking.update(names)
            else:
                self._panicking.difference_update(names)
                members.sort(key=lambda each: refuses(each, now))
        loads = level_loads(shares, policy.overprovisioning)
        drawn = self._rng.choices(range(len(ordered)), loads)[0]
        first = ordered.pop(drawn)
        return first + [each for members in ordered for each in members]


LEAST_SAMPLES: Final = 20
"""Fewer say nothing about a p99."""


@dataclass(frozen=True)
class P99Shift(Section):
    """At random by shares that move: away from a deployment step by step while its windowed p99 is above
    the threshold, and back as gradually.

    Where the window has too few attempts for a p99, which is so near the floor, the share comes back while
    none of them is above the threshold, and stays otherwise.
    """

    kind = "p99_shift"

    threshold_s: float = setting(above=0.0, unit="s")
    """Seconds; the p99 of an attempt above which load moves away."""
    window_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds of attempts in the p99."""
    interval_s: float = setting(10.0, above=0.0, unit="s")
    """Seconds between two steps."""
    step: float = setting(0.1, above=0.0, maximum=1.0)
    """What a weight, 1 at most, loses or gains in one step."""
    floor: float = setting(0.05, above=0.0, maximum=1.0)
    """The least weight: some load must show when a deployment is well again."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return ShiftingWeights(self, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class ShiftingWeights(Stateless):
    """The ranking of `P99Shift`: a weight and a window of attempts for each deployment."""

    def __init__(self, policy: P99Shift, rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._windows: dict[str, deque[tuple[float, float]]] = {}
        self._reviewed: float | None = None
        self.weights: dict[str, float] = {}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """A sample."""
        self._add(name, now, took_s)

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """A sample too: a timeout is the slowest of all."""
        self._add(name, now, took_s)

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Drawn one after the other by the weights of now."""
        self._review(now)
        return sorted(
            group,
            key=lambda each: drawing_key(self._random(), self.weights.get(each.deployment.name, 1.0)),
        )

    def _add(self, name: str, now: float, took_s: float) -> None:
        window = self._windows.setdefault(name, deque())
        window.append((now, took_s))
        # Not left to the reviews: a deployment that is alone in its tier is never ordered.
        self._forget(window, now)

    def _forget(self, window: deque[tuple[float, float]], now: float) -> None:
        while window and window[0][0] <= now - self._policy.window_s:
            window.popleft()

    def _review(self, now: float) -> None:
        """One step for each deployment and whole interval since the last review."""
        if self._reviewed is None:
            self._reviewed = now
        steps = int((now - self._reviewed) / self._policy.interval_s)
        if steps == 0:
            return
        self._reviewed += steps * self._policy.interval_s
        for name, window in self._windows.items():
            self._forget(window, now)
            weight = self.weights.get(name, 1.0) + self._change(window, steps)
            self.weights[name] = min(1.0, max(self._policy.floor, weight))

    def _change(self, window: deque[tuple[float, float]], steps: int) -> float:
        """Of a weight, after so many steps."""
        times = sorted(took_s for _, took_s in window)
        if not times or times[math.ceil(0.99 * len(times)) - 1] <= self._policy.threshold_s:
            return steps * self._policy.step
        # After a quiet time only one step away: nothing was measured meanwhile.
        return -self._policy.step if len(times) >= LEAST_SAMPLES else 0.0
