"""YAML as a configuration may use it: plain data, each key once, nothing that could run.

The one module of the routing package that needs PyYAML: import it where a file is read, not before.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"
BOOLEAN = "tag:yaml.org,2002:bool"


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


# YAML 1.1 takes on, off, yes and no for booleans, as keys too; in 1.2 and here they are text.
Reader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != BOOLEAN]
    for first, resolvers in Reader.yaml_implicit_resolvers.items()
}
Reader.add_implicit_resolver(BOOLEAN, re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))

# YAML 1.1 reads 1e-3 and 1.5e3 as text; nobody means that.
Reader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII),
    list("-+.0123456789"),
)


def number_or_text(reader: Reader, node: yaml.ScalarNode) -> object:
    """A number; but a time of day stays a text, which YAML 1.1 reads to the base of 60 (13:00 as 780)."""
    if ":" in node.value:
        return node.value
    return SafeLoader.yaml_constructors[node.tag](reader, node)


Reader.add_constructor("tag:yaml.org,2002:int", number_or_text)
Reader.add_constructor("tag:yaml.org,2002:float", number_or_text)


class YamlError(ValueError):
    """A text is not plain YAML; ``line``, from 1, is where, or None."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what, line)
        self.what = what
        self.line = line

    def __str__(self) -> str:
        return self.what if self.line is None else f"line {self.line}: {self.what}"


def parse(text: str) -> tuple[Any, yaml.Node | None]:
    """The data of one YAML document and its node tree; raises YamlError."""
    try:
        loader = Reader(text)
        try:
            node = loader.get_single_node()
            return (None if node is None else loader.construct_document(node)), node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = "; ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(what, None if mark is None else mark.line + 1) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise YamlError(
            "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        ) from None
