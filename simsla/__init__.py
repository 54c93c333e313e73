"""Whether an LLM routing policy will keep its SLA, at what tail latency, at what price.

simsla executes the real asyncio router in virtual time, against a simulated world of regions, providers and
models, and reports availability, latency tails and cost, each with an interval.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsla.analysis import Estimate, SimslaWarning
    from simsla.analysis.assessment import Assessment, assess
    from simsla.analysis.windows import RareResult, estimate_availability
    from simsla.plots import plot_availability_curve, plot_latency, plot_timeline
    from simsla.routing import RoutingPolicy
    from simsla.run import Result, simulate
    from simsla.scenario import Scenario, ScenarioError
    from simsla.simulation import PolicyError
    from simsla.studies import Study, sweep
    from simsla.world.faults import timeline

__version__ = "0.1.0"

# Loaded when first asked for (PEP 562), so that `simsla.routing` can be deployed without the rest.
_HOMES = {
    "Assessment": "simsla.analysis.assessment",
    "Estimate": "simsla.analysis",
    "PolicyError": "simsla.simulation",
    "RareResult": "simsla.analysis.windows",
    "Result": "simsla.run",
    "RoutingPolicy": "simsla.routing",
    "Scenario": "simsla.scenario",
    "ScenarioError": "simsla.scenario",
    "SimslaWarning": "simsla.analysis",
    "Study": "simsla.studies",
    "estimate_availability": "simsla.analysis.windows",
    "assess": "simsla.analysis.assessment",
    "plot_availability_curve": "simsla.plots",
    "plot_latency": "simsla.plots",
    "plot_timeline": "simsla.plots",
    "simulate": "simsla.run",
    "sweep": "simsla.studies",
    "timeline": "simsla.world.faults",
}

__all__ = [
    "Assessment",
    "Estimate",
    "PolicyError",
    "RareResult",
    "Result",
    "RoutingPolicy",
    "Scenario",
    "ScenarioError",
    "SimslaWarning",
    "Study",
    "assess",
    "estimate_availability",
    "plot_availability_curve",
    "plot_latency",
    "plot_timeline",
    "simulate",
    "sweep",
    "timeline",
]

_SUBPACKAGES = (
    "analysis",
    "distributions",
    "plots",
    "records",
    "routing",
    "run",
    "scenario",
    "simulation",
    "studies",
    "testing",
    "virtualtime",
    "world",
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"simsla.{name}")
    raise AttributeError(f"module 'simsla' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_SUBPACKAGES])
