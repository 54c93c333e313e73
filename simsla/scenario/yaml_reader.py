"""YAML as a scenario may use it: plain data, each key once, nothing that could run."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from simsla.scenario.errors import Location, Problem, ScenarioError

__all__ = ["line_of", "read_yaml"]

SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"


# Which base it has is known at run time.
class Reader(SafeLoader):  # type: ignore[valid-type,misc]
    """The safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the safe loader; raises ConstructorError at the second of two equal keys."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands here twice", key_node.start_mark
                    )
                seen.add(key)
        result: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return result


# YAML 1.1 reads 1e-3 and 1.5e3 as text; nobody means that.
Reader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII),
    list("-+.0123456789"),
)


def read_yaml(text: str, origin: str) -> tuple[Any, yaml.Node | None]:
    """The data of one YAML document and its node tree; raises ScenarioError with the line."""
    try:
        loader = Reader(text)
        try:
            node = loader.get_single_node()
            return (None if node is None else loader.construct_document(node)), node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        what = "; ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError(origin, [Problem((), f"plain YAML ({what})", line=line)]) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ScenarioError(origin, [Problem((), f"plain YAML ({what})")]) from None


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
