"""Arrival processes: when the requests of a class come."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from simsla.distributions import Distribution
from simsla.scenario.arrivals_dispersion import Dispersion, Phase, two_phases
from simsla.scenario.arrivals_shape import Profile, Surge
from simsla.scenario.fields import Dist, Model, refuse
from simsla.scenario.quantities import Number, PositiveDuration, Rate, TimeDist, Whole, rate_per_s

__all__ = ["GammaArrivals", "MmppArrivals", "MmppState", "PoissonArrivals", "SessionArrivals"]


class Shaped(Model):
    """What every process with a rate may have: a profile of its rate in time, and surges on top of it."""

    profile: Profile | None = None
    surges: tuple[Surge, ...] = ()

    @property
    def steady(self) -> bool:
        """Whether the rate is the same, or fluctuates in the same way, at all times."""
        return self.profile is None and not self.surges


class PoissonArrivals(Shaped):
    """A Poisson process, of constant rate unless it has a profile, surges or a dispersion.

    `{kind: poisson, rate: 20000/d, profile: {daily: {"04:00": .3, "14:00": 1.6}, weekly: {sat: .6, sun: .5}},
    surges: [{at: 2h, for: 10min, factor: 8, ramp: 1min}], dispersion: {index: 16, window: 60s}}`
    """

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Rate = Field(alias="rate")
    """In the long run, surges not counted."""
    dispersion: Dispersion | None = None

    def mean_rate_per_s(self) -> float:
        """Requests per second in the long run."""
        return self.rate_per_s

    def phases(self) -> tuple[Phase, ...]:
        """The states that modulate the rate; none for a process without dispersion."""
        if self.dispersion is None:
            return ()
        return two_phases(self.rate_per_s, self.dispersion.index, self.dispersion.window_s)


def rate_or_none(value: object) -> float:
    """A rate, or 0."""
    return 0.0 if value == 0 and not isinstance(value, bool) else rate_per_s(value)


class MmppState(Model):
    """A state of a modulated Poisson process: `{rate: 20/s, mean: 1min}`."""

    rate_per_s: Annotated[
        float, BeforeValidator(rate_or_none), WithJsonSchema({"type": ["number", "string"]})
    ] = Field(alias="rate")
    """Arrivals per second while it lasts; 0 in an idle state."""
    mean_s: PositiveDuration = Field(alias="mean")
    """Its mean duration; durations are exponential."""


class MmppArrivals(Shaped):
    """A Markov-modulated Poisson process.

    `{kind: mmpp, states: [{rate: 2, mean: 10min}, {rate: 20, mean: 1min}]}`. A state is followed by any of
    the others, each as likely. The share of time of a state is that of its mean duration in the sum of all.
    """

    kind: Literal["mmpp"]
    states: Annotated[tuple[MmppState, ...], Field(min_length=2, max_length=32)]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.mean_rate_per_s() > 0:
            raise refuse("a state with a rate above 0", below="states")
        return self

    def mean_rate_per_s(self) -> float:
        """Requests per second in the long run."""
        total_s = math.fsum(state.mean_s for state in self.states)
        return math.fsum(state.rate_per_s * state.mean_s for state in self.states) / total_s

    def phases(self) -> tuple[Phase, ...]:
        """The states that modulate the rate."""
        return tuple(Phase(state.rate_per_s, state.mean_s) for state in self.states)


class GammaArrivals(Shaped):
    """A renewal process: the times between arrivals are independent and gamma distributed.

    `{kind: gamma, rate: 5/s, cv: 3}`. With cv = 1 it is a Poisson process, above 1 it comes in bursts, below
    1 it is more regular. The index of dispersion tends to cv^2 in long windows. A profile and surges stretch
    time: where the rate is twice as high, everything happens in half the time, bursts and lulls too.
    """

    kind: Literal["gamma"]
    rate_per_s: Rate = Field(alias="rate")
    cv: Annotated[Number, Field(gt=0, le=100)]
    """Standard deviation / mean of the times between arrivals, where the rate does not change."""

    def mean_rate_per_s(self) -> float:
        """Requests per second in the long run, surges not counted."""
        return self.rate_per_s


class SessionArrivals(Model):
    """A closed loop: users who ask, read the answer and ask again.

    `{kind: sessions, users: 200, think: {kind: exponential, mean: 30}, requests_per_session: 8, pause: 1h}`

    A user's next request comes the think time after the end of the one before, whatever its outcome (with
    `client.retries`, after the last of its retries). After a session's last request comes the pause, and then
    a new session. A slow or failing system is therefore asked less often. All users begin in the middle of a
    think time.
    """

    kind: Literal["sessions"]
    users: Annotated[Whole, Field(ge=1, le=1_000_000)]
    think: TimeDist
    """Seconds between the end of a request and the user's next one."""
    requests_per_session: Dist
    """Rounded to whole requests, at least one."""
    pause: TimeDist | None = None
    """Seconds between sessions; None: the think time."""

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        for name in ("think", "pause"):
            given = getattr(self, name)
            if given is not None and not given.mean() > 0:
                raise refuse("a distribution with a mean above 0", given.to_spec(), below=name)
        return self

    @property
    def between(self) -> Distribution:
        """Seconds between sessions."""
        return self.think if self.pause is None else self.pause

    def mean_rate_per_s(self) -> float:
        """Requests per second if they were answered at once: the most there can be in the long run."""
        requests = max(1.0, self.requests_per_session.mean())
        cycle_s = (requests - 1) * self.think.mean() + self.between.mean()
        return self.users * requests / cycle_s

    @property
    def steady(self) -> bool:
        """It fluctuates in the same way at all times."""
        return True
