"""What of a scenario has no long run, and what of it makes requests the cause of failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simsla.routing import RoutingPolicy
from simsla.scenario import ScenarioError
from simsla.scenario.arrivals import SessionArrivals
from simsla.scenario.arrivals_trace import TraceArrivals
from simsla.scenario.errors import Problem

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["endogenous", "planned_parts", "refuse_without_long_run", "requests_per_s"]


def refuse_without_long_run(scenario: Scenario) -> None:
    """Raise ScenarioError for what ends or grows for ever, and so has no long-run availability."""
    problems = []
    for name, spec in scenario.traffic.items():
        if isinstance(spec.arrivals, TraceArrivals) and not spec.arrivals.loop:
            expected = "arrivals that go on for ever, such as a trace with loop: true"
            problems.append(Problem(("traffic", name, "arrivals", "loop"), expected, False))
    for name, deployment in scenario.deployments.items():
        drift = deployment.latency.drift_per_day
        if drift:
            expected = "no drift: latencies that grow for ever have no long run"
            problems.append(Problem(("deployments", name, "latency", "drift_per_day"), expected, drift))
    if problems:
        raise ScenarioError(scenario.name, problems)


def planned_parts(scenario: Scenario) -> list[str]:
    """The paths of faults and events at appointed times, which are left out of a long run."""
    found = [f"schedule.{i}" for i in range(len(scenario.schedule))]
    for name, component in scenario.all_components.items():
        found += [f"{name}.faults.{i}" for i, fault in enumerate(component.faults) if fault.schedule]
    return found


def requests_per_s(scenario: Scenario) -> float | None:
    """First requests per second in the long run; None where users wait for answers, which sets their pace."""
    if any(isinstance(spec.arrivals, SessionArrivals) for spec in scenario.traffic.values()):
        return None
    return sum(spec.arrivals.mean_rate_per_s() for spec in scenario.traffic.values())


def endogenous(scenario: Scenario, policy: object) -> list[str]:
    """What lets requests cause failures: limits of capacity, and load that answers to failures."""
    return list(_endogenous(scenario, policy))


def _endogenous(scenario: Scenario, policy: object) -> Iterator[str]:
    for name, deployment in scenario.deployments.items():
        if deployment.max_concurrency is not None:
            yield f"deployments.{name}.max_concurrency"
        if deployment.limits_rate:
            yield f"the rate limits of deployments.{name}"
        if deployment.service is not None:
            yield f"deployments.{name}.service"
    for name, account in scenario.accounts.items():
        if account.limits_anything:
            yield f"the limits of accounts.{name}"
    if scenario.gateway is not None:
        yield "gateway"
    for name, spec in scenario.traffic.items():
        if spec.client is not None and spec.client.retries:
            yield f"traffic.{name}.client.retries"
        if isinstance(spec.arrivals, SessionArrivals):
            yield f"traffic.{name}.arrivals (sessions)"
    if isinstance(policy, RoutingPolicy):
        if policy.limits != RoutingPolicy().limits:
            yield "routing.limits"
        if policy.queue is not None:
            yield "routing.queue"
