"""What the models of a scenario are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from simsla.distributions import Distribution, DistributionError, from_spec
from simsla.scenario.errors import ABSENT, Location, location_of

__all__ = ["DISTRIBUTION_MARK", "Dist", "Frozen", "FrozenDict", "Model", "Name", "ShareDist", "refuse"]

K = TypeVar("K")
V = TypeVar("V")

DISTRIBUTION_MARK: Final = {"title": "Distribution"}
"""Stands in the generated JSON Schema where a distribution belongs; `schema` puts the reference there."""


class Model(BaseModel):
    """An immutable part of a scenario that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class FrozenDict(dict[K, V]):
    """A dictionary that does not change."""

    def refuse_change(self, *args: object, **kwargs: object) -> NoReturn:
        """Every way of changing a dictionary ends here."""
        raise TypeError("a scenario does not change; use Scenario.with_values")

    __setitem__ = __delitem__ = __ior__ = refuse_change
    clear = pop = popitem = setdefault = update = refuse_change

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[dict[K, V]]]:
        return FrozenDict, (dict(self),)


def refuse(
    expected: str, value: object = ABSENT, suggestion: str | None = None, below: str | Location = ()
) -> PydanticCustomError:
    """The error that becomes a `Problem`, at `below` under the place where it is raised."""
    if isinstance(below, str):
        below = location_of(below)
    context = {"expected": expected, "value": value, "suggestion": suggestion, "below": below}
    return PydanticCustomError("simsla", "expected {expected}", context)


def distribution(value: object, info: ValidationInfo) -> Distribution:
    """A distribution of outcomes >= 0 with a finite mean; files are relative to the context's base_dir."""
    base_dir = info.context.get("base_dir") if info.context else None
    try:
        found = from_spec(value, "", base_dir)
    except DistributionError as error:
        missing = error.value is DistributionError.ABSENT
        given = ABSENT if missing else error.value
        raise refuse(error.expected, given, error.suggestion, error.path) from None
    if found.support()[0] < 0:
        raise refuse("a distribution of outcomes >= 0", value)
    if not math.isfinite(found.mean()):
        raise refuse("a distribution with a finite mean", value)
    return found


def within_one(found: Distribution) -> Distribution:
    if found.support()[1] > 1:
        raise refuse("a number or a distribution within [0, 1]", found.to_spec())
    return found


Name = Annotated[str, Field(min_length=1)]
Frozen = Annotated[dict[K, V], AfterValidator(FrozenDict)]
Dist = Annotated[
    Distribution,
    PlainValidator(distribution),
    PlainSerializer(Distribution.to_spec, return_type=dict[str, Any]),
    WithJsonSchema(DISTRIBUTION_MARK),
]
ShareDist = Annotated[Dist, AfterValidator(within_one)]
