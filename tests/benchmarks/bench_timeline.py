"""A thousand years of twenty components: every fault episode, drawn without a single request.

Run by hand: `python tests/benchmarks/bench_timeline.py`. The goal is 2 s of CPU time. The yardstick is NumPy
alone: its generators making as many Weibull gaps and lognormal repairs, summed up and sorted, with nothing
named, reproducible by component, united or started in its long-run state.
"""

from __future__ import annotations

import statistics

import numpy as np
from baseline import cpu_seconds

from simsla.scenario import Scenario
from simsla.world.faults import timeline

YEARS = 1000
COMPONENTS = 20
HOUR_S = 3600.0

# The OpenAI API's incidents, as in the shipped playbook.
INCIDENTS = {
    "kind": "brownout",
    "severity": 0.105,
    "gap": {"kind": "weibull", "shape": 0.65, "scale": 92.5, "unit": "h"},
    "repair": {"kind": "lognormal", "mu": 0.23, "sigma": 1.17, "unit": "h"},
}


def scenario() -> Scenario:
    return Scenario.from_dict(
        {
            "horizon": "1y",
            "components": {f"c{i}": {"faults": [INCIDENTS]} for i in range(COMPONENTS)},
            "deployments": {"a": {"model": "m", "latency": {"total": 1}}},
            "traffic": {
                "t": {"arrivals": {"kind": "poisson", "rate": 1}, "prompt_tokens": 1, "output_tokens": 1}
            },
        }
    )


def plain_numpy(episodes: int) -> None:
    rng = np.random.default_rng(1)
    starts, ends = [], []
    for _ in range(COMPONENTS):
        n = episodes // COMPONENTS
        start = np.cumsum(rng.weibull(0.65, n) * 92.5 * HOUR_S)
        starts.append(start)
        ends.append(start + rng.lognormal(0.23, 1.17, n) * HOUR_S)
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(start)
    np.stack((start[order], end[order]))


if __name__ == "__main__":
    spec = scenario()
    found = len(timeline(spec, YEARS))
    seconds = [cpu_seconds(lambda: timeline(spec, YEARS)) for _ in range(7)]
    plain = [cpu_seconds(lambda: plain_numpy(found)) for _ in range(7)]
    print(
        f"{YEARS:,} years of {COMPONENTS} components, {found:,} episodes: "
        f"{statistics.median(seconds):.2f} s CPU; "
        f"plain NumPy {statistics.median(plain):.2f} s; "
        f"ratio {statistics.median(seconds) / statistics.median(plain):.2f}"
    )
