"""Arguments of the formulas: numbers or arrays, checked; and what comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "above_zero", "at_least_zero", "plain", "probability", "stable", "whole"]

Floats = npt.NDArray[np.float64]


def numbers(value: npt.ArrayLike, name: str, expected: str, good: Any) -> Floats:
    """An array of floats, all of them good. Raises ValueError, naming the argument."""
    array = np.asarray(value, dtype=np.float64)
    if not bool(np.all(good(array))):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return array


def probability(value: npt.ArrayLike, name: str) -> Floats:
    """Numbers in [0, 1]."""
    return numbers(value, name, "a number in [0, 1]", lambda x: (x >= 0) & (x <= 1))


def above_zero(value: npt.ArrayLike, name: str) -> Floats:
    """Finite numbers above 0."""
    return numbers(value, name, "a finite number above 0", lambda x: (x > 0) & np.isfinite(x))


def at_least_zero(value: npt.ArrayLike, name: str) -> Floats:
    """Finite numbers from 0 on."""
    return numbers(value, name, "a finite number >= 0", lambda x: (x >= 0) & np.isfinite(x))


def stable(load: Floats) -> Floats:
    """Loads of a queue that has a long run: below 1."""
    return numbers(load, "load", "arrivals below the capacity (a load below 1)", lambda x: x < 1)


def whole(value: int, name: str, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
    return int(value)


def plain(value: Any) -> Any:
    """A float where the arguments were numbers, an array where one was an array."""
    return float(value) if np.ndim(value) == 0 else value
