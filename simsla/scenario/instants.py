"""Dates and times of day as people write them, in UTC.

Absolute second 0 of a run is the scenario's `start`, from which prices, hours and latency profiles count.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from simsla.scenario.fields import refuse

__all__ = ["DAY_S", "DEFAULT_START", "Day", "Start", "TimeOfDay", "clock"]

DAY_S: Final = 86_400.0

DEFAULT_START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday, at midnight."""

CLOCK: Final = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def time_of_day_s(value: object) -> float:
    """Seconds since midnight from text such as 09:30 or 24:00; numbers are seconds already."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= DAY_S:
        return float(value)
    match = CLOCK.fullmatch(value) if isinstance(value, str) else None
    seconds = seconds_of(match) if match else None
    if seconds is None or seconds > DAY_S:
        raise refuse('a time of day such as "09:30" (UTC)', value)
    return seconds


def seconds_of(match: re.Match[str]) -> float:
    return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3] or 0)


def clock(seconds: float) -> str:
    """A time of day as text: 09:30, or 09:30:15."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{rest:02d}" if rest else "")


def instant(value: object) -> datetime:
    """A moment from a date, a datetime, or ISO text; without a zone it is UTC."""
    found: datetime | None = None
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            found = None
    if found is None:
        raise refuse("a date or a moment such as 2026-01-05 or 2026-01-05T08:00Z", value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def day(value: object) -> date:
    """A date, or the date of a moment."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return instant(value).date()


TimeOfDay = Annotated[
    float,
    BeforeValidator(time_of_day_s),
    PlainSerializer(clock, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,2}:[0-5]\d(:[0-5]\d)?$"}),
]
Start = Annotated[
    datetime,
    BeforeValidator(instant),
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "description": "a date or a moment such as 2026-01-05T08:00Z"}),
]
Day = Annotated[date, BeforeValidator(day), WithJsonSchema({"type": "string", "format": "date"})]
