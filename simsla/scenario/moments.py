"""Moments of a run as people write them: a time of day, or how long after the start."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from simsla.scenario.fields import refuse
from simsla.scenario.instants import DAY_S, DEFAULT_START, instant
from simsla.scenario.quantities import duration_s

__all__ = ["Moment", "moment_s"]

CLOCK: Final = re.compile(r"\s*(?:(\d+)\s*d\s+)?([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\s*", re.ASCII)


class AtClock(float):
    """Seconds since the start, which a time of day stands for; the text is kept to be written back."""

    text: str

    def __new__(cls, seconds: float, text: str) -> AtClock:
        """`text` as it was written."""
        moment = super().__new__(cls, seconds)
        moment.text = text
        return moment

    # A float has one argument; a moment is copied and pickled with its text as well.
    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]
        return float(self), self.text


def moment_s(value: object, info: ValidationInfo) -> float:
    """Seconds of absolute time, 0 being the scenario's `start`.

    From a time of day in UTC (`03:00`, `13:30:15`: the first after the start), one so many days later
    (`2d 03:00`), or a duration since the start (`90min`, 5400).
    """
    if isinstance(value, AtClock):
        return value
    if isinstance(value, str) and (match := CLOCK.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        of_day_s = 3600.0 * hours + 60.0 * minutes + seconds
        return AtClock(DAY_S * days + (of_day_s - start_of_day_s(info)) % DAY_S, value)
    try:
        return duration_s(value)
    except PydanticCustomError:
        expected = "a moment: a time of day such as 03:00 or 2d 03:00, or a duration since the start"
        raise refuse(expected, value) from None


def start_of_day_s(info: ValidationInfo) -> float:
    """The time of day at which the scenario starts; one that cannot be read is reported elsewhere."""
    given = (info.context or {}).get("start")
    try:
        start = DEFAULT_START if given is None else instant(given)
    except PydanticCustomError:
        start = DEFAULT_START
    return start.hour * 3600.0 + start.minute * 60.0 + start.second + start.microsecond * 1e-6


def as_written(value: float) -> Any:
    return value.text if isinstance(value, AtClock) else value


Moment = Annotated[
    float,
    PlainValidator(moment_s),
    PlainSerializer(as_written, return_type=Any),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {
                    "type": "string",
                    "pattern": r"^\s*([0-9.]+(e[-+]?[0-9]+)?\s*(ms|s|m|min|h|d|w|y)|"
                    r"([0-9]+\s*d\s+)?[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)\s*$",
                },
            ],
            "description": "a time of day such as 03:00 or 2d 03:00, or a duration since the start: 90min",
        }
    ),
]
