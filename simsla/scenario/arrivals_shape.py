"""How the rate of arrivals changes in time: a profile of the day and the week, and surges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from simsla.distributions import nearest
from simsla.scenario.fields import Model, refuse
from simsla.scenario.instants import DAY_S
from simsla.scenario.moments import Moment
from simsla.scenario.quantities import Duration, Number, PositiveDuration

__all__ = ["WEEKDAYS", "Profile", "Surge"]

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def pairs(value: object) -> Any:
    if isinstance(value, Mapping):
        return tuple(value.items())
    if isinstance(value, tuple):
        return value
    raise refuse("a mapping to factors", value)


def times_of_day(value: object) -> Any:
    found = pairs(value)
    for key, _ in found:
        if not isinstance(key, str) or CLOCK.fullmatch(key) is None:
            raise refuse('a time of day from "00:00" to "23:59" (quoted in YAML)', key, below=(str(key),))
    return found


def days_of_week(value: object) -> Any:
    found = pairs(value)
    for key, _ in found:
        if key not in WEEKDAYS:
            hint = nearest(str(key), WEEKDAYS)
            raise refuse(f"one of {', '.join(WEEKDAYS)}", key, hint, below=(str(key),))
    return found


def factors(value: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    for key, factor in value:
        if factor < 0:
            raise refuse("a factor >= 0", factor, below=(key,))
    return value


def schema(keys: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {keys: {"type": "number", "minimum": 0}},
            "additionalProperties": False,
        }
    )


Pairs = tuple[tuple[str, Number], ...]
Serialized = PlainSerializer(dict, return_type=dict[str, float])
Daily = Annotated[
    Pairs,
    BeforeValidator(times_of_day),
    AfterValidator(factors),
    Serialized,
    schema(r"^([01]\d|2[0-3]):[0-5]\d$"),
]
Weekly = Annotated[
    Pairs,
    BeforeValidator(days_of_week),
    AfterValidator(factors),
    Serialized,
    schema(f"^({'|'.join(WEEKDAYS)})$"),
]


class Profile(Model):
    """The shape of a week: `{daily: {"00:00": .3, "14:00": 1.6}, weekly: {sat: .6, sun: .5}}`.

    Between the times of `daily` the factor runs straight, across midnight too; `weekly` multiplies whole
    days, 1 where a day is not named. Days and hours are those of the scenario's `start` and after it, UTC.
    Only the shape counts: the factors are divided by their mean over the week, so that the rate of the
    arrivals stays their rate in the long run.
    """

    daily: Daily = ()
    weekly: Weekly = ()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.daily and not self.weekly:
            raise refuse("daily or weekly factors")
        for name, mean in (("daily", self.mean_of_day()), ("weekly", math.fsum(self.days()))):
            if not mean > 0:
                raise refuse("a factor above 0", dict(getattr(self, name)), below=name)
        return self

    def points(self) -> list[tuple[float, float]]:
        """Seconds after midnight, ascending, and the factors as written."""
        return sorted((60.0 * (60 * int(key[:2]) + int(key[3:])), factor) for key, factor in self.daily)

    def days(self) -> list[float]:
        """The factors of the seven days, Monday first, as written."""
        given = dict(self.weekly)
        return [given.get(day, 1.0) for day in WEEKDAYS]

    def mean_of_day(self) -> float:
        """The mean over a day of `daily` as written."""
        points = self.points()
        if not points:
            return 1.0
        following = [*points[1:], (points[0][0] + DAY_S, points[0][1])]
        areas = ((b - a) * (y + z) / 2 for (a, y), (b, z) in zip(points, following, strict=True))
        return math.fsum(areas) / DAY_S


class Surge(Model):
    """A time with more arrivals, or fewer: `{at: 2h, for: 10min, factor: 8, ramp: 1min}`.

    The factor rises straight from 1 during the first `ramp`, and falls back during the last. It comes on top
    of the rate, which is the mean without it; surges that overlap multiply.
    """

    at_s: Moment = Field(alias="at")
    """When it begins: `2h` after the start of the run, or the time of day `03:00`."""
    for_s: PositiveDuration = Field(alias="for")
    """From the first departure from 1 to the last."""
    factor: Annotated[Number, Field(ge=0)]
    """What the rate is multiplied by; 0: nothing arrives."""
    ramp_s: Duration = Field(default=0.0, alias="ramp")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if 2 * self.ramp_s > self.for_s:
            raise refuse("at most half of `for`: a ramp up and a ramp down", self.ramp_s, below="ramp")
        return self
