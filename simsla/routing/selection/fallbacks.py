"""Fall-back chains: who is tried after a tier or a deployment, in general and for requests that it cannot
serve. What the chains do is in `fallback_selector`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.protocols import Health, RetryRule, Selector
from simsla.routing.selection.fallback_selector import ContentPolicyRule, FallbackSelector
from simsla.routing.types import TIERS, Deployment

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy

_TABLES: Final = ("chains", "context_window", "content_policy")


@dataclass(frozen=True)
class FallbackPolicy(Section):
    """Ordered chains of deployments, as LiteLLM's and Portkey's fallbacks.

    A fall-back may be of any tier and in any plan; each deployment stands in a request's plan once, where it
    comes first. Where regions do not fail over, none leaves the region of the request; none lacks what the
    request needs. Chains that lead back to where they began are refused.
    """

    chains: Mapping[str, tuple[str, ...]] = setting(FrozenMapping())
    """Tier or deployment -> those to try after it. After a tier: when its own deployments are used up, before
    those of weaker tiers. After a deployment: right after it and before its siblings, also where its breaker
    refuses it. The name of a tier means the tier."""
    default: tuple[str, ...] = setting(())
    """The chain of each tier without one of its own, as LiteLLM's ``default_fallbacks``."""
    context_window: Mapping[str, tuple[str, ...]] = setting(FrozenMapping())
    """Deployment -> those, and no others, to try with a request that did not fit its context window. Without
    a chain: the rest of the plan whose windows are larger."""
    content_policy: Mapping[str, tuple[str, ...]] = setting(FrozenMapping())
    """Deployment -> those, and no others, to try with a request that its content policy refused. Without a
    chain such a request fails at once."""
    max_fallbacks: int = setting(5, minimum=1)
    """The most fall-backs that one request is offered, over all chains. 5 as in LiteLLM."""

    def verify(self) -> None:
        """No chain is empty, repeats itself or leads back to its beginning, alone or together with others."""
        _each_once("default", self.default)
        led: dict[str, list[str]] = {}
        for table in _TABLES:
            for key, chain in getattr(self, table).items():
                where = f"{table}.{key}"
                if not chain:
                    raise ConfigError(where, [], "at least one deployment")
                _each_once(where, chain)
                if table == "chains" and key in TIERS:
                    continue  # nothing leads to a tier
                for index, name in enumerate(chain):
                    way = _way(led, name, key)
                    if way:
                        raise ConfigError(f"{where}.{index}", name, f"no loop ({' -> '.join([key, *way])})")
                    led.setdefault(key, []).append(name)

    def named(self) -> Iterator[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        for table in _TABLES:
            for key, chain in getattr(self, table).items():
                if table != "chains" or key not in TIERS:
                    yield f"{table}.{key}", key
                yield from ((f"{table}.{key}.{index}", name) for index, name in enumerate(chain))
        yield from ((f"default.{index}", name) for index, name in enumerate(self.default))

    def build(
        self,
        inner: Selector,
        policy: RoutingPolicy,
        deployments: Sequence[Deployment],
        health: Mapping[str, Health | None],
    ) -> FallbackSelector:
        """The selector around another one; ``health`` is that of each deployment, shared with it."""
        return FallbackSelector(self, inner, policy, deployments, health)

    def rule(self, inner: RetryRule) -> RetryRule:
        """The retry rule that knows the content-policy chains; ``inner`` itself where there are none."""
        return ContentPolicyRule(self.content_policy, inner) if self.content_policy else inner


def _each_once(where: str, chain: Sequence[str]) -> None:
    for index, name in enumerate(chain):
        if name in chain[:index]:
            raise ConfigError(f"{where}.{index}", name, "each deployment once")


def _way(led: Mapping[str, Sequence[str]], start: str, goal: str) -> list[str]:
    """The deployments from ``start`` to ``goal``, both included, along what led where; empty: no way."""
    came_from: dict[str, str | None] = {start: None}
    open_ = [start]
    while open_:
        name = open_.pop()
        if name == goal:
            way = [name]
            while (before := came_from[way[-1]]) is not None:
                way.append(before)
            return way[::-1]
        for following in led.get(name, ()):
            if following not in came_from:
                came_from[following] = name
                open_.append(following)
    return []
