"""The YAML of a scenario, with the lines at which its parts stand."""

from __future__ import annotations

from typing import Any

import yaml

from simsla.routing.production.yaml_text import YamlError, parse
from simsla.scenario.errors import Location, Problem, ScenarioError

__all__ = ["line_of", "read_yaml"]


def read_yaml(text: str, origin: str) -> tuple[Any, yaml.Node | None]:
    """The data of one YAML document and its node tree; raises ScenarioError with the line."""
    try:
        return parse(text)
    except YamlError as error:
        raise ScenarioError(origin, [Problem((), f"plain YAML ({error.what})", line=error.line)]) from None


def line_of(node: yaml.Node | None, location: Location) -> int | None:
    """The line, from 1, of the deepest part of `location` that is in the document."""
    line = None
    for step in location:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line
