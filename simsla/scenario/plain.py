"""Plain data, and paths into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from simsla.distributions import nearest
from simsla.scenario.errors import Location, Problem, path_of

__all__ = ["Refusal", "assign", "plain"]

DEEPEST: Final = 50
LARGEST: Final = 2_000_000
INDEX: Final = re.compile(r"\[?(\d+)\]?(?:\.|(?=\[)|$)", re.ASCII)


class Refusal(Exception):  # noqa: N818 - carries a Problem to where the origin is known
    """A problem found before there is a scenario to report it for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def plain(value: object) -> Any:
    """A copy with dictionaries, lists and Python scalars only; other objects stay as they are.

    Raises Refusal for data that contains itself or, through YAML aliases, is absurdly large.
    """
    budget = LARGEST

    def copy(value: object, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if depth > DEEPEST or budget < 0:
            raise Refusal(Problem((), f"at most {DEEPEST} levels and {LARGEST:,} values"))
        if isinstance(value, Mapping):
            return {key: copy(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | np.ndarray):
            return [copy(each, depth + 1) for each in value]
        return value.item() if isinstance(value, np.generic) else value

    return copy(value, 0)


def assign(data: dict[str, Any], path: str, value: object) -> None:
    """Put `value` at a path such as `components.deepseek.faults[0].severity` (or `.faults.0.`).

    Where names contain dots, the longest one that exists is meant. The last name may be new; what may stand
    there is decided by the validation that follows. Raises Refusal when the path leads nowhere.
    """
    node: Any = data
    rest, location = path, Location()
    while True:
        key: str | int
        if isinstance(node, dict):
            key, rest = step_into_mapping(node, rest, location)
        elif isinstance(node, list):
            key, rest = step_into_list(node, rest, location)
        else:
            raise Refusal(Problem(location, "the end of the path: this is a value", f"…{rest}"))
        if not rest:
            node[key] = value
            return
        node = node[key]
        location = (*location, key)


def step_into_mapping(node: Mapping[str, Any], rest: str, location: Location) -> tuple[str, str]:
    names = [str(name) for name in node]
    fitting = [name for name in names if rest == name or rest.startswith((f"{name}.", f"{name}["))]
    if fitting:
        name = max(fitting, key=len)
        return name, rest[len(name) :].removeprefix(".")
    head, dot, tail = rest.partition(".")
    if head and not dot and "[" not in head:
        return head, ""
    found = nearest(head, names)
    suggestion = f"{path_of((*location, found))}.{tail}" if found else None
    raise Refusal(Problem((*location, head), f"one of {', '.join(names)}", head, suggestion))


def step_into_list(node: list[Any], rest: str, location: Location) -> tuple[int, str]:
    match = INDEX.match(rest)
    if match is None or int(match[1]) >= len(node):
        raise Refusal(Problem(location, f"an index below {len(node)}", rest))
    return int(match[1]), rest[match.end() :]
