"""Traces of real requests in the Azure schema."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from simsla.distributions import nearest
from simsla.scenario.errors import ABSENT

__all__ = ["COLUMNS", "Trace", "TraceError", "load_trace"]

COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")

# The published files have seven decimals (2023) or six and an offset (2024).
TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)(?:Z|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)
WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)


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


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests that really were, in the order of their arrival. The arrays cannot be written to."""

    path: Path
    arrival_s: npt.NDArray[np.float64]
    """Seconds since the first request."""
    prompt_tokens: npt.NDArray[np.int64]
    output_tokens: npt.NDArray[np.int64]

    @property
    def span_s(self) -> float:
        """Seconds from the first request to the last."""
        return float(self.arrival_s[-1])

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __repr__(self) -> str:
        return f"<Trace {self.path.name}: {len(self):,} requests in {self.span_s:,.1f} s>"


def load_trace(path: str | Path) -> Trace:
    """Read a trace: a CSV file with the columns TIMESTAMP, ContextTokens and GeneratedTokens.

    Columns are found by name, in any order and among others. Timestamps without an offset are UTC. Rows are
    sorted by time (stably: several frontends write to one log), and time starts at the earliest. Files are
    read once per path, size and time of modification.

    Raises TraceError.
    """
    file = Path(path).resolve()
    try:
        status = file.stat()
    except OSError as error:
        beside = nearest(file.name, [other.name for other in file.parent.glob("*")])
        expected = f"a file that can be read ({error.strerror})"
        raise TraceError(file, expected, str(file), suggestion=beside) from None
    return read_trace(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def read_trace(path: Path, _modified_ns: int, _size: int) -> Trace:
    stamps: list[str] = []
    offsets: dict[int, int] = {}
    lengths: list[tuple[int, int]] = []
    try:
        for line, (stamp, prompt, output) in rows_of(path):
            match = TIMESTAMP.fullmatch(stamp)
            if match is None:
                expected = "a time such as 2023-11-16 18:15:46.6805900"
                raise TraceError(path, expected, stamp, line=line, column=COLUMNS[0])
            for column, text in ((COLUMNS[1], prompt), (COLUMNS[2], output)):
                if WHOLE.fullmatch(text) is None:
                    raise TraceError(path, "a whole number >= 0", text, line=line, column=column)
            if match[2] is not None:
                offset = timedelta(hours=int(match[3]), minutes=int(match[4]))
                offsets[len(stamps)] = int(match[2] + "1") * offset // timedelta(microseconds=1) * 1000
            stamps.append(match[1])
            lengths.append((int(prompt), int(output)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(path, f"a readable CSV file ({error})") from None
    if len(stamps) < 2:
        raise TraceError(path, "at least two requests", len(stamps))
    times_ns = nanoseconds(path, stamps)
    if offsets:
        times_ns[list(offsets)] -= np.array(list(offsets.values()))
    order = np.argsort(times_ns, kind="stable")
    times_ns = times_ns[order]
    tokens = np.array(lengths, dtype=np.int64)[order]
    if times_ns[-1] == times_ns[0]:
        raise TraceError(path, "requests at two different times at least", column=COLUMNS[0])
    trace = Trace(path, (times_ns - times_ns[0]) / 1e9, tokens[:, 0].copy(), tokens[:, 1].copy())
    for array in (trace.arrival_s, trace.prompt_tokens, trace.output_tokens):
        array.flags.writeable = False
    return trace


def rows_of(path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """The three columns of every row that is not blank, with its line number."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        for column in COLUMNS:
            if column not in header:
                found = ", ".join(header) or "an empty line"
                expected = f"a header with the column {column}"
                raise TraceError(path, expected, found, line=1, suggestion=nearest(column, header))
        first, second, third = (header.index(column) for column in COLUMNS)
        for row in reader:
            if len(row) == len(header):
                yield reader.line_num, (row[first], row[second], row[third])
            elif any(field.strip() for field in row):
                expected = f"{len(header)} fields"
                raise TraceError(path, expected, ",".join(row), line=reader.line_num)


def nanoseconds(path: Path, stamps: list[str]) -> npt.NDArray[np.int64]:
    try:
        return np.array(stamps, dtype="datetime64[ns]").astype(np.int64)
    except ValueError:
        pass
    # The pattern lets impossible times through (month 13); only now is it worth finding which.
    for (line, _), stamp in zip(rows_of(path), stamps, strict=True):
        try:
            np.datetime64(stamp, "ns")
        except ValueError as error:
            expected = f"a possible time ({error})"
            raise TraceError(path, expected, stamp, line=line, column=COLUMNS[0]) from None
    raise AssertionError("unreachable: one of the timestamps was refused")
