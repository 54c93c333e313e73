"""What is said about a scenario that cannot be."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ABSENT", "Location", "Problem", "ScenarioError", "location_of", "path_of"]

Location = tuple[str | int, ...]

ABSENT: Final = object()
"""The value of something that is missing."""

STEP: Final = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def path_of(location: Location) -> str:
    """A location as text: `components.deepseek.faults[0].severity`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


def location_of(path: str, data: object = None) -> Location:
    """The location that a path means; `faults.0` and `faults[0]` are the same.

    Where names contain dots (`gpt-4.1`), the longest one that exists in `data` is meant.
    """
    location: list[str | int] = []
    while path:
        names = data if isinstance(data, Mapping) else {}
        fitting = [name for name in map(str, names) if f"{path}.".startswith((f"{name}.", f"{name}["))]
        if name := max(fitting, key=len, default=""):
            location.append(name)
            path = path[len(name) :].removeprefix(".")
        else:
            step = STEP.match(path)
            found = (step[1] or step[2]) if step else path
            location.append(int(found) if found.isdigit() else found)
            path = path[step.end() :].removeprefix(".") if step else ""
        data = below(data, location[-1])
    return tuple(location)


def below(data: object, step: str | int) -> object:
    """What stands at a step; None where nothing does."""
    if isinstance(data, Mapping):
        return next((value for key, value in data.items() if str(key) == step), None)
    if isinstance(data, list | tuple) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what was expected, what was found, the nearest valid name."""

    location: Location
    expected: str
    value: object = ABSENT
    suggestion: str | None = None
    line: int | None = None
    """The line of the scenario's file, from 1, where it is known."""

    @property
    def path(self) -> str:
        """The location as text, e.g. `components.deepseek.faults[0].severity`."""
        return path_of(self.location)

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line is not None else ""
        where = f"{self.path} ({line})" if self.path and line else self.path or line
        found = "" if self.value is ABSENT else f", got {shortened(self.value)}"
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{where}{': ' if where else ''}expected {self.expected}{found}{hint}"


class ScenarioError(ValueError):
    """A scenario that cannot be read, with every problem that was found.

    `origin` is the file or the name the scenario came from, `problems` the tuple of `Problem`.
    """

    def __init__(self, origin: str, problems: Iterable[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        super().__init__(self.origin, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.origin}: {self.problems[0]}"
        return "\n  ".join([f"{self.origin}: {len(self.problems)} problems", *map(str, self.problems)])


def shortened(value: object) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)
