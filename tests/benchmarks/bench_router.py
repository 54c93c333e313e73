"""What each feature of the router costs, as a share of the same simulation with every feature off.

Run by hand: `python tests/benchmarks/bench_router.py`. Each row is the median of alternating rounds against
the plain policy in the same run: 1.00 costs nothing. `naive` is a policy of three lines, for scale.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from simsla.routing import Timeouts
from simsla.scenario import Scenario
from simsla.simulation import run_one

ROUNDS = 7
PLAYBOOK = Scenario.load("playbook").with_values({"horizon": "12h", "warmup": 0})
BUDGET = {"ratio": 0.05}

FEATURES: dict[str, dict[str, Any]] = {
    "explain: false": {"explain": False},
    "retry_budget": {"retry_budget": {"kind": "finagle"}},
    "selection: peak_ewma": {"selection": {"kind": "peak_ewma"}},
    "breaker: ratio": {"breaker": {"kind": "ratio"}},
    "outlier": {"outlier": {}},
    "when_all_open: wait": {"when_all_open": {"kind": "wait"}},
    "limits: rpm": {"limits": {"each": {"rpm": 60000}}},
    "limits: gradient2": {"limits": {"adaptive": {"kind": "gradient2"}}},
    "spend": {"spend": {"per_day_usd": 10000}},
    "fallbacks": {"fallbacks": {"default": []}},
    "hedge: fixed": {"hedge": {"kind": "fixed", "delay_s": 20.0, "budget": BUDGET}},
    "hedge: percentile": {"hedge": {"kind": "percentile", "budget": BUDGET}},
    "cache": {"cache": {"threshold": 0.95}},
    "classify: rules": {"classify": {"kind": "rules"}},
    "quality": {"quality": {"human_review_share": 0.01, "automated_check_share": 0.05}},
    "queue": {"queue": {"max_concurrent": 1000}},
    "streaming": {"streaming": {}},
}


def naive(transport: Any) -> Any:
    """The first deployment, once."""
    first, timeouts = transport.deployments[0], Timeouts(total_s=30.0)

    async def handle(request: Any) -> Any:
        return await transport.send(request, first, timeouts=timeouts)

    return handle


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def ratio(run: Callable[[], object], plain: Callable[[], object]) -> float:
    """CPU of the one by that of the other, the median of rounds side by side."""
    return statistics.median(seconds(run) / seconds(plain) for _ in range(ROUNDS))


if __name__ == "__main__":

    def plain() -> object:
        return run_one(PLAYBOOK)

    plain()
    print(f"{'naive':24} {ratio(lambda: run_one(PLAYBOOK, naive), plain):.2f}")
    print(f"{'the same again':24} {ratio(plain, plain):.2f}")
    for name, values in FEATURES.items():
        scenario = PLAYBOOK.with_values({f"routing.{key}": value for key, value in values.items()})
        print(f"{name:24} {ratio(lambda scenario=scenario: run_one(scenario), plain):.2f}", flush=True)
