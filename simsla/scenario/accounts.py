"""Accounts with a provider, and the limits on rate that it keeps."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from simsla.scenario.components import Component, Family, empty_if_none
from simsla.scenario.fields import Model, refuse
from simsla.scenario.quantities import PositiveDuration, Whole

__all__ = ["Account", "AccountOrNone", "RateLimits"]

PerMinute = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]


class RateLimits(Model):
    """What a provider grants per minute, kept by token buckets that start full.

    An attempt that does not fit gets a 429 at once, with the time until it would fit as its Retry-After, and
    uses up nothing. What is granted and left is in `Reply.metadata["headers"]` and in the error's `headers`.
    """

    rpm: PerMinute | None = None
    """Attempts per minute."""
    tpm: PerMinute | None = None
    """Tokens per minute: those of the prompt and the most asked for (`max_tokens`), or without that those of
    the answer. They are counted when the attempt arrives, as vendors do who must estimate."""
    burst_s: PositiveDuration | None = Field(default=None, alias="burst")
    """How long an unused allowance is kept: the buckets hold the grant of this time (a minute, unless given),
    at least one attempt."""

    @model_validator(mode="after")
    def _burst_of_something(self) -> Self:
        if self.burst_s is not None and not self.limits_rate:
            raise refuse("no burst without rpm or tpm", self.burst_s, below="burst")
        return self

    @property
    def limits_rate(self) -> bool:
        """Whether there is any limit on the rate."""
        return self.rpm is not None or self.tpm is not None


class Account(Family, RateLimits):
    """An account: a component on which its deployments depend, and limits that they share.

        accounts:
          team: {rpm: 500, tpm: 30000, burst: 1s, max_concurrency: 100}
        deployments:
          gpt-4o-us: {model: gpt-4o, account: team, ...}
          gpt-4o-eu: {model: gpt-4o, account: team, ...}

    Here both may be called 500 times a minute in all.
    """

    max_concurrency: Annotated[Whole, Field(ge=1)] | None = None
    """Attempts that may be queued or answered at once; beyond it they get a 429."""

    @property
    def limits_anything(self) -> bool:
        """Whether it can refuse an attempt."""
        return self.limits_rate or self.max_concurrency is not None

    def as_component(self) -> Component:
        """The account as a component."""
        return Component(
            kind="account", faults=self.faults, parent=self.parent, beta=self.beta, crew=self.crew
        )


AccountOrNone = Annotated[Account, BeforeValidator(empty_if_none)]
