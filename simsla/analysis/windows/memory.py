"""How long a router remembers: how early a window must start, and how long an episode has consequences."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from simsla.analysis.poststratify import MEMORY_S
from simsla.routing import RoutingPolicy
from simsla.routing.config import Section
from simsla.routing.health.opentime import LONGEST_OPEN_S, Opening

if TYPE_CHECKING:
    from simsla.scenario import Scenario
    from simsla.simulation import Policy

__all__ = ["remembered_s"]

FORGOTTEN: Final = ("ttl_s", "timeout_score_s", "burst_s", "max_open_s")
"""Durations that say nothing of faults: how long an answer is cached, a score, the depth of a bucket."""


def remembered_s(scenario: Scenario, policy: Policy | str) -> float:
    """Seconds after which the router is taken to have forgotten a fault.

    For the built-in router the longest duration of its configuration: an open breaker, a window of outcomes,
    its deadline. For any other policy 900 s. Clients that ask again remember as long as they keep asking.

    What is kept until it is next used has no such length: the breaker of a fall-back that nobody asks stays
    half-open, and the requests that come while its one probe is out are refused. Windows miss those few.
    """
    if isinstance(policy, str) and policy.partition(":")[2]:
        module, _, name = policy.partition(":")
        policy = getattr(importlib.import_module(module), name, policy)
    known = max(durations_s(policy)) if isinstance(policy, RoutingPolicy) else MEMORY_S
    clients = [spec.longest_s for spec in scenario.traffic.values() if spec.client is not None]
    return max([known, *clients])


def durations_s(section: Section) -> Iterator[float]:
    """Every duration that is set in a section and in those within it."""
    if isinstance(section, Opening) and section.open_growth > 1:
        yield LONGEST_OPEN_S if section.max_open_s is None else section.max_open_s
    for each in dataclasses.fields(section):
        value: Any = getattr(section, each.name)
        if isinstance(value, Section):
            yield from durations_s(value)
        elif each.metadata.get("unit") == "s" and value is not None and each.name not in FORGOTTEN:
            yield float(value)
