"""The scenario: everything a run needs to know, immutable and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from simsla.routing import ConfigError, RoutingPolicy
from simsla.scenario import render
from simsla.scenario.accounts import AccountOrNone
from simsla.scenario.cache import CacheStore
from simsla.scenario.components import Component, ComponentOrNone, RegionOrNone
from simsla.scenario.deployments import DeploymentSpec
from simsla.scenario.errors import Problem, ScenarioError, location_of
from simsla.scenario.factories import factory_as_written, factory_name
from simsla.scenario.fields import Frozen, FrozenDict, Model, Name, refuse
from simsla.scenario.files import find_scenario
from simsla.scenario.gateway import Gateway
from simsla.scenario.instants import DEFAULT_START, Start
from simsla.scenario.names import dangling_names
from simsla.scenario.objectives import Objective
from simsla.scenario.plain import Refusal, assign, plain
from simsla.scenario.problems import problems_of
from simsla.scenario.quality import untold
from simsla.scenario.quantities import Duration, PositiveDuration, Whole, format_duration
from simsla.scenario.regions import Network
from simsla.scenario.schedule import Event, Verbs
from simsla.scenario.schema import ROUTING_MARK, complete_schema
from simsla.scenario.traces import TraceError, load_trace
from simsla.scenario.traffic import RequestClass, TraceArrivals
from simsla.scenario.yaml_reader import line_of, read_yaml

__all__ = ["Scenario"]

N = TypeVar("N", DeploymentSpec, RequestClass)


def named(entries: dict[str, N]) -> dict[str, N]:
    """Tell every entry its own name; copies, because an entry may be given under two names."""
    copies = {name: entry.model_copy() for name, entry in entries.items()}
    for name, copy in copies.items():
        copy._name = name
    return FrozenDict(copies)


def routing(value: object) -> RoutingPolicy | str:
    """The built-in router's configuration, or the name of a factory, which is never imported here."""
    if isinstance(value, RoutingPolicy):
        return value
    if not isinstance(value, Mapping):
        raise refuse("a mapping: a routing policy, or {policy: package.module:factory}", value)
    if "policy" in value:
        return factory_name(value)
    try:
        return RoutingPolicy.from_dict(value, path="")
    except ConfigError as error:
        at = location_of(error.path, value)
        raise refuse(error.expected, error.value, error.suggestion, at) from None


def routing_as_written(value: RoutingPolicy | str) -> dict[str, Any]:
    return factory_as_written(value) if isinstance(value, str) else value.to_dict()


Routing = Annotated[
    RoutingPolicy | str,
    PlainValidator(routing),
    PlainSerializer(routing_as_written, return_type=dict[str, Any]),
    WithJsonSchema(ROUTING_MARK),
]


