"""Prompt caches that no request can hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simsla.analysis.warnings import UnhitCacheWarning, first_few
from simsla.scenario.arrivals import SessionArrivals

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["unhit_caches"]

NEEDS: Final = {
    "topic": "give a request class `topics`",
    "session": "give a request class arrivals of kind `sessions`",
}


def unhit_caches(scenario: Scenario) -> UnhitCacheWarning | None:
    """The warning that a prompt cache goes by the topic, or the session, of requests that have none."""
    classes = scenario.traffic.values()
    given = {
        "topic": any(spec.topics is not None for spec in classes),
        "session": any(isinstance(spec.arrivals, SessionArrivals) for spec in classes),
    }
    caches = {name: spec.price.prompt_cache for name, spec in scenario.deployments.items()}
    for by, needed in NEEDS.items():
        idle = [name for name, cache in caches.items() if cache is not None and cache.by == by]
        if idle and not given[by]:
            told = first_few([f"deployments.{name}.price.prompt_cache" for name in idle])
            return UnhitCacheWarning(
                f"No request has a {by}, so what goes by it is never hit, and every prompt is billed in full "
                f"(unless the policy sets one): {told}. To change that, {needed}."
            )
    return None
