"""The JSON Schema of a scenario file."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from simsla.distributions import spec_schema
from simsla.routing import RoutingPolicy
from simsla.scenario.fields import DISTRIBUTION_MARK

__all__ = ["ROUTING_MARK", "complete_schema"]

ROUTING_MARK: Final = {"title": "Routing"}
"""Stands in the generated schema where the routing section belongs."""

SCALARS: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


def complete_schema(generated: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's schema with the distributions and the routing section in their places."""
    references = {
        "Distribution": (DISTRIBUTION_MARK, "#/$defs/Distribution"),
        "Routing": (ROUTING_MARK, "#/$defs/Routing"),
    }

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(each) for each in node]
        if not isinstance(node, dict):
            return node
        mark, reference = (
            references.get(node.get("title", ""), (None, None)) if hashable(node) else (None, None)
        )
        if mark is not None and "properties" not in node:
            kept = {key: value for key, value in node.items() if key not in ("title", "default")}
            return {"$ref": reference, **kept}
        return {key: walk(value) for key, value in node.items()}

    schema: dict[str, Any] = walk(generated)
    factory = {
        "type": "object",
        "properties": {
            "policy": {"type": "string", "description": "package.module:factory"},
            "options": {"type": ["object", "null"], "description": "The factory's arguments by name."},
        },
        "required": ["policy"],
        "additionalProperties": False,
    }
    schema["$defs"] |= {
        "Distribution": spec_schema("#/$defs/Distribution"),
        "Routing": {"anyOf": [section_schema(RoutingPolicy), factory]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def hashable(node: Mapping[str, Any]) -> bool:
    """A property that happens to be called title holds a schema, not a text."""
    return isinstance(node.get("title", ""), str)


def section_schema(section: Any) -> dict[str, Any]:
    """A section of the routing configuration, from the type hints and metadata it reads itself by."""
    hints = get_type_hints(section)
    properties = {
        field.name: hint_schema(hints[field.name], field.metadata) for field in dataclasses.fields(section)
    }
    if section.kind is not None:
        properties["kind"] = {"const": section.kind}
    required = [field.name for field in dataclasses.fields(section) if field.default is dataclasses.MISSING]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def hint_schema(hint: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is type(None):
        return {"type": "null"}
    if origin in (Union, types.UnionType):
        return {"anyOf": [hint_schema(member, limits) for member in arguments]}
    if origin is tuple:
        return {"type": "array", "items": hint_schema(arguments[0], limits)}
    if origin is Mapping:
        keys = {"propertyNames": {"enum": list(limits["keys"])}} if "keys" in limits else {}
        return {"type": "object", "additionalProperties": hint_schema(arguments[1], limits), **keys}
    if dataclasses.is_dataclass(hint):
        return section_schema(hint)
    return scalar_schema(hint, limits)


def scalar_schema(hint: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": SCALARS[hint]}
    names = {"minimum": "minimum", "maximum": "maximum", "above": "exclusiveMinimum"}
    schema |= {names[key]: limits[key] for key in names if key in limits and hint in (int, float)}
    if "choices" in limits:
        schema["enum"] = list(limits["choices"])
    if limits.get("unit") == "s":
        return {"anyOf": [schema, {"type": "string", "description": "a duration such as 250ms, 5s, 2m"}]}
    return schema