class Scenario(Model):
    """A world, its traffic, the policy that routes it and what is promised.

    Made by `Scenario.load` or `Scenario.from_dict`, which raise ScenarioError with everything that is wrong.
    """

    name: Name = "scenario"
    description: str = ""
    horizon_s: PositiveDuration = Field(alias="horizon")
    """Requests arrive from 0 to here."""
    warmup_s: Duration = Field(default=0.0, alias="warmup")
    """Requests that arrive before are simulated and not counted."""
    start: Start = DEFAULT_START
    """The moment at which absolute time is 0: prices, hours and daily profiles count from it."""
    replications: Annotated[Whole, Field(ge=1)] = 20
    """How many independent runs, unless the caller says otherwise."""
    components: Frozen[Name, ComponentOrNone] = Field(default_factory=FrozenDict)
    regions: Frozen[Name, RegionOrNone] = Field(default_factory=FrozenDict)
    accounts: Frozen[Name, AccountOrNone] = Field(default_factory=FrozenDict)
    deployments: Annotated[dict[Name, DeploymentSpec], Field(min_length=1), AfterValidator(named)]
    traffic: Annotated[dict[Name, RequestClass], Field(min_length=1), AfterValidator(named)]
    routing: Routing = Field(default_factory=RoutingPolicy)
    objectives: tuple[Objective, ...] = ()
    gateway: Gateway | None = None
    """The pods of the gateway; None: it has room for everything, and takes no time."""
    network: Network | None = None
    """The distances between regions; None: there are none."""
    cache: CacheStore | None = None
    """The store behind the policy's semantic cache; None: an index in the router's own memory."""
    crews: Frozen[Name, Annotated[Whole, Field(ge=1)]] = Field(default_factory=FrozenDict)
    """How many can repair at a time, by the name of the crew to which components refer."""
    schedule: tuple[Event, ...] = ()
    """What happens to components at appointed times, besides their own faults."""

    @model_validator(mode="wrap")
    @classmethod
    def _every_problem(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if isinstance(data, cls):
            return data
        problems = list(dangling_names(data)) if isinstance(data, dict) else []
        scenario = None
        try:
            scenario = handler(data)
        except ValidationError as error:
            problems = problems_of(error, cls) + problems
        if scenario is not None:
            problems += scenario._inconsistencies()
        if problems or scenario is None:
            raise ScenarioError("scenario", problems)
        return scenario

    def _inconsistencies(self) -> list[Problem]:
        """What can only be said of a scenario whose every part is possible."""
        problems = []
        if self.warmup_s >= self.horizon_s:
            horizon = format_duration(self.horizon_s)
            problems.append(Problem(("warmup",), f"a duration below the horizon ({horizon})", self.warmup_s))
        names = [objective.name for objective in self.objectives]
        for i, name in enumerate(names):
            if name in names[:i]:
                problems.append(Problem(("objectives", i, "name"), "each name once", name))
        problems += self._replayed_twice()
        problems += untold(self.deployment_specs)
        if self.gateway is not None and not self.behind_gateway:
            expected = "a deployment that depends on a component of kind gateway, or no gateway section"
            problems.append(Problem(("gateway",), expected))
        if isinstance(self.routing, RoutingPolicy):
            if self.cache is not None and self.routing.cache is None:
                problems.append(Problem(("cache",), "a policy with routing.cache, or no cache section"))
            try:
                self.routing.check([spec.to_deployment() for spec in self.deployment_specs], path="routing")
            except ConfigError as error:
                at = location_of(error.path, {"routing": self.routing.to_dict()})
                problems.append(Problem(at, error.expected, error.value, error.suggestion))
        return problems

    def _replayed_twice(self) -> list[Problem]:
        shares = sorted(
            (request_class.arrivals.path, *request_class.arrivals.share, name)
            for name, request_class in self.traffic.items()
            if isinstance(request_class.arrivals, TraceArrivals)
        )
        return [
            Problem(
                ("traffic", name, "arrivals", "share"), f"no overlap with the share of {other}", [low, high]
            )
            for (path_before, _, end_before, other), (path, low, high, name) in pairwise(shares)
            if path == path_before and low < end_before
        ]

    @classmethod
    def load(cls, path_or_name: str | Path) -> Scenario:
        """The scenario in a YAML file, or the shipped one of that name. Loading runs no code.

        Raises ScenarioError with every problem that was found.
        """
        source = find_scenario(path_or_name)
        data, node = read_yaml(source.text, source.origin)
        if isinstance(data, dict):
            data.setdefault("name", source.stem)
        try:
            return cls.from_dict(data, base_dir=source.base_dir, origin=source.origin)
        except ScenarioError as error:
            found = [
                Problem(p.location, p.expected, p.value, p.suggestion, line_of(node, p.location))
                for p in error.problems
            ]
            raise ScenarioError(source.origin, found) from None

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], base_dir: str | Path | None = None, origin: str = "scenario"
    ) -> Scenario:
        """The scenario that plain data describes; relative paths in it start at `base_dir`.

        Raises ScenarioError, calling the data `origin`, with every problem that was found.
        """
        if not isinstance(data, Mapping):
            raise ScenarioError(origin, [Problem((), "a mapping with keys such as traffic", data)])
        try:
            context = {"base_dir": base_dir, "start": data.get("start")}
            return cls.model_validate(plain(data), context=context)
        except Refusal as refusal:
            raise ScenarioError(origin, [refusal.problem]) from None
        except ValidationError as error:
            inner = error.errors()[0]["ctx"]["error"]
            raise ScenarioError(origin, inner.problems) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain, JSON-able data that `from_dict` reads back to an equal scenario; paths are absolute."""
        data: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return data

    def with_values(self, values: Mapping[str, Any]) -> Scenario:
        """This scenario with some values changed, by path: `{"routing.retry.max_attempts": 3}`.

        List items are counted from 0: `components.deepseek.faults.0.severity`, or `faults[0]`. The result is
        validated like any scenario. Raises ScenarioError, naming the nearest path where one does not exist.
        """
        data = self.to_dict()
        try:
            for path, value in values.items():
                assign(data, path, value)
        except Refusal as refusal:
            raise ScenarioError(self.name, [refusal.problem]) from None
        return Scenario.from_dict(data, origin=self.name)

    def with_trace(self, path: str | Path) -> Scenario:
        """This scenario with its traffic replaced by a trace's.

        The classes divide the rows in proportion to their present rates. Lengths are the trace's, the horizon
        is its span (its last request still arrives) and there is no warm-up. Raises ScenarioError.
        """
        try:
            trace = load_trace(path)
        except TraceError as error:
            problem = Problem((), error.expectation, error.value, error.suggestion)
            raise ScenarioError(str(path), [problem]) from None
        rates = [request_class.arrivals.mean_rate_per_s() for request_class in self.traffic.values()]
        edges = [math.fsum(rates[:i]) / math.fsum(rates) for i in range(len(rates))] + [1.0]
        data = self.to_dict()
        for i, request_class in enumerate(data["traffic"].values()):
            share = [edges[i], edges[i + 1]]
            request_class["arrivals"] = {"kind": "trace", "path": str(trace.path), "share": share}
            for name in ("prompt_tokens", "output_tokens", "length_correlation", "lengths"):
                request_class.pop(name, None)
        data |= {"horizon": math.nextafter(trace.span_s, math.inf), "warmup": 0.0}
        return Scenario.from_dict(data, origin=self.name)

    @property
    def deployment_specs(self) -> tuple[DeploymentSpec, ...]:
        """The deployments in the order of the scenario."""
        return tuple(self.deployments.values())

    @property
    def all_components(self) -> dict[str, Component]:
        """The components and, as components of kind `region` and `account`, the regions and the accounts."""
        regions = {name: region.as_component() for name, region in self.regions.items()}
        if self.network is not None:
            regions = self.network.divided(regions)
        accounts = {name: account.as_component() for name, account in self.accounts.items()}
        return {**self.components, **regions, **accounts}

    @property
    def world(self) -> Verbs:
        """What can be done to the world: `scenario.world.fail("openai", at="03:00", for_="20min")`, ..."""
        return Verbs(self)

    @property
    def behind_gateway(self) -> tuple[str, ...]:
        """The deployments that depend on a component of kind gateway, and so are behind its pods."""
        gateways = {name for name, component in self.components.items() if component.kind == "gateway"}
        return tuple(name for name, spec in self.deployments.items() if gateways & {*spec.dependencies})

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of a scenario file, for editors and other tools."""
        return complete_schema(Scenario.model_json_schema(by_alias=True))

    def __repr__(self) -> str:
        return render.as_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return render.as_html(self)
