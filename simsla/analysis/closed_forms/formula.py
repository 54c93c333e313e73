"""What is known of a formula besides its value: its name, what it takes for granted, where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

__all__ = ["FORMULAS", "Formula", "formula"]

P = ParamSpec("P")
R = TypeVar("R")


class Formula(NamedTuple):
    """A formula's name, its assumptions in words and its source (author, year)."""

    name: str
    assumes: str
    source: str


FORMULAS: Final[dict[Callable[..., Any], Formula]] = {}
"""What is known of every function of this package that is a formula."""


def formula(name: str, *, assumes: str, source: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Marks a function as a formula, so that `ClosedForm.of` can say all of it beside the value."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        FORMULAS[function] = Formula(name, assumes, source)
        words = (function.__doc__ or "").rstrip()
        function.__doc__ = f"{words}\n\n    Assumes: {assumes}.\n    Source: {source}.\n    "
        return function

    return mark
