"""Durations, rates and numbers as people write them."""

from __future__ import annotations

import math
import numbers
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from simsla.scenario.fields import DISTRIBUTION_MARK, Dist, refuse

__all__ = ["Duration", "Number", "PositiveDuration", "Rate", "Share", "TimeDist", "Whole", "format_duration"]

SECONDS: Final = {
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 7 * 86400.0,
    "y": 365 * 86400.0,
}
QUANTITY: Final = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*([a-z]+)\s*")
RATE: Final = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*/\s*([a-z]+)\s*")


def duration_s(value: object) -> float:
    """Seconds from a number of seconds or from text such as 250ms, 5s, 2min, 1h, 30d, 1y (365 d)."""
    expected = "a duration >= 0 (seconds, or text such as 250ms, 5s, 2min, 1h, 30d, 1y)"
    number = plain_number(value)
    if isinstance(value, str) and (match := QUANTITY.fullmatch(value)) and match[2] in SECONDS:
        number = float(match[1]) * SECONDS[match[2]]
    if number is None or number < 0:
        raise refuse(expected, value)
    return number


def rate_per_s(value: object) -> float:
    """Events per second from a number or from text such as 0.3/s, 12/min, 20000/d."""
    number = plain_number(value)
    if isinstance(value, str) and (match := RATE.fullmatch(value)) and match[2] in SECONDS:
        number = float(match[1]) / SECONDS[match[2]]
    if number is None or number <= 0:
        raise refuse("a rate above 0 (per second, or text such as 12/min, 20000/d)", value)
    return number


def plain_number(value: object) -> float | None:
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def always(value: object) -> object:
    """A distribution of seconds that is one value may be written as a duration."""
    if not isinstance(value, str):
        return value
    if (match := QUANTITY.fullmatch(value)) and match[2] in SECONDS:
        return duration_s(value)
    raise refuse("a number of seconds, a duration such as 250ms or 5min, or a mapping with a kind", value)


def above_zero(value: float) -> float:
    if value <= 0:
        raise refuse("a duration above 0", value)
    return value


def format_duration(seconds: float) -> str:
    """The shortest exact or four-digit form in a natural unit: `30 d`, `1 h`, `250 ms`."""
    for unit in ("d", "h", "min", "s", "ms"):
        if seconds >= SECONDS[unit]:
            return f"{seconds / SECONDS[unit]:.4g} {unit}"
    return f"{seconds:.4g} s"


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9.]+(e[-+]?[0-9]+)?\s*(ms|s|m|min|h|d|w|y)\s*$"},
            ],
            "description": "seconds, or text such as 250ms, 5s, 2min, 1h, 30d, 1y",
        }
    ),
]
TimeDist = Annotated[
    Dist,
    BeforeValidator(always),
    WithJsonSchema({"anyOf": [DISTRIBUTION_MARK, {"type": "string", "description": "20s, 5min"}]}),
]
"""How long something lasts: a distribution of seconds, or a duration such as 20s, always the same."""
PositiveDuration = Annotated[Duration, AfterValidator(above_zero)]
Rate = Annotated[
    float,
    BeforeValidator(rate_per_s),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9.]+(e[-+]?[0-9]+)?\s*/\s*(ms|s|m|min|h|d|w|y)\s*$"},
            ],
            "description": "per second, or text such as 12/min, 20000/d",
        }
    ),
]
