"""Deployments: one model served at one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from simsla.distributions import LogNormal, nearest
from simsla.routing import Deployment
from simsla.scenario.accounts import RateLimits
from simsla.scenario.addresses import BaseUrl, MadeUpKey
from simsla.scenario.fields import Frozen, FrozenDict, Model, Name, refuse
from simsla.scenario.latency import Latency
from simsla.scenario.prices import Price, PriceOrReference
from simsla.scenario.quality import Quality
from simsla.scenario.quantities import Duration, Share, TimeDist, Whole
from simsla.scenario.service import Service

__all__ = ["ERROR_KINDS", "Billing", "DeploymentSpec", "Latency", "Tier"]

Tier = Literal["economy", "standard", "premium"]
BillingRule = Literal["generated", "full", "none"]

ERROR_KINDS = ("400", "429", "500", "503", "connect", "hang", "cut", "malformed")
"""How an attempt can fail by itself: an HTTP status, no connection, accepted and never answered, broken off
within the answer, answered with what cannot be read."""


class Billing(Model):
    """What an attempt costs that is not answered as it should be: the prompt and the tokens `generated` so
    far, the `full` price of the whole answer, or nothing (`none`).

    Attempts that were turned away (429, 400, no connection), or never began to be served, cost nothing.
    """

    cancelled: BillingRule = "generated"
    """Broken off by the caller: the client left, its deadline passed, or it was the loser of a hedge."""
    timed_out: BillingRule = "generated"
    """Broken off at a limit of `Timeouts`."""
    cut: BillingRule = "generated"
    """Broken off by the deployment within its answer."""
    malformed: BillingRule = "full"
    """Answered with what cannot be read: for the deployment an answer like any other."""
    errors: BillingRule = "none"
    """Accepted and answered with a 5xx, before any token: where it is `generated`, the prompt is billed."""


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


class DeploymentSpec(RateLimits):
    """One model served at one place, as the world has it.

    Its limits on rate hold besides those of its account.
    """

    model: Name
    provider: str | None = None
    account: str | None = None
    """The account by which it is called, whose limits it shares with others (see Account)."""
    region: str | None = None
    tier: Tier = "standard"
    components: tuple[str, ...] = ()
    """Further components it depends on, besides its provider and its region."""
    base_url: BaseUrl | None = None
    """Where it is called over HTTP; None: at OpenAI's own address."""
    api_key_env: str | None = None
    """The name of an environment variable, never a key."""
    api_key: MadeUpKey | None = None
    """A made-up key, never a real one: the one written in the code under test, which tells it from others at
    the same address."""
    context_window: Annotated[Whole, Field(ge=1)] | None = None
    capabilities: tuple[Name, ...] = ()
    """All that it can do beyond plain text, such as vision, tools, json."""
    price: PriceOrReference = Price()
    latency: Latency
    errors: Errors = Field(default_factory=FrozenDict)
    """The share of attempts that fail by themselves, by kind (see ERROR_KINDS)."""
    error_latency: TimeDist = LogNormal.of(mean=0.25, p99=1.0)
    """Seconds to an HTTP error or a refused connection."""
    retry_after_s: Duration | None = Field(default=None, alias="retry_after")
    """Sent with a 429 or 503."""
    max_concurrency: Annotated[Whole, Field(ge=1)] | None = None
    queue_limit: Annotated[Whole, Field(ge=0)] | None = None
    """Attempts that may wait for a slot; beyond it they get a 429. None: any number."""
    service: Service | None = None
    """How load slows it down; None: not at all. Latencies are those of an attempt that is alone."""
    billing: Billing = Billing()
    quality: Quality | None = None
    """How good its answers are; None: it is not known, of any deployment."""

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _queue_needs_slots(self) -> Self:
        if self.queue_limit is not None and self.max_concurrency is None:
            raise refuse("no queue_limit without max_concurrency", self.queue_limit, below="queue_limit")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_env is not None:
            raise refuse("no api_key beside api_key_env", below="api_key")
        return self

    @property
    def name(self) -> str:
        """The deployment's key in the scenario."""
        return self._name

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The components it depends on: provider, region, account and the others, each once."""
        own = [name for name in (self.provider, self.region, self.account) if name is not None]
        return tuple(dict.fromkeys([*own, *self.components]))

    def to_deployment(self, on: date | None = None) -> Deployment:
        """What a router may know of it; its price is the one of this day, without hours and caches."""
        usd_per_mtok_in, usd_per_mtok_out = self.price.at(on)
        return Deployment(
            name=self.name,
            model=self.model,
            provider=self.provider,
            region=self.region,
            tier=self.tier,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            usd_per_mtok_in=usd_per_mtok_in,
            usd_per_mtok_out=usd_per_mtok_out,
            context_window=self.context_window,
            max_concurrency=self.max_concurrency,
            components=self.dependencies,
            capabilities=self.capabilities,
        )
