"""Clients who do not take no for an answer."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from simsla.scenario.fields import Model, refuse
from simsla.scenario.quantities import Duration, Number, TimeDist, Whole

__all__ = ["Client", "ClientBackoff", "ClientBudget"]

Retriable = Literal["error", "timeout", "shed"]


class ClientBackoff(Model):
    """The wait before retry n (from 0): min(cap, base 2^n), or a random part of it.

    `jitter` as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): `full` is uniform from 0,
    `equal` from the half, `none` is all of it.
    """

    base_s: Duration = Field(default=1.0, alias="base")
    cap_s: Duration = Field(default=30.0, alias="cap")
    jitter: Literal["full", "equal", "none"] = "full"

    def longest_s(self, retry: int) -> float:
        """The wait before retry number `retry` (from 0) without jitter."""
        return min(self.cap_s, self.base_s * 2.0 ** min(retry, 1000))

    def delay_s(self, retry: int, u: float) -> float:
        """The wait before retry number `retry` (from 0) at the uniform `u`."""
        longest_s = self.longest_s(retry)
        if self.jitter == "full":
            return u * longest_s
        return longest_s if self.jitter == "none" else (0.5 + 0.5 * u) * longest_s


class ClientBudget(Model):
    """A limit on the retries of all clients of a class together: `{ratio: 0.1, burst: 10}`.

    Every first request adds `ratio` to an account that holds at most `burst`, and at the beginning of a run
    does; a retry takes 1, and is not made if less is left. In the long run there are at most 1 + ratio
    requests per intent (Finagle's RetryBudget; "Site Reliability Engineering", 2016, chapter 21).
    """

    ratio: Annotated[Number, Field(ge=0)]
    burst: Annotated[Number, Field(ge=1)] = 10.0


def each_once(names: tuple[Retriable, ...]) -> tuple[Retriable, ...]:
    if len(set(names)) < len(names):
        raise refuse("each outcome once", list(names))
    return names


class Client(Model):
    """What the clients of a class do by themselves: time out, and ask again.

    `{retries: 3, on: [error, timeout, shed], backoff: {base: 1s, cap: 30s, jitter: full}, timeout: 20,
    budget: {ratio: 0.1}}`

    A retry is a new request with a number, a deadline and a row of its own: the router cannot tell it from
    another. It is about the same and as long, and is credited to the intent of the first (`records.intents`).
    A client whose patience ends asks no more; with retries, patience counts from the first request.
    """

    retries: Annotated[Whole, Field(ge=0, le=1000)] = 0
    on: Annotated[tuple[Retriable, ...], AfterValidator(each_once), Field(min_length=1)] = (
        "error",
        "timeout",
        "shed",
    )
    """The outcomes after which it asks again."""
    backoff: ClientBackoff = Field(default_factory=ClientBackoff)
    budget: ClientBudget | None = None
    """None: every client makes all its retries, whatever the others do."""
    timeout: TimeDist | None = None
    """Seconds for which it waits for each request, which then counts as timed out; the class's deadline,
    which the service keeps, holds besides."""
    cancels: Annotated[bool, Field(strict=True)] = True
    """Whether the service learns that a client has stopped waiting before the deadline. False: it works on
    for nobody, as behind a proxy that does not notice, until the policy itself ends the work."""

    @model_validator(mode="before")
    @classmethod
    def _yaml_1_1(cls, data: Any) -> Any:
        """In YAML 1.1 the word `on`, if it is not quoted, is another way to write true: as a key, too."""
        if isinstance(data, dict) and True in data and "on" not in data:
            return {"on" if key is True else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.retries == 0 and self.timeout is None and self.cancels:
            raise refuse("retries, a timeout or cancels: false (a client without them needs no section)")
        return self

    def longest_s(self, deadline_s: float) -> float:
        """Seconds from the arrival of an intent by which its last retry has ended."""
        waits = math.fsum(self.backoff.longest_s(retry) for retry in range(self.retries))
        return (self.retries + 1) * deadline_s + waits
