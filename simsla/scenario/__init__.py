"""The declarative description of a world, its traffic, its routing policy and its objectives."""

from __future__ import annotations

from simsla.scenario.accounts import Account
from simsla.scenario.arrivals import GammaArrivals, MmppArrivals, SessionArrivals
from simsla.scenario.arrivals_dispersion import Dispersion
from simsla.scenario.arrivals_shape import Profile, Surge
from simsla.scenario.clients import Client
from simsla.scenario.components import Component, Region
from simsla.scenario.deployments import Billing, DeploymentSpec, Latency
from simsla.scenario.errors import Problem, ScenarioError
from simsla.scenario.faults import Episode, Fault, Flapping, Only, Rollback
from simsla.scenario.files import shipped
from simsla.scenario.gateway import Autoscaler, Gateway
from simsla.scenario.objectives import Objective
from simsla.scenario.prices import Price, PriceCard, price_card
from simsla.scenario.regions import Network, Partition
from simsla.scenario.scenario import Scenario
from simsla.scenario.schedule import Event
from simsla.scenario.traces import Trace, TraceError, load_trace
from simsla.scenario.traffic import PoissonArrivals, RequestClass, Topics, TraceArrivals

__all__ = [
    "Account",
    "Autoscaler",
    "Billing",
    "Client",
    "Component",
    "DeploymentSpec",
    "Dispersion",
    "Episode",
    "Event",
    "Fault",
    "Flapping",
    "GammaArrivals",
    "Gateway",
    "Latency",
    "MmppArrivals",
    "Network",
    "Objective",
    "Only",
    "Partition",
    "PoissonArrivals",
    "Price",
    "PriceCard",
    "Problem",
    "Profile",
    "Region",
    "RequestClass",
    "Rollback",
    "Scenario",
    "ScenarioError",
    "SessionArrivals",
    "Surge",
    "Topics",
    "Trace",
    "TraceArrivals",
    "TraceError",
    "load_trace",
    "price_card",
    "shipped",
]
