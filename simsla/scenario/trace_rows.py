"""The rows of a trace file: CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simsla.distributions import nearest
from simsla.scenario.errors import ABSENT
from simsla.scenario.trace_layouts import Layout, layout_of

__all__ = ["Row", "TraceError", "rows_of"]

Row = tuple[int | None, tuple[Any, Any, Any]]
"""The number of the line (from 1; None where there are no lines), and time, prompt and output."""


class TraceError(ValueError):
    """A trace that cannot be read: file, line (from 1), column, what was found and expected."""

    def __init__(
        self,
        path: Path,
        expected: str,
        value: object = ABSENT,
        *,
        line: int | None = None,
        column: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        super().__init__(path, expected, value)
        self.path = path
        self.expected = expected
        self.value = value
        self.line = line
        self.column = column
        self.suggestion = suggestion

    @property
    def place(self) -> str:
        """Where in the file, e.g. `conv.csv, line 17, column ContextTokens`."""
        line = None if self.line is None else f"line {self.line}"
        column = None if self.column is None else f"column {self.column}"
        return ", ".join(part for part in (self.path.name, line, column) if part)

    @property
    def expectation(self) -> str:
        """What was expected and where."""
        return self.expected if self.value == str(self.path) else f"{self.expected} in {self.place}"

    def __str__(self) -> str:
        found = "" if self.value is ABSENT else f", got {self.value!r}"
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.place}: expected {self.expected}{found}{hint}"


def rows_of(path: Path, layout: Layout | None) -> tuple[Layout, Iterator[Row]]:
    """The layout, by the names of the columns unless it is given, and every row that is not blank.

    The suffix of the name decides: .jsonl and .ndjson are JSON lines, .parquet is Parquet, all else is CSV.
    Raises TraceError, also while the rows are read.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return json_rows(path, layout)
    return parquet_rows(path, layout) if suffix == ".parquet" else csv_rows(path, layout)


def found_in(path: Path, header: Sequence[str], layout: Layout | None, line: int | None) -> Layout:
    """The layout, whose columns are in the header."""
    layout = layout_of(header) if layout is None else layout
    for column in layout.columns:
        if column not in header:
            found = ", ".join(header) or "an empty line"
            expected = f"a header with the column {column}"
            raise TraceError(path, expected, found, line=line, suggestion=nearest(column, header))
    return layout


def csv_rows(path: Path, layout: Layout | None) -> tuple[Layout, Iterator[Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    layout = found_in(path, header, layout, 1)
    first, second, third = (header.index(column) for column in layout.columns)

    def rows() -> Iterator[Row]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            for row in reader:
                if len(row) == len(header):
                    yield reader.line_num, (row[first], row[second], row[third])
                elif any(field.strip() for field in row):
                    expected = f"{len(header)} fields"
                    raise TraceError(path, expected, ",".join(row), line=reader.line_num)

    return layout, rows()


def json_rows(path: Path, layout: Layout | None) -> tuple[Layout, Iterator[Row]]:
    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    found = json.loads(text)
                except json.JSONDecodeError as error:
                    raise TraceError(path, f"JSON ({error.msg})", text.strip()[:40], line=line) from None
                if not isinstance(found, dict):
                    raise TraceError(path, "a JSON object", text.strip()[:40], line=line)
                yield line, found

    line, first = next(objects(), (1, {}))
    layout = found_in(path, list(first), layout, line)

    def rows() -> Iterator[Row]:
        for line, found in objects():
            for column in layout.columns:
                if column not in found:
                    hint = nearest(column, list(found))
                    raise TraceError(path, "a value", line=line, column=column, suggestion=hint)
            yield line, (found[layout.time], found[layout.prompt], found[layout.output])

    return layout, rows()


def parquet_rows(path: Path, layout: Layout | None) -> tuple[Layout, Iterator[Row]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError:
        expected = "pyarrow to be installed (simsla[parquet]), or the trace as CSV or JSON lines"
        raise TraceError(path, expected) from None
    except Exception as error:  # whatever the engine says of a file that is none
        raise TraceError(path, f"a readable Parquet file ({error})") from None
    layout = found_in(path, [str(name) for name in frame.columns], layout, None)
    columns = (frame[column].tolist() for column in layout.columns)
    return layout, ((None, row) for row in zip(*columns, strict=True))
