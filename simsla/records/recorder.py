"""Where the world and the harness write what happened."""

from __future__ import annotations

import struct
from typing import Protocol

import numpy as np
import numpy.typing as npt

from simsla.records.log import ATTEMPT_ROW, REQUEST_ROW, Columns, Log, columns_of

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
        /,
    ) -> None:
        """A request ended, in exactly one outcome."""


class _Rows:
    """Rows packed into blocks of bytes: 0.2 us and as many bytes a row as its columns need."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        assert dtype.names is not None
        codes = (_FORMATS[dtype[name].str.lstrip("<|")] for name in dtype.names)
        self._pack_into = struct.Struct("<" + "".join(codes)).pack_into
        self._dtype = dtype
        self._size = _ROWS_PER_BLOCK * dtype.itemsize
        self._full: list[bytearray] = []
        self._block = bytearray(self._size)
        self._at = 0

    def append(self, *values: float) -> None:
        if self._at == self._size:
            self._full.append(self._block)
            self._block = bytearray(self._size)
            self._at = 0
        self._pack_into(self._block, self._at, *values)
        self._at += self._dtype.itemsize

    def columns(self) -> Columns:
        parts: list[npt.NDArray[np.void]] = [np.frombuffer(block, self._dtype) for block in self._full]
        parts.append(np.frombuffer(self._block, self._dtype, count=self._at // self._dtype.itemsize))
        return columns_of(np.concatenate(parts))


class ColumnRecorder:
    """Keeps both logs in memory, as columns: about 60 bytes a row."""

    def __init__(self) -> None:
        self._requests = _Rows(REQUEST_ROW)
        self._attempts = _Rows(ATTEMPT_ROW)
        self.attempt = self._attempts.append
        self.close_request = self._requests.append

    def open_request(self, request: int, request_class: int, arrival_s: float) -> None:
        """Nothing is kept until the request ends."""

    def log(self, request_classes: tuple[str, ...], deployments: tuple[str, ...]) -> Log:
        """What was recorded so far, in the order in which requests and attempts ended."""
        return Log.of(self._requests.columns(), self._attempts.columns(), request_classes, deployments)
