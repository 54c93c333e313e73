"""Traffic: what arrives, when, and how long it is willing to wait."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from simsla.scenario.deployments import Tier
from simsla.scenario.fields import Dist, Model, Name, ShareDist, refuse
from simsla.scenario.quantities import Number, PositiveDuration, Rate, Share, Whole
from simsla.scenario.traces import Trace, TraceError, load_trace

__all__ = ["PoissonArrivals", "RequestClass", "Topics", "TraceArrivals"]


class PoissonArrivals(Model):
    """A Poisson process."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Rate = Field(alias="rate")

    def mean_rate_per_s(self) -> float:
        """Requests per second in the long run."""
        return self.rate_per_s


def readable_trace(value: str, info: ValidationInfo) -> str:
    """The absolute path of a trace that can be read, relative ones being relative to the scenario's file."""
    base_dir = info.context.get("base_dir") if info.context else None
    path = ((Path(base_dir) if base_dir is not None else Path()) / value).resolve()
    try:
        load_trace(path)
    except TraceError as error:
        raise refuse(error.expectation, error.value, error.suggestion) from None
    return str(path)


def ordered(share: tuple[float, float]) -> tuple[float, float]:
    if share[0] >= share[1]:
        raise refuse("a lower and a higher edge", list(share))
    return share


class TraceArrivals(Model):
    """A replayed trace: arrival times and lengths of requests that really were.

    A class takes the share of the rows whose keyed uniform falls into [share[0], share[1]), so classes with
    adjoining shares divide a trace between them, row by row at random.
    """

    kind: Literal["trace"]
    path: Annotated[str, AfterValidator(readable_trace)]
    share: Annotated[tuple[Share, Share], AfterValidator(ordered)] = (0.0, 1.0)

    def load(self) -> Trace:
        """The trace itself, cached by path and time of modification."""
        return load_trace(self.path)

    def mean_rate_per_s(self) -> float:
        """Requests per second over the span of the trace."""
        trace = self.load()
        return len(trace) * (self.share[1] - self.share[0]) / trace.span_s


def weights(value: object) -> Any:
    if isinstance(value, str):
        return ((value, 1.0),)
    if isinstance(value, Mapping):
        return tuple(value.items())
    if value is None or isinstance(value, tuple):
        return value if value is not None else ()
    raise refuse("a region, or a mapping of regions to weights", value)


def some_weight(regions: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    for name, weight in regions:
        if weight < 0:
            raise refuse("a weight >= 0", weight, below=(name,))
    if regions and not math.fsum(weight for _, weight in regions) > 0:
        raise refuse("a weight above 0", dict(regions))
    return regions


Regions = Annotated[
    tuple[tuple[str, Number], ...],
    BeforeValidator(weights),
    AfterValidator(some_weight),
    PlainSerializer(dict, return_type=dict[str, float]),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
            ]
        }
    ),
]


class Topics(Model):
    """What the requests of a class are about, so that a cache has something to find.

    Topic k is asked about in proportion to k^-zipf. Each has `paraphrases` wordings, equally likely, which
    have most words in common, and a near topic: another question in the same words but one.
    """

    count: Annotated[Whole, Field(ge=1, le=1_000_000)]
    """How many there are, near ones not counted."""
    zipf: Annotated[Number, Field(ge=0)] = 1.0
    """The exponent of their popularity; 0: all alike. Queries of search engines have about 1."""
    paraphrases: Annotated[Whole, Field(ge=1)] = 5
    """Wordings of a topic; 1: it is always asked in the same words."""
    near_misses: Share = 0.1
    """The share of requests about the near topic of the one that was drawn, which only a careful cache tells
    apart; 0: there are no near topics."""
    words: Annotated[Whole, Field(ge=4, le=1000)] = 12
    """The length of the question; what is longer in a prompt is the same for all."""


class RequestClass(Model):
    """A kind of traffic."""

    arrivals: Annotated[PoissonArrivals | TraceArrivals, Field(discriminator="kind")]
    prompt_tokens: Dist | None = None
    output_tokens: Dist | None = None
    """Lengths, drawn per request; a trace has its own."""
    max_tokens: Annotated[Whole, Field(ge=1)] | None = None
    tier: Tier | None = None
    complexity: ShareDist | None = None
    deadline_s: PositiveDuration = Field(default=120.0, alias="deadline")
    """From arrival; a request that is not answered by then counts as timed out."""
    patience: Dist | None = None
    """The client gives up after this long."""
    stream: Annotated[bool, Field(strict=True)] = False
    priority: Whole = 0
    region: Regions = ()
    """Where requests come from: pairs of a region and a relative weight."""
    needs: tuple[Name, ...] = ()
    """The capabilities without which a deployment cannot answer, such as vision, tools, json."""
    topics: Topics | None = None
    """What requests are about; None: nothing in particular, and no two are alike."""

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        replayed = isinstance(self.arrivals, TraceArrivals)
        for name in ("prompt_tokens", "output_tokens"):
            given = getattr(self, name)
            if given is None and not replayed:
                raise refuse("a value (required unless a trace is replayed)", below=name)
            if given is not None and replayed:
                raise refuse(f"no {name} beside a trace, which has its own", given.to_spec(), below=name)
        return self

    @property
    def name(self) -> str:
        """The class's key in the scenario."""
        return self._name
