"""Deployments: one model served at one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from simsla.distributions import LogNormal, nearest
from simsla.routing import Deployment
from simsla.scenario.fields import Dist, Frozen, FrozenDict, Model, Name, refuse
from simsla.scenario.prices import Price, PriceOrReference
from simsla.scenario.quantities import Duration, Share, Whole

__all__ = ["ERROR_KINDS", "Billing", "DeploymentSpec", "Latency", "Tier"]

Tier = Literal["economy", "standard", "premium"]
BillingRule = Literal["generated", "full", "none"]

ERROR_KINDS = ("400", "429", "500", "503", "connect", "hang", "cut", "malformed")
"""How an attempt can fail by itself: an HTTP status, no connection, accepted and never answered, broken off
within the answer, answered with what cannot be read."""


class Latency(Model):
    """How long an answer takes: `first_token` plus output tokens x `per_token`, or one `total`."""

    first_token: Dist | None = None
    per_token: Dist | None = None
    total: Dist | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = {name for name in ("first_token", "per_token", "total") if getattr(self, name) is not None}
        if given not in ({"total"}, {"first_token", "per_token"}):
            found = " and ".join(sorted(given)) or "nothing"
            raise refuse(f"first_token and per_token, or total; found {found}")
        return self


class Billing(Model):
    """What an attempt that did not end costs: the prompt and the tokens generated so far, all, or nothing."""

    cancelled: BillingRule = "generated"
    timed_out: BillingRule = "generated"


def error_keys(value: object) -> object:
    """YAML reads a bare 429 as a number; it is a name."""
    if not isinstance(value, Mapping):
        return value
    named: dict[str, Any] = {}
    for key, share in value.items():
        name = str(key)
        if name not in ERROR_KINDS:
            raise refuse(f"one of {', '.join(ERROR_KINDS)}", key, nearest(name, ERROR_KINDS), (name,))
        if name in named:
            raise refuse("each kind of error once", key)
        named[name] = share
    return named


def at_most_one(shares: dict[str, float]) -> dict[str, float]:
    total = math.fsum(shares.values())
    if total > 1:
        raise refuse("shares that add up to at most 1", total)
    return shares


Errors = Annotated[Frozen[str, Share], BeforeValidator(error_keys), AfterValidator(at_most_one)]


class DeploymentSpec(Model):
    """One model served at one place, as the world has it."""

    model: Name
    provider: str | None = None
    region: str | None = None
    tier: Tier = "standard"
    components: tuple[str, ...] = ()
    """Further components it depends on, besides its provider and its region."""
    base_url: str | None = None
    api_key_env: str | None = None
    """The name of an environment variable, never a key."""
    context_window: Annotated[Whole, Field(ge=1)] | None = None
    capabilities: tuple[Name, ...] = ()
    """All that it can do beyond plain text, such as vision, tools, json."""
    price: PriceOrReference = Price()
    latency: Latency
    errors: Errors = Field(default_factory=FrozenDict)
    """The share of attempts that fail by themselves, by kind (see ERROR_KINDS)."""
    error_latency: Dist = LogNormal.of(mean=0.25, p99=1.0)
    """Seconds to an HTTP error or a refused connection."""
    retry_after_s: Duration | None = Field(default=None, alias="retry_after")
    """Sent with a 429 or 503."""
    max_concurrency: Annotated[Whole, Field(ge=1)] | None = None
    queue_limit: Annotated[Whole, Field(ge=0)] | None = None
    """Attempts that may wait for a slot; beyond it they get a 429. None: any number."""
    billing: Billing = Billing()

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _queue_needs_slots(self) -> Self:
        if self.queue_limit is not None and self.max_concurrency is None:
            raise refuse("no queue_limit without max_concurrency", self.queue_limit, below="queue_limit")
        return self

    @property
    def name(self) -> str:
        """The deployment's key in the scenario."""
        return self._name

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The components it depends on: provider, region and the others, each once."""
        own = [name for name in (self.provider, self.region) if name is not None]
        return tuple(dict.fromkeys([*own, *self.components]))

    def to_deployment(self) -> Deployment:
        """What a router may know of it."""
        return Deployment(
            name=self.name,
            model=self.model,
            provider=self.provider,
            region=self.region,
            tier=self.tier,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            usd_per_mtok_in=self.price.usd_per_mtok_in,
            usd_per_mtok_out=self.price.usd_per_mtok_out,
            context_window=self.context_window,
            max_concurrency=self.max_concurrency,
            components=self.dependencies,
            capabilities=self.capabilities,
        )
