"""Measured values as a distribution, and the files they come from."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from simsla.distributions.base import Distribution, FloatArray, finite
from simsla.distributions.errors import DistributionError, nearest

__all__ = ["Empirical", "read_values"]


@dataclass(frozen=True, repr=False)
class Empirical(Distribution):
    """Measured values, resampled by linear interpolation between neighbours.

    The i-th of n sorted values (from 1) is the quantile at (i - 0.5) / n, the extremes are kept beyond
    (Hazen 1914; type 5 of Hyndman and Fan, The American Statistician 50, 1996). Of the usual rules this
    one keeps the mean of the values exactly. Nothing beyond the measured extremes ever occurs.
    """

    kind: ClassVar[str] = "empirical"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("values",), ("path",), ("path", "column"))
    values: tuple[float, ...]
    """The values, sorted at construction."""

    path: str | None = field(default=None, compare=False, kw_only=True)
    column: str | None = field(default=None, compare=False, kw_only=True)
    """Where the values were read from; they are read again when the spec is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise DistributionError("values", "at least one value", [])
        ordered = sorted(finite(value, f"values[{i}]") for i, value in enumerate(self.values))
        object.__setattr__(self, "values", tuple(ordered))

    def parameters(self) -> dict[str, Any]:
        """The values, or the file they come from."""
        if self.path is None:
            return {"values": list(self.values)}
        return {"path": self.path} | ({} if self.column is None else {"column": self.column})

    def __repr__(self) -> str:
        origin = "" if self.path is None else f" from {self.path}"
        unit = "" if self.unit == "s" else f" {self.unit}"
        return f"empirical({len(self.values)} values{origin}){unit}"

    @cached_property
    def _sorted(self) -> FloatArray:
        return np.array(self.values, dtype=np.float64)

    def _ppf(self, u: FloatArray) -> FloatArray:
        x = self._sorted
        position = np.clip(u * len(x) - 0.5, 0.0, len(x) - 1.0)
        below = np.minimum(position.astype(np.intp), max(len(x) - 2, 0))
        above = np.minimum(below + 1, len(x) - 1)
        outcome: FloatArray = x[below] + (position - below) * (x[above] - x[below])
        return outcome

    def _mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    def _cdf(self, x: FloatArray) -> FloatArray:
        ordered, n = self._sorted, len(self.values)
        at_most = np.searchsorted(ordered, x, side="right")
        below = ordered[np.clip(at_most - 1, 0, n - 1)]
        step = ordered[np.clip(at_most, 0, n - 1)] - below
        within = np.divide(x - below, step, out=np.zeros(np.shape(x)), where=step > 0)
        inside: FloatArray = (at_most - 0.5 + within) / n
        return np.where(at_most == 0, 0.0, np.where(at_most == n, 1.0, inside))

    def _sf(self, x: FloatArray) -> FloatArray:
        return 1 - self._cdf(x)

    def _support(self) -> tuple[float, float]:
        return self.values[0], self.values[-1]


def read_values(path: Path, column: str | None) -> tuple[float, ...]:
    """Numbers from a CSV file with a header, or from a JSON list of numbers or of objects.

    `column` names the CSV column or the objects' key. Raises DistributionError with the file and row.
    """
    readers = {".csv": read_csv, ".json": read_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DistributionError("path", "a .csv or .json file", str(path))
    try:
        rows = reader(path, column)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DistributionError("path", f"a readable {path.suffix[1:]} file ({error})", str(path)) from error
    if not rows:
        raise DistributionError("path", "a file with at least one value", str(path))
    return tuple(finite(value, f"path ({path.name}, {row})") for row, value in rows)


def read_csv(path: Path, column: str | None) -> list[tuple[str, object]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        if column is None and len(names) == 1:
            column = names[0]
        if column not in names:
            expected = f"one of the columns {', '.join(names)} of {path.name}"
            raise DistributionError("column", expected, column, nearest(column, names))
        return [(f"line {reader.line_num}", as_number(row[column])) for row in reader]


def read_json(path: Path, column: str | None) -> list[tuple[str, object]]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise DistributionError("path", f"a JSON list in {path.name}", type(rows).__name__)
    if column is None:
        return [(f"item {i}", row) for i, row in enumerate(rows)]
    values: list[tuple[str, object]] = []
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or column not in row:
            names = list(row) if isinstance(row, dict) else []
            expected = f"a key of item {i} of {path.name}"
            raise DistributionError("column", expected, column, nearest(column, names))
        values.append((f"item {i}", row[column]))
    return values


def as_number(text: str | None) -> object:
    try:
        return float(text or "")
    except ValueError:
        return text
