"""Peak memory of one process that simulates many requests and reduces them to metrics.

Run by hand: `python tests/benchmarks/bench_memory.py` logs a million requests, and the goal is below 600 MB;
`python tests/benchmarks/bench_memory.py summary` keeps no logs of ten million, below 700 MB, and takes some
ten minutes.
"""

from __future__ import annotations

import resource
import sys
import time

import simsla

DAYS = {"full": 50, "summary": 500}
"""Of the playbook's traffic, 20,000 requests a day."""

if __name__ == "__main__":
    record = sys.argv[1] if len(sys.argv) > 1 else "full"
    scenario = simsla.Scenario.load("playbook").with_values({"horizon": f"{DAYS[record]}d"})
    began_s = time.perf_counter()
    result = simsla.simulate(scenario, replications=1, record=record)
    counts = result.to_dict()
    print(
        f"record={record!r}: {counts['requests']:,} requests and {counts['attempts']:,} attempts in "
        f"{time.perf_counter() - began_s:,.0f} s, availability {result.availability.value:.6f}, "
        f"p99 {result.latency(0.99).value:.4g} s: "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
    )
