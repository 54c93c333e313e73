"""One replication and its summary: of its logs, or reduced while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsla.analysis.client_regions import client_regions
from simsla.analysis.episodes import EpisodePlan
from simsla.analysis.law import drawn_faults
from simsla.analysis.promises import latency_limits
from simsla.analysis.streaming import SummaryRecorder
from simsla.analysis.summary import Reducer, summarise
from simsla.scenario.quality import scores
from simsla.simulation import run_one
from simsla.world.faults import draw_environment

if TYPE_CHECKING:
    from simsla.analysis.summary import ReplicationSummary
    from simsla.scenario import Scenario
    from simsla.simulation import Policy, Replication
    from simsla.world.environment import Environment

__all__ = ["summarised_run", "summary_of"]


def summary_of(scenario: Scenario, run: Replication) -> ReplicationSummary:
    """The summary of a run that kept its logs."""
    known = what_is_known(scenario, run.seed, run.replication, run.environment)
    return summarise(run.log, start_s=run.start_s, end_s=run.end_s, pods_usd=pods_usd(run), **known)


def summarised_run(
    scenario: Scenario, policy: Policy | str | None, seed: int, replication: int
) -> tuple[ReplicationSummary, Replication]:
    """Run one replication without logs; its summary is the same but for sketches in place of latencies."""
    start_s, end_s = scenario.warmup_s, scenario.horizon_s
    longest_s = max(spec.longest_s for spec in scenario.traffic.values())
    environment = draw_environment(scenario, seed, replication, end_s + longest_s)
    reducer = Reducer(
        tuple(scenario.traffic),
        tuple(scenario.deployments),
        start_s=start_s,
        end_s=end_s,
        longest_s=longest_s,
        **what_is_known(scenario, seed, replication, environment),
    )
    recorder = SummaryRecorder(reducer, max(spec.deadline_s for spec in scenario.traffic.values()))
    run = run_one(scenario, policy, seed, replication, environment=environment, recorder=recorder)
    return recorder.finished(pods_usd(run)), run


def what_is_known(
    scenario: Scenario, seed: int, replication: int, environment: Environment
) -> dict[str, Any]:
    """What a summary needs besides logs and the measured time."""
    return {
        "environment": drawn_faults(environment),
        "quality": scores(scenario.deployment_specs, tuple(scenario.traffic)),
        "episodes": EpisodePlan(
            environment,
            [spec.dependencies for spec in scenario.deployment_specs],
            scenario.warmup_s,
            scenario.horizon_s,
        ),
        "regions": client_regions(scenario, seed, replication),
        "limits": latency_limits(scenario),
    }


def pods_usd(run: Replication) -> float:
    return 0.0 if run.gateway is None else run.gateway.cost_usd(run.start_s, run.end_s)
