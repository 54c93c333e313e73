"""Peak memory of one process that logs a million requests and reduces them to metrics.

Run by hand: `python tests/benchmarks/bench_memory.py`. The goal is below 600 MB.
"""

from __future__ import annotations

import resource

import simsla

if __name__ == "__main__":
    scenario = simsla.Scenario.load("playbook").with_values({"horizon": "50d"})
    result = simsla.simulate(scenario, replications=1)
    requests = len(result.runs[0].requests["request"])
    print(
        f"{requests:,} requests and {len(result.runs[0].attempts['request']):,} attempts logged, "
        f"availability {result.availability.value:.6f}: "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
    )
