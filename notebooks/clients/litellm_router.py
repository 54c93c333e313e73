"""litellm.Router in the world of notebook 07, and what came of it.

litellm narrows down the versions of much else, so it is best given an environment of its own; where it cannot
be imported, the notebook reads a result that is kept beside this file. In an environment with
`simsla[litellm]`, in the folder `notebooks`:

    python -m clients.litellm_router

makes it anew, in a few minutes. A test runs the same and compares.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import simsla

HERE = Path(__file__).parent
WORLD = HERE / "world.yaml"
KEPT = HERE / "litellm_router.json"
SEED = 1

# The limit of time and the way down are those of the built-in router. A model group is named by its tier.
ROUTING = {
    "policy": "simsla.integrations.litellm_router:policy",
    "options": {
        "router_settings": {
            "timeout": 8,
            "num_retries": 2,
            "allowed_fails": 2,
            "cooldown_time": 30,
            "fallbacks": [{"premium": ["standard"]}, {"standard": ["economy"]}],
        }
    },
}
METRICS = ("availability", "latency_p50_s", "latency_p99_s", "cost_usd_per_1k_requests", "amplification")


def simulated(replications: int | None = None) -> simsla.Result:
    """The result of so many replications, by default the scenario's number."""
    world = simsla.Scenario.load(WORLD).with_values({"routing": ROUTING})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(world, seed=SEED, replications=replications, progress=False)


def to_keep(result: simsla.Result) -> dict[str, Any]:
    """What the notebook shows of a result; it is the part of `simsla run --json` of these names."""
    data = result.to_dict()
    kept = ("seed", "replications", "requests", "attempts", "fidelity", "http_calls", "outcomes")
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("litellm", "openai")},
        **{name: data[name] for name in kept},
        "metrics": {name: data["metrics"][name] for name in METRICS},
        "sdk_retries_by_replication": [run.sdk_retries for run in result.runs],
        "http_calls_by_replication": [run.http_calls for run in result.runs],
    }


if __name__ == "__main__":
    KEPT.write_text(json.dumps(to_keep(simulated()), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {KEPT}\n")
