"""The times in a trace: dates and times of day, or numbers."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from simsla.scenario.trace_layouts import Layout
from simsla.scenario.trace_rows import TraceError

__all__ = ["Clock", "clock_of"]

# The published files have seven decimals (2023) or six and an offset (2024).
TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)(?:Z|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)
NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d*)?", re.ASCII)
UNIT_WORDS: Final = {"s": "a number of seconds", "ms": "a number of milliseconds"}

Times = npt.NDArray[Any]


class Clock(Protocol):
    """Reads the times of some rows into an array in a unit of its own, of which a second has `per_second`."""

    per_second: float

    def read(self, times: Sequence[Any], lines: Sequence[int | None]) -> Times:
        """Since any moment; raises TraceError with the line of what is no time."""


def clock_of(path: Path, layout: Layout) -> Clock:
    """The clock for the unit of a layout."""
    return IsoClock(path, layout) if layout.unit == "iso" else NumberClock(path, layout)


class NumberClock:
    """Numbers of seconds or milliseconds."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.per_second = {"s": 1.0, "ms": 1e3}[layout.unit]
        self._path = path
        self._layout = layout

    def read(self, times: Sequence[Any], lines: Sequence[int | None]) -> Times:
        """As `Clock.read`."""
        for line, time in zip(lines, times, strict=True):
            if isinstance(time, str):
                right = NUMBER.fullmatch(time) is not None
            else:
                is_number = isinstance(time, numbers.Real) and not isinstance(time, bool)
                right = is_number and math.isfinite(time)
            if not right:
                expected = UNIT_WORDS[self._layout.unit]
                raise TraceError(self._path, expected, time, line=line, column=self._layout.time)
        return np.array([float(time) for time in times])


class IsoClock:
    """Dates and times, with an offset or in UTC, to the nanosecond."""

    per_second = 1e9

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout

    def read(self, times: Sequence[Any], lines: Sequence[int | None]) -> Times:
        """As `Clock.read`."""
        stamps: list[str] = []
        offsets: dict[int, int] = {}
        for index, time in enumerate(times):
            # Parquet has objects of their own for times.
            text = time.isoformat() if hasattr(time, "isoformat") else str(time)
            match = TIMESTAMP.fullmatch(text)
            if match is None:
                raise self._refusal("a time such as 2023-11-16 18:15:46.6805900", time, lines[index])
            if match[2] is not None:
                offset = timedelta(hours=int(match[3]), minutes=int(match[4]))
                offsets[index] = int(match[2] + "1") * offset // timedelta(microseconds=1) * 1000
            stamps.append(match[1])
        try:
            times_ns = np.array(stamps, dtype="datetime64[ns]").astype(np.int64)
        except ValueError:
            # The pattern lets impossible times through (month 13); only now is it worth finding which.
            for stamp, line in zip(stamps, lines, strict=True):
                try:
                    np.datetime64(stamp, "ns")
                except ValueError as error:
                    raise self._refusal(f"a possible time ({error})", stamp, line) from None
            raise AssertionError("unreachable: one of the times was refused") from None
        if offsets:
            times_ns[list(offsets)] -= np.array(list(offsets.values()))
        return times_ns

    def _refusal(self, expected: str, time: object, line: int | None) -> TraceError:
        return TraceError(self._path, expected, time, line=line, column=self._layout.time)
