"""How long answers take: what is drawn for each, and what moves with time for all."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from simsla.scenario.fields import Frozen, FrozenDict, Model, refuse
from simsla.scenario.instants import TimeOfDay
from simsla.scenario.quantities import Number, PositiveDuration, TimeDist

__all__ = ["Correlation", "Latency"]

Factor = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]


class Correlation(Model):
    """A level that wanders in time, because measured latencies are not independent of one another.

        latency:
          first_token: {kind: lognormal, median: 0.4, p99: 0.7}
          per_token: {kind: lognormal, median: 12, p99: 20, unit: ms}
          correlation: {sigma: 0.3, time_constant: 10min}

    All latencies of the deployment are multiplied by exp(x(t) - sigma^2 / 2), whose mean is 1, where x is an
    Ornstein-Uhlenbeck process: normal with standard deviation sigma, its autocorrelation at a distance of d
    seconds exp(-d / time_constant).
    """

    sigma: Annotated[Number, Field(gt=0)]
    time_constant_s: PositiveDuration = Field(alias="time_constant")


def each_once(profile: dict[float, float]) -> dict[float, float]:
    if len({time % 86_400 for time in profile}) < len(profile):
        raise refuse("each time of day once (24:00 is 00:00)", sorted(profile))
    return profile


class Latency(Model):
    """How long an answer takes: `first_token` plus output tokens x `per_token`, or one `total`."""

    first_token: TimeDist | None = None
    per_token: TimeDist | None = None
    total: TimeDist | None = None
    correlation: Correlation | None = None
    profile: Annotated[Frozen[TimeOfDay, Factor], AfterValidator(each_once)] = Field(
        default_factory=FrozenDict
    )
    """Factors by time of day (UTC), straight lines between them and on past midnight:
    {"04:00": 0.8, "15:00": 1.4}."""
    drift_per_day: Annotated[Number, Field(gt=-1)] = 0.0
    """The share by which latencies grow from one day to the next."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = ("first_token", "per_token", "total")
        given = {name for name in forms if getattr(self, name) is not None}
        if given not in ({"total"}, {"first_token", "per_token"}):
            found = " and ".join(sorted(given)) or "nothing"
            raise refuse(f"first_token and per_token, or total; found {found}")
        return self

    @property
    def has_trend(self) -> bool:
        """Whether it is not the same at all times by design."""
        return bool(self.profile) or self.drift_per_day != 0

    @property
    def varies(self) -> bool:
        """Whether time makes any difference to it."""
        return self.has_trend or self.correlation is not None
