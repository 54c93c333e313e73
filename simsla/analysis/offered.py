"""Load and capacity as a scenario's numbers tell them, without a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.scenario.arrivals import SessionArrivals
from simsla.scenario.arrivals_trace import TraceArrivals
from simsla.scenario.instants import DAY_S

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import DeploymentSpec, RequestClass, Scenario
    from simsla.scenario.traces import Trace

__all__ = ["bottlenecks", "capacity", "granted_per_minute", "needed_slots_at_best", "slots"]

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
    for what, limit, asked in (
        ("requests", "rpm", 60 * rate_per_s(scenario)),
        ("tokens", "tpm", 60 * tokens_per_s(scenario)),
    ):
        granted = granted_per_minute(scenario, limit)
        if asked > granted:
            yield (
                f"{asked:.3g} {what} come a minute, and all accounts and deployments together are granted "
                f"{granted:g} ({asked / granted:.3g} x)"
            )
    gateway = scenario.gateway
    if gateway is not None and len(scenario.behind_gateway) == len(scenario.deployments):
        pods = gateway.pods if gateway.autoscaler is None else gateway.autoscaler.max
        work, workers = rate_per_s(scenario) * gateway.service.mean(), pods * gateway.workers
        if work > workers:
            yield f"the gateway's pods have work for {work:.3g} workers, and there are at most {workers}"
        places = pods * (gateway.concurrency or math.inf)
        if needed > places:
            yield f"the gateway's pods would have to hold {needed:.3g} requests, and hold at most {places:g}"


def rate_per_s(scenario: Scenario) -> float:
    """Requests per second in the long run, of those who do not wait for answers before they ask again."""
    return math.fsum(each.arrivals.mean_rate_per_s() for each in open_loop(scenario))


def open_loop(scenario: Scenario) -> Iterator[RequestClass]:
    """The classes whose arrivals do not depend on answers: users in sessions never ask for too much."""
    for request_class in scenario.traffic.values():
        if not isinstance(request_class.arrivals, SessionArrivals):
            yield request_class


def needed_slots_at_best(scenario: Scenario) -> float:
    """Slots that the traffic needs on average, each request at its quickest deployment.

    Those whose clients lose patience may need none.
    """
    return math.fsum(
        each.arrivals.mean_rate_per_s()
        * min(level(scenario, spec) * service_s(spec, each) for spec in scenario.deployment_specs)
        for each in open_loop(scenario)
        if each.patience is None
    )


def level(scenario: Scenario, spec: DeploymentSpec) -> float:
    """The mean factor by which the time of day and the drift change latencies during the run."""
    latency = spec.latency
    if not latency.has_trend:
        return 1.0
    days = GRID * scenario.horizon_s / DAY_S
    factors = (1.0 + latency.drift_per_day) ** days
    if latency.profile:
        start = scenario.start
        first_s = (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        times = sorted(latency.profile)
        of_day = [latency.profile[time] for time in times]
        factors *= np.interp((first_s + days * DAY_S) % DAY_S, times, of_day, period=DAY_S)
    return float(factors.mean())


def tokens_per_s(scenario: Scenario) -> float:
    """Tokens per second in the long run, as limits on their rate count them."""
    return math.fsum(
        each.arrivals.mean_rate_per_s()
        * (prompt_tokens(each) + (output_tokens(each) if each.max_tokens is None else each.max_tokens))
        for each in open_loop(scenario)
    )


def slots(scenario: Scenario) -> float:
    """Slots of all deployments; infinite where one has no limit."""
    return math.fsum(capacity(spec) for spec in scenario.deployment_specs)


def granted_per_minute(scenario: Scenario, limit: str) -> float:
    """Attempts (`rpm`) or tokens (`tpm`) that are granted a minute, over all accounts and deployments."""
    by_account: dict[str | None, float] = {}
    for spec in scenario.deployment_specs:
        by_account[spec.account] = by_account.get(spec.account, 0.0) + (getattr(spec, limit) or math.inf)
    return math.fsum(
        granted if account is None else min(granted, getattr(scenario.accounts[account], limit) or math.inf)
        for account, granted in by_account.items()
    )


def capacity(spec: DeploymentSpec) -> float:
    """Attempts that a deployment answers at once at full speed; as many slow ones count as fewer."""
    if spec.service is None:
        return spec.max_concurrency or math.inf
    most = spec.max_concurrency or MANY
    return most / spec.service.slowdown(most)


def service_s(spec: DeploymentSpec, request_class: RequestClass) -> float:
    """Mean seconds that an answer to a request of the class holds a slot, at the first level of latency."""
    latency = spec.latency
    if latency.total is not None:
        return latency.total.mean()
    assert latency.first_token is not None
    assert latency.per_token is not None
    return latency.first_token.mean() + output_tokens(request_class) * latency.per_token.mean()


def prompt_tokens(request_class: RequestClass) -> float:
    """Their mean."""
    trace = replayed(request_class)
    if trace is not None:
        return float(trace.prompt_tokens.mean())
    assert request_class.prompt_tokens is not None
    return request_class.prompt_tokens.mean()


def output_tokens(request_class: RequestClass) -> float:
    """Their mean, each answer cut to `max_tokens`."""
    most, trace = request_class.max_tokens, replayed(request_class)
    if trace is not None:
        tokens = trace.output_tokens
        return float((tokens if most is None else np.minimum(tokens, most)).mean())
    assert request_class.output_tokens is not None
    return mean_below(request_class.output_tokens, most)


def replayed(request_class: RequestClass) -> Trace | None:
    """The trace that lengths are from; None where they are drawn."""
    if isinstance(request_class.arrivals, TraceArrivals):
        return request_class.arrivals.load()
    return None if request_class.lengths is None else request_class.lengths.load()


def mean_below(distribution: Distribution, most: float | None) -> float:
    """The mean of the outcomes, each cut to `most`."""
    if most is None:
        return distribution.mean()
    return float(np.minimum(distribution.ppf(GRID), most).mean())
