"""Sums of what was counted in the pieces of one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np

from simsla.analysis.sample import Sample
from simsla.analysis.tail import Blamed

__all__ = ["added"]

CONSTANT: Final = frozenset(
    {
        "seconds",
        "request_classes",
        "deployments",
        "cells",
        "minute_cell",
        "limits",
        "episodes",
        "regions",
        "pods_usd",
    }
)
"""Fields of a summary that are not counts, or are filled in when all is added."""

T = TypeVar("T")


def added(parts: Sequence[T], cells: int) -> T:
    """Several dataclasses, or named tuples, of one kind as one whose fields are the sums of theirs.

    Numbers and arrays are added, samples and causes put together, and what does not depend on the piece is
    taken from the first.
    """
    first: Any = parts[0]
    if len(parts) == 1:
        return parts[0]
    names = (
        first._fields if hasattr(first, "_fields") else [field.name for field in dataclasses.fields(first)]
    )
    values = {
        name: getattr(first, name) if name in CONSTANT else total([getattr(p, name) for p in parts], cells)
        for name in names
    }
    result: T = type(first)(**values)
    return result


def total(values: Sequence[Any], cells: int) -> Any:
    first = values[0]
    if isinstance(first, Sample):
        return Sample.merged(values, cells)
    if isinstance(first, Blamed):
        return Blamed.merged(values)
    if isinstance(first, np.ndarray):
        # One after another: a stack of them would be as many copies.
        result = first.copy()
        for value in values[1:]:
            result += value
        return result
    if isinstance(first, tuple) or dataclasses.is_dataclass(first):
        return added(values, cells)
    return None if first is None else sum(values[1:], first)
