"""Traces of real requests: published ones by the names of their columns, others by a mapping of theirs."""

from __future__ import annotations

import csv
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.distributions import nearest
from simsla.scenario.trace_clock import clock_of
from simsla.scenario.trace_layouts import AZURE, Layout, TimeUnit
from simsla.scenario.trace_rows import TraceError, rows_of

__all__ = ["COLUMNS", "Trace", "TraceError", "load_trace"]

COLUMNS: Final = AZURE.columns

WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)
MOST_TOKENS: Final = 10**9
ROWS_AT_ONCE: Final = 1 << 16


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests that really were, in the order of their arrival. The arrays cannot be written to."""

    path: Path
    arrival_s: npt.NDArray[np.float64]
    """Seconds since the first request."""
    prompt_tokens: npt.NDArray[np.int64]
    output_tokens: npt.NDArray[np.int64]
    failures: int = 0
    """Rows left out: their request failed in the traced service, so that its true length is unknown."""

    @property
    def span_s(self) -> float:
        """Seconds from the first request to the last."""
        return float(self.arrival_s[-1])

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __repr__(self) -> str:
        return f"<Trace {self.path.name}: {len(self):,} requests in {self.span_s:,.1f} s>"


def load_trace(
    path: str | Path, *, columns: Mapping[str, str] | None = None, time_unit: TimeUnit = "s"
) -> Trace:
    """Read a trace: CSV, JSON lines (.jsonl, .ndjson) or Parquet (.parquet, if pyarrow is installed).

    The layouts of Azure (2023, 2024, 2025), BurstGPT (rows of 0 response tokens are failures and left out)
    and Mooncake are known by their columns, which are found by name, in any order and among others. Of any
    other file `columns` names them, `{time: ts, prompt: in_tok, output: out_tok}`, and `time_unit` says what
    times are: s or ms (numbers, since any moment) or iso (dates and times; UTC without an offset).

    Rows are sorted by time (stably: several frontends write to one log), and time starts at the earliest.
    Files are read once per path, size and time of modification.

    Raises TraceError.
    """
    file = Path(path).resolve()
    layout = (
        None if columns is None else Layout(columns["time"], columns["prompt"], columns["output"], time_unit)
    )
    try:
        status = file.stat()
    except OSError as error:
        beside = nearest(file.name, [other.name for other in file.parent.glob("*")])
        expected = f"a file that can be read ({error.strerror})"
        raise TraceError(file, expected, str(file), suggestion=beside) from None
    return read_trace(file, layout, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def read_trace(path: Path, given: Layout | None, _modified_ns: int, _size: int) -> Trace:
    times: list[npt.NDArray[Any]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    failures = 0
    try:
        layout, rows = rows_of(path, given)
        clock = clock_of(path, layout)
        # In pieces, because an object for every field of a long trace would fill the memory.
        while some := list(islice(rows, ROWS_AT_ONCE)):
            read = clock.read([time for _, (time, _, _) in some], [line for line, _ in some])
            tokens = np.array(
                [
                    (whole(path, line, layout.prompt, prompt), whole(path, line, layout.output, output))
                    for line, (_, prompt, output) in some
                ]
            )
            if layout.zero_is_failure:
                served = tokens[:, 1] > 0
                failures += int((~served).sum())
                read, tokens = read[served], tokens[served]
            times.append(read)
            lengths.append(tokens)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(path, f"a readable trace ({error})") from None
    count = sum(map(len, times))
    if count < 2:
        raise TraceError(path, "at least two requests", count)
    arrivals = np.concatenate(times)
    order = np.argsort(arrivals, kind="stable")
    since_first_s = (arrivals[order] - arrivals[order[0]]) / clock.per_second
    if since_first_s[-1] == 0:
        raise TraceError(path, "requests at two different times at least", column=layout.time)
    tokens_of = np.concatenate(lengths)[order]
    trace = Trace(path, since_first_s, tokens_of[:, 0].copy(), tokens_of[:, 1].copy(), failures)
    for array in (trace.arrival_s, trace.prompt_tokens, trace.output_tokens):
        array.flags.writeable = False
    return trace


def whole(path: Path, line: int | None, column: str, value: Any) -> int:
    """A number of tokens."""
    if isinstance(value, str):
        if WHOLE.fullmatch(value) is not None:
            return int(value)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        if number.is_integer() and 0 <= number < MOST_TOKENS:
            return int(number)
    raise TraceError(path, "a whole number >= 0", value, line=line, column=column)
