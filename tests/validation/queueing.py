"""Queues built from public parts: a deployment with slots, a total latency, a policy that just calls."""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy import stats

import simsla
from simsla.routing import Timeouts
from simsla.scenario import Scenario


def call_once(transport):
    """No limits, no second attempt."""

    async def handle(request):
        return await transport.send(request, transport.deployments[0], timeouts=Timeouts())

    return handle


def queue(
    servers: int, rate: float, service, *, customers: float, queue_limit: int | None = None
) -> Scenario:
    """A queue for so many customers, after a warm-up of a fifth as many."""
    limits = {} if queue_limit is None else {"queue_limit": queue_limit}
    horizon = 1.2 * customers / rate
    return Scenario.from_dict(
        {
            "horizon": horizon,
            "warmup": horizon / 6,
            "deployments": {
                "a": {
                    "model": "m",
                    "latency": {"total": service},
                    "max_concurrency": servers,
                    "error_latency": 0,
                }
                | limits
            },
            "traffic": {
                "all": {
                    "arrivals": {"kind": "poisson", "rate": rate},
                    "prompt_tokens": 1,
                    "output_tokens": 1,
                    "deadline": 1e6,
                }
            },
        }
    )


def run(scenario: Scenario, policy=call_once, **options) -> simsla.Result:
    """`simulate` with its caveats left to the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(scenario, policy, **options)


def contains(estimate, truth: float, *, within: float) -> None:
    """The truth lies in the interval, whose half-width is below `within` x the truth."""
    assert estimate.ci_low <= truth <= estimate.ci_high, f"{truth} outside {estimate}"
    assert estimate.half_width < within * truth, f"{estimate} is too wide to say anything of {truth}"


def across(values, unit=""):
    """A t interval of a statistic of each replication."""
    mean, n = float(np.mean(values)), len(values)
    half = stats.t.ppf(0.975, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return simsla.Estimate(mean, mean - half, mean + half, n, "t across replications", unit)


__all__ = ["across", "call_once", "contains", "queue", "run"]
