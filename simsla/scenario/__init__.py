"""The declarative description of a world, its traffic, its routing policy and its objectives."""

from __future__ import annotations

from simsla.scenario.components import Component, Episode, Fault, Region
from simsla.scenario.deployments import Billing, DeploymentSpec, Latency
from simsla.scenario.errors import Problem, ScenarioError
from simsla.scenario.files import shipped
from simsla.scenario.objectives import Objective
from simsla.scenario.prices import Price, PriceCard, price_card
from simsla.scenario.scenario import Scenario
from simsla.scenario.traces import Trace, TraceError, load_trace
from simsla.scenario.traffic import PoissonArrivals, RequestClass, Topics, TraceArrivals

__all__ = [
    "Billing",
    "Component",
    "DeploymentSpec",
    "Episode",
    "Fault",
    "Latency",
    "Objective",
    "PoissonArrivals",
    "Price",
    "PriceCard",
    "Problem",
    "Region",
    "RequestClass",
    "Scenario",
    "ScenarioError",
    "Topics",
    "Trace",
    "TraceArrivals",
    "TraceError",
    "load_trace",
    "price_card",
    "shipped",
]
