"""Traffic: what arrives, when, and how long it is willing to wait."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from simsla.scenario.arrivals import GammaArrivals, MmppArrivals, PoissonArrivals, SessionArrivals
from simsla.scenario.arrivals_trace import LengthsFromTrace, TraceArrivals
from simsla.scenario.clients import Client
from simsla.scenario.deployments import Tier
from simsla.scenario.fields import Dist, Model, Name, ShareDist, refuse
from simsla.scenario.poison import PoisonOrShare
from simsla.scenario.quantities import Number, PositiveDuration, Share, TimeDist, Whole

__all__ = ["Arrivals", "PoissonArrivals", "RequestClass", "Topics", "TraceArrivals"]

Arrivals = PoissonArrivals | MmppArrivals | GammaArrivals | SessionArrivals | TraceArrivals


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

    arrivals: Annotated[Arrivals, Field(discriminator="kind")]
    prompt_tokens: Dist | None = None
    output_tokens: Dist | None = None
    """Lengths, drawn per request; a trace has its own."""
    length_correlation: Annotated[Number, Field(ge=-1, le=1)] | None = None
    """How long prompts go with long answers: the correlation of a Gaussian copula on the two lengths; None:
    they are independent. Their rank correlation is 6 / pi asin(rho / 2), about as much."""
    lengths: LengthsFromTrace | None = None
    """Both lengths resampled from a trace, in place of distributions."""
    max_tokens: Annotated[Whole, Field(ge=1)] | None = None
    tier: Tier | None = None
    complexity: ShareDist | None = None
    deadline_s: PositiveDuration = Field(default=120.0, alias="deadline")
    """From arrival; a request that is not answered by then counts as timed out."""
    patience: TimeDist | None = None
    """The client gives up after this long."""
    client: Client | None = None
    """What clients do by themselves: time out, and ask again; None: each asks once."""
    stream: Annotated[bool, Field(strict=True)] = False
    priority: Whole = 0
    region: Regions = ()
    """Where requests come from: pairs of a region and a relative weight."""
    needs: tuple[Name, ...] = ()
    """The capabilities without which a deployment cannot answer, such as vision, tools, json."""
    poison: PoisonOrShare | None = None
    """The share of requests that fail everywhere, every time."""
    topics: Topics | None = None
    """What requests are about; None: nothing in particular, and no two are alike."""

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        replayed = isinstance(self.arrivals, TraceArrivals)
        if replayed and self.lengths is not None:
            raise refuse("no lengths beside a trace, which has its own", below="lengths")
        drawn = not replayed and self.lengths is None
        elsewhere = "a trace" if replayed else "lengths out of a trace"
        for name in ("prompt_tokens", "output_tokens"):
            given = getattr(self, name)
            if given is None and drawn:
                raise refuse("a value (required unless a trace is replayed)", below=name)
            if given is not None and not drawn:
                raise refuse(f"no {name} beside {elsewhere}, which has its own", given.to_spec(), below=name)
        if self.length_correlation is not None and not drawn:
            expected = f"no correlation beside {elsewhere}, which has its own"
            raise refuse(expected, self.length_correlation, below="length_correlation")
        return self

    @property
    def longest_s(self) -> float:
        """Seconds from a request's arrival by which it, and every retry of its client, has ended."""
        return self.deadline_s if self.client is None else self.client.longest_s(self.deadline_s)

    @property
    def name(self) -> str:
        """The class's key in the scenario."""
        return self._name
