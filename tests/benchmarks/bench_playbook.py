"""The shipped playbooks with the built-in router, all logs included, beside plain SimPy.

Run by hand: `python tests/benchmarks/bench_playbook.py`. The plain playbook has breakers, retries, timeouts
and fail-over: the goal is 0.6 requests per plain SimPy customer, and at least 0.53. The two others have what
costs most: first the limits of accounts, the queue on rate limits, the semantic cache, hedging and streaming;
then the classifier, the checks, the pods of the gateway and the distances as well. Their goal is 0.3.
"""

from __future__ import annotations

import logging

from baseline import report

from simsla.scenario import Scenario
from simsla.simulation import run_one

PARTS_LEFT_OUT = ("classify", "quality", "selection")


def without(scenario: Scenario) -> Scenario:
    """The full playbook, of whose additions only limits, queue, cache, hedging and streaming are left."""
    plain = scenario.to_dict()
    for part in ("gateway", "network"):
        plain.pop(part, None)
    plain["routing"] = {key: value for key, value in plain["routing"].items() if key not in PARTS_LEFT_OUT}
    return Scenario.from_dict(plain)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # a classifier that times out is part of the story
    playbook = Scenario.load("playbook").with_values({"horizon": "10d"})
    report("playbook, built-in router", lambda: len(run_one(playbook).requests["request"]))
    full = Scenario.load("playbook-full").with_values({"horizon": "2d"})
    for name, scenario in {"limits, queue, cache, hedging, streaming": without(full), "full": full}.items():
        report(
            f"playbook, {name}",
            lambda scenario=scenario: len(run_one(scenario).requests["request"]),
            rounds=3,
        )
