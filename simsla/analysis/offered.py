"""Load and capacity as a scenario's numbers tell them, without a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.scenario.arrivals import SessionArrivals

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import DeploymentSpec, RequestClass, Scenario

__all__ = ["bottlenecks", "capacity", "granted_rpm", "needed_slots_at_best", "slots"]

GRID: Final = (np.arange(4096) + 0.5) / 4096
"""Uniforms of equal weight, for means that have no closed form."""
MANY: Final = 1_000_000
"""So many at once that more of them would not be answered faster."""


def bottlenecks(scenario: Scenario) -> Iterator[str]:
    """What the traffic asks too much of, in words. Retries, hedges and slow deployments only add to it."""
    needed, there = needed_slots_at_best(scenario), slots(scenario)
    if needed > there:
        yield (
            f"the traffic needs {needed:.3g} slots on average at the quickest deployments, and all "
            f"deployments together have {there:g} ({needed / there:.3g} x)"
        )
    asked, granted = 60 * rate_per_s(scenario), granted_rpm(scenario)
    if asked > granted:
        yield (
            f"{asked:.3g} requests come a minute, and all accounts and deployments together are granted "
            f"{granted:g} ({asked / granted:.3g} x)"
        )
    gateway = scenario.gateway
    if gateway is not None and len(scenario.behind_gateway) == len(scenario.deployments):
        pods = gateway.pods if gateway.autoscaler is None else gateway.autoscaler.max
        work, workers = rate_per_s(scenario) * gateway.service.mean(), pods * gateway.workers
        if work > workers:
            yield f"the gateway's pods have work for {work:.3g} workers, and there are at most {workers}"


def rate_per_s(scenario: Scenario) -> float:
    """Requests per second in the long run, of those who do not wait for answers before they ask again."""
    return math.fsum(each.arrivals.mean_rate_per_s() for each in open_loop(scenario))


def open_loop(scenario: Scenario) -> Iterator[RequestClass]:
    """The classes whose arrivals do not depend on answers: users in sessions never ask for too much."""
    for request_class in scenario.traffic.values():
        if not isinstance(request_class.arrivals, SessionArrivals):
            yield request_class


def needed_slots_at_best(scenario: Scenario) -> float:
    """Slots that the traffic needs on average, each request at its quickest deployment."""
    return math.fsum(
        each.arrivals.mean_rate_per_s() * min(service_s(spec, each) for spec in scenario.deployment_specs)
        for each in open_loop(scenario)
    )


def slots(scenario: Scenario) -> float:
    """Slots of all deployments; infinite where one has no limit."""
    return math.fsum(capacity(spec) for spec in scenario.deployment_specs)


def granted_rpm(scenario: Scenario) -> float:
    """Attempts that are granted a minute, over all accounts and deployments."""
    by_account: dict[str | None, float] = {}
    for spec in scenario.deployment_specs:
        by_account[spec.account] = by_account.get(spec.account, 0.0) + (spec.rpm or math.inf)
    return math.fsum(
        granted if account is None else min(granted, scenario.accounts[account].rpm or math.inf)
        for account, granted in by_account.items()
    )


def capacity(spec: DeploymentSpec) -> float:
    """Attempts that a deployment answers at once at full speed; as many slow ones count as fewer."""
    if spec.service is None:
        return spec.max_concurrency or math.inf
    most = spec.max_concurrency or MANY
    return most / spec.service.slowdown(most)


def service_s(spec: DeploymentSpec, request_class: RequestClass) -> float:
    """Mean seconds that an answer to a request of the class holds a slot; 0 where lengths are a trace's."""
    latency = spec.latency
    if latency.total is not None:
        return latency.total.mean()
    if latency.first_token is None or latency.per_token is None or request_class.output_tokens is None:
        return 0.0
    tokens = mean_below(request_class.output_tokens, request_class.max_tokens)
    return latency.first_token.mean() + tokens * latency.per_token.mean()


def mean_below(distribution: Distribution, most: float | None) -> float:
    """The mean of the outcomes, each cut to `most`."""
    if most is None:
        return distribution.mean()
    return float(np.minimum(distribution.ppf(GRID), most).mean())
