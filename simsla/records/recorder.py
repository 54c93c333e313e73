"""Where the world and the harness write what happened."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from simsla.records.log import ATTEMPT_ROW, REQUEST_ROW, Columns, Log

_ROWS_PER_BLOCK = 1 << 15

_FORMATS = {"i8": "q", "i4": "i", "i2": "h", "i1": "b", "f8": "d", "b1": "?"}


class Recorder(Protocol):
    """What a run reports to. Times are seconds on the replication's clock, costs are USD.

    The arguments of `attempt` and `close_request` are the columns of the logs (see `Log`); they are
    positional because both are called for every request. An attempt may end after its request has.
    """

    def open_request(self, request: int, request_class: int, arrival_s: float) -> None:
        """A request arrives."""

    def attempt(
        self,
        request: int,
        deployment: int,
        ordinal: int,
        purpose: int,
        start_s: float,
        queued_s: float,
        first_token_s: float,
        end_s: float,
        outcome: int,
        tokens_in: int,
        tokens_out: int,
        cost_usd: float,
        cancelled: bool,
        /,
    ) -> None:
        """A call to a deployment ended."""

    def close_request(
        self,
        request: int,
        request_class: int,
        arrival_s: float,
        end_s: float,
        outcome: int,
        deployment: int,
        first_token_s: float,
        prompt_tokens: int,
        output_tokens: int,
        deadline_s: float,
        valid: bool,
        cache_hit: int,
        /,
    ) -> None:
        """A request ended, in exactly one outcome."""


class Rows:
    """Rows packed into blocks of bytes: as many bytes a row as its columns need."""

    def __init__(self, dtype: np.dtype[np.void], when_full: Callable[[], None] | None = None) -> None:
        """`when_full` is called after each block of 32,768 rows."""
        assert dtype.names is not None
        codes = (_FORMATS[dtype[name].str.lstrip("<|")] for name in dtype.names)
        self._pack = struct.Struct("<" + "".join(codes)).pack
        self._dtype = dtype
        self._size = _ROWS_PER_BLOCK * dtype.itemsize
        self._when_full = when_full
        self._full: list[bytearray] = []
        self._block = bytearray()
        self._columns: Columns = {name: np.empty(0, dtype[name]) for name in dtype.names}

    def append(self, *values: float) -> None:
        """Keep one row, its values in the order of the columns."""
        block = self._block
        block += self._pack(*values)
        if len(block) == self._size:
            self._full.append(block)
            self._block = bytearray()
            if self._when_full is not None:
                self._when_full()

    def columns(self) -> Columns:
        """Name to column, of all rows that are kept."""
        assert self._dtype.names is not None
        parts = [self._columns, *map(self._rows, (*self._full, self._block))]
        # Column by column, and the blocks are let go: rows are not kept twice.
        self._columns = {name: np.concatenate([part[name] for part in parts]) for name in self._dtype.names}
        self._full, self._block = [], bytearray()
        return self._columns

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Let go of the other rows of `columns`."""
        self._columns = {name: column[chosen] for name, column in self.columns().items()}

    def _rows(self, block: bytearray) -> Any:
        return np.frombuffer(block, self._dtype)


class ColumnRecorder:
    """Keeps both logs in memory, as columns: about 60 bytes a row."""

    def __init__(self) -> None:
        self._requests = Rows(REQUEST_ROW)
        self._attempts = Rows(ATTEMPT_ROW)
        self.attempt = self._attempts.append
        self.close_request = self._requests.append

    def open_request(self, request: int, request_class: int, arrival_s: float) -> None:
        """Nothing is kept until the request ends."""

    def log(self, request_classes: tuple[str, ...], deployments: tuple[str, ...]) -> Log:
        """What was recorded so far, in the order in which requests and attempts ended."""
        return Log.of(self._requests.columns(), self._attempts.columns(), request_classes, deployments)
