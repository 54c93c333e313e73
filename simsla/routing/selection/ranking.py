"""The order within one tier: what stands behind ``selection``, and how it learns about attempts.

A `Ranking` orders deployments that serve equally well (same tier, equally near). It hears of attempts through
the tickets of `Health`, which the Router hands back exactly once however an attempt ends: with the default
``ordered`` nothing is wrapped and nothing is paid.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.protocols import Overridable, Selector
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Deployment, Reply, Request


def drawing_key(u: float, weight: float) -> float:
    """Sorted by such keys, each with a uniform ``u`` of its own, things come in the order of being drawn one
    after the other without replacement, in proportion to their weights. Those of weight 0 come last.
    """
    return -math.log(1.0 - u) / weight if weight > 0.0 else math.inf


def refuses(candidate: Candidate, now: float) -> bool:
    """Whether its health would refuse a call now."""
    return candidate.health is not None and candidate.health.available_at(now) > now


class Ranking(Protocol):
    """Orders the deployments of one tier and hears of every attempt."""

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> Iterable[Candidate]:
        """Every candidate of the group exactly once, best first."""
        ...

    def started(self, name: str, now: float) -> None:
        """An attempt at this deployment begins; exactly one of the others ends it."""
        ...

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None: ...

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None: ...

    def released(self, name: str, now: float) -> None:
        """It ended and says nothing about the deployment."""
        ...

    def overrides(self, name: str) -> bool:
        """Whether the deployment is to be called although its health refuses."""
        ...


class Stateless:
    """The part of a ranking that remembers nothing of attempts."""

    def started(self, name: str, now: float) -> None:
        """Nothing to remember."""

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """Nothing to remember."""

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """Nothing to remember."""

    def released(self, name: str, now: float) -> None:
        """Nothing to remember."""

    def overrides(self, name: str) -> bool:
        """Never."""
        return False


class Outstanding(Stateless):
    """The attempts in flight at each deployment; 0 again when all have ended, in whichever way."""

    def __init__(self) -> None:
        self.pending: dict[str, int] = {}

    def started(self, name: str, now: float) -> None:
        """One more in flight."""
        self.pending[name] = self.pending.get(name, 0) + 1

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """One less in flight."""
        self.pending[name] -= 1

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """One less in flight."""
        self.pending[name] -= 1

    def released(self, name: str, now: float) -> None:
        """One less in flight."""
        self.pending[name] -= 1


class RankingPolicy(Protocol):
    """The configuration of a ranking."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking | None:
        """The ranking in its first state; None: the order stays as it is."""
        ...

    def named(self) -> Iterable[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        ...


class _Ticket(NamedTuple):
    inner: object | None
    start: float


class Watched:
    """The health of one deployment, whose attempts a ranking hears of."""

    __slots__ = ("_inner", "_name", "_ranking")

    def __init__(self, inner: Overridable | None, ranking: Ranking, name: str) -> None:
        self._inner = inner
        self._ranking = ranking
        self._name = name

    def admit(self, progress: Progress, now: float) -> _Ticket | None:
        """A ticket where the health itself gives one or the ranking overrides it."""
        inner = None
        if self._inner is not None:
            inner = self._inner.admit(progress, now)
            if inner is None:
                return self.admit_anyway(progress, now) if self._ranking.overrides(self._name) else None
        self._ranking.started(self._name, now)
        return _Ticket(inner, now)

    def admit_anyway(self, progress: Progress, now: float) -> _Ticket | None:
        """A ticket unless a limit refuses."""
        inner = None
        if self._inner is not None:
            inner = self._inner.admit_anyway(progress, now)
            if inner is None:
                return None
        self._ranking.started(self._name, now)
        return _Ticket(inner, now)

    @property
    def refusal(self) -> str:
        """As the health says."""
        return "" if self._inner is None else self._inner.refusal

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """Told to both."""
        assert isinstance(ticket, _Ticket)
        self._ranking.answered(self._name, now, now - ticket.start, reply)
        if self._inner is not None and ticket.inner is not None:
            self._inner.succeeded(ticket.inner, now, reply)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """Told to both."""
        assert isinstance(ticket, _Ticket)
        self._ranking.failed(self._name, now, now - ticket.start, error)
        if self._inner is not None and ticket.inner is not None:
            self._inner.failed(ticket.inner, now, error)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """Told to both."""
        assert isinstance(ticket, _Ticket)
        self._ranking.released(self._name, now)
        if self._inner is not None and ticket.inner is not None:
            self._inner.released(ticket.inner, now, error)

    def available_at(self, now: float) -> float:
        """As the health says."""
        return now if self._inner is None else self._inner.available_at(now)


class RankedSelector:
    """A selector whose plans are ordered anew within each tier and, with affinity, each distance."""

    def __init__(self, inner: Selector, ranking: Ranking, affinity: bool) -> None:
        self._inner = inner
        self._ranking = ranking
        self._affinity = affinity

    def candidates(self, request: Request, now: float) -> list[Candidate]:
        """The inner plan with each group in the ranking's order."""
        groups: dict[tuple[str, bool], list[Candidate]] = {}
        for each in self._inner.candidates(request, now):
            region = request.region
            near = not self._affinity or region is None or each.deployment.region in (region, None)
            groups.setdefault((each.chain, near), []).append(each)
        ordered: list[Candidate] = []
        for group in groups.values():
            if len(group) > 1:
                ordered += self._ranking.order(request, tuple(group), now)
            else:
                ordered += group
        return ordered

    def after(
        self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """As the inner selector says; sorts there are stable, so the order stays."""
        return self._inner.after(error, failed, remaining)


class PreCallSelector:
    """A selector that passes over deployments whose context window the request does not fit.

    The prompt and ``max_tokens`` count. Where none fits the plan stays: the provider counts tokens
    better than we do.
    """

    def __init__(self, inner: Selector) -> None:
        self._inner = inner

    def candidates(self, request: Request, now: float) -> Sequence[Candidate]:
        """The inner plan without what is too small."""
        plan = self._inner.candidates(request, now)
        tokens = request.prompt_tokens + (request.max_tokens or 0)
        windows = ((each, each.deployment.context_window) for each in plan)
        return [each for each, window in windows if window is None or tokens <= window] or plan

    def after(
        self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """As the inner selector says."""
        return self._inner.after(error, failed, remaining)
