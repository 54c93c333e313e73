"""The ranking ``price_weighted``."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.selection.chains import Candidate
from simsla.routing.selection.measure import expected_usd
from simsla.routing.selection.ranking import Ranking, Stateless, drawing_key
from simsla.routing.types import Deployment, Reply, Request


@dataclass(frozen=True)
class PriceWeighted(Section):
    """At random by the inverse square of the price, those with an outage lately last: OpenRouter's default
    load balancing, as its documentation described it.

    Against one at twice the price a deployment comes first four times out of five. What costs nothing always
    comes first.
    """

    kind = "price_weighted"

    outage_s: float = setting(30.0, minimum=0.0, unit="s")
    """Seconds for which an outage counts after its last failure. 30 as OpenRouter."""
    outage_failures: int = setting(3, minimum=1)
    """Failures in a row that are an outage. OpenRouter says only "significant"; at 1 a stray error in every
    half minute would undo the order by price."""
    output_tokens: int = setting(500, minimum=0)
    """Tokens that an answer is expected to have, at most the request's ``max_tokens``."""

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> Ranking:
        """The ranking."""
        return _PriceWeighted(self, rng)

    def named(self) -> Iterable[tuple[str, str]]:
        """None."""
        return ()


class _PriceWeighted(Stateless):
    def __init__(self, policy: PriceWeighted, rng: random.Random) -> None:
        self._policy = policy
        self._random = rng.random
        self._failures: dict[str, int] = {}
        self._failed_at: dict[str, float] = {}

    def answered(self, name: str, now: float, took_s: float, reply: Reply) -> None:
        """No longer failures in a row; an outage still counts."""
        self._failures[name] = 0

    def failed(self, name: str, now: float, took_s: float, error: AttemptError) -> None:
        """One more in a row."""
        self._failures[name] = failures = self._failures.get(name, 0) + 1
        if failures >= self._policy.outage_failures:
            self._failed_at[name] = now

    def order(self, request: Request, group: tuple[Candidate, ...], now: float) -> list[Candidate]:
        """Drawn one after the other, first of those without an outage, then of the others."""
        return sorted(group, key=lambda each: self._key(request, each.deployment, now))

    def _key(self, request: Request, deployment: Deployment, now: float) -> tuple[bool, float, float]:
        out = now - self._failed_at.get(deployment.name, -math.inf) < self._policy.outage_s
        usd = expected_usd(request, deployment, self._policy.output_tokens)
        u = self._random()
        # Two of no price are drawn alike.
        return (out, drawing_key(u, usd**-2), 0.0) if usd > 0.0 else (out, 0.0, u)
