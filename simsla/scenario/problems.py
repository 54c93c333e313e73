"""From pydantic's errors to problems in words."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simsla.distributions import nearest
from simsla.scenario.errors import ABSENT, Location, Problem

__all__ = ["problems_of"]

EXPECTED: Final = {
    "missing": "a value (required)",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "too_short": "at least one",
    "date_from_datetime_parsing": "a date such as 2026-01-31",
    "date_parsing": "a date such as 2026-01-31",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every error of a validation of `model` as a problem."""
    return [problem_of(details, model) for details in error.errors(include_url=False)]


def problem_of(details: ErrorDetails, model: type[BaseModel]) -> Problem:
    location, owner = resolve(details["loc"], model)
    context: Mapping[str, Any] = details.get("ctx", {})
    kind, value = details["type"], details["input"]
    if kind == "simsla":
        location = (*location, *context["below"])
        return Problem(location, context["expected"], context["value"], context["suggestion"])
    if kind == "extra_forbidden":
        names = names_of(owner)
        key = str(location[-1])
        return Problem(location, f"one of {', '.join(names)}", key, nearest(key, names))
    if kind in ("union_tag_not_found", "union_tag_invalid", "literal_error"):
        return not_a_choice(kind, location, value, context, below(owner, location[-1]))
    if kind == "missing":
        value = ABSENT
    if details["loc"] and details["loc"][-1] == "[key]":
        return Problem(location, "a text as name (quote it in YAML)", value)
    if kind == "too_short" and not value:
        return Problem(location, "at least one entry", value)
    return Problem(location, EXPECTED.get(kind, details["msg"]).format(**context), value)


def not_a_choice(
    kind: str, location: Location, value: Any, context: Mapping[str, Any], wanted: Any
) -> Problem:
    if kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    else:
        choices = [str(tag) for member in get_args(bare(wanted)) for tag in tags_of(bare(member))]
        location = (*location, "kind")
        value = context.get("tag", ABSENT)
    return Problem(location, f"one of {', '.join(choices)}", value, nearest(value, choices))


def resolve(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[Location, Any]:
    """The location without pydantic's own steps, and the type in which its last step was looked up."""
    location: list[int | str] = []
    current: Any = model
    owner: Any = model
    for step in loc:
        if step == "[key]":
            continue
        current = bare(current)
        if get_origin(current) in (Union, types.UnionType):
            members = [bare(member) for member in get_args(current)]
            tagged = [member for member in members if step in tags_of(member)]
            if tagged:
                current = tagged[0]
                continue
            current = next((member for member in members if member is not type(None)), None)
        location.append(step)
        owner = current
        current = below(current, step)
    return tuple(location), owner


def bare(annotation: Any) -> Any:
    """An annotation without its Annotated and, where one model is left, without its None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return bare(members[0])
    return annotation


def below(owner: Any, step: int | str) -> Any:
    """The annotation of what stands at `step` in a model, mapping or tuple."""
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        for name, field in owner.model_fields.items():
            if step in (field.alias, name):
                return field.annotation
        return None
    arguments = get_args(owner)
    if get_origin(owner) is dict:
        return arguments[1]
    return arguments[0] if arguments else None


def tags_of(member: Any) -> tuple[Any, ...]:
    """The values of a model's `kind` by which a union tells it from the others."""
    if isinstance(member, type) and issubclass(member, BaseModel) and "kind" in member.model_fields:
        return get_args(member.model_fields["kind"].annotation)
    return ()


def names_of(owner: Any) -> list[str]:
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        return [field.alias or name for name, field in owner.model_fields.items()]
    return []
