"""The shipped playbook with the built-in router - breakers, retries, timeouts, fail-over - all logs included.

Run by hand: `python tests/benchmarks/bench_playbook.py`. The goal is 0.6 requests per plain SimPy customer.
"""

from __future__ import annotations

from baseline import report

from simsla.scenario import Scenario
from simsla.simulation import run_one

if __name__ == "__main__":
    scenario = Scenario.load("playbook").with_values({"horizon": "10d"})
    report("playbook, built-in router", lambda: len(run_one(scenario).requests["request"]))
