"""Traces as parts of a scenario: replayed, or as a source of lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from simsla.scenario.fields import Model, Name, refuse
from simsla.scenario.quantities import Number, Share
from simsla.scenario.trace_layouts import TimeUnit
from simsla.scenario.traces import Trace, TraceError, load_trace

__all__ = ["LengthsFromTrace", "TraceArrivals", "TraceColumns"]


class TraceColumns(Model):
    """Which columns of a file of one's own hold what: `{time: ts, prompt: in_tok, output: out_tok}`."""

    time: Name
    prompt: Name
    output: Name


def absolute(value: str, info: ValidationInfo) -> str:
    """The absolute path; relative ones are relative to the scenario's file."""
    base_dir = info.context.get("base_dir") if info.context else None
    return str(((Path(base_dir) if base_dir is not None else Path()) / value).resolve())


Path_ = Annotated[str, AfterValidator(absolute)]


class TraceFile(Model):
    """A trace that can be read (see `load_trace`)."""

    path_key: ClassVar[str] = "path"
    path: Path_
    columns: TraceColumns | None = None
    """None: a published layout, known by its columns."""
    time_unit: TimeUnit | None = None
    """What times are in a file of one's own: s (the default), ms or iso."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.time_unit is not None and self.columns is None:
            raise refuse("no time_unit without columns: a published layout has its own", below="time_unit")
        try:
            self.load()
        except TraceError as error:
            raise refuse(error.expectation, error.value, error.suggestion, below=self.path_key) from None
        return self

    def load(self) -> Trace:
        """The trace itself, cached by path and time of modification."""
        columns = None if self.columns is None else self.columns.model_dump()
        return load_trace(self.path, columns=columns, time_unit=self.time_unit or "s")


class LengthsFromTrace(TraceFile):
    """Lengths resampled from a trace: `{from_trace: conv.csv}`.

    Both lengths of a request are those of one row, each as likely, so that they keep their joint
    distribution.
    """

    path_key: ClassVar[str] = "from_trace"
    path: Path_ = Field(alias="from_trace")


def ordered(share: tuple[float, float]) -> tuple[float, float]:
    if share[0] >= share[1]:
        raise refuse("a lower and a higher edge", list(share))
    return share


class TraceArrivals(TraceFile):
    """A replayed trace: arrival times and lengths of requests that really were.

    `{kind: trace, path: mine.jsonl, columns: {time: ts, prompt: in_tok, output: out_tok}, time_unit: ms,
    rate_factor: 2, loop: true, thin: .1}`

    A class takes the share of the rows whose keyed uniform falls into [share[0], share[1]), so classes with
    adjoining shares divide a trace between them, row by row at random.
    """

    kind: Literal["trace"]
    share: Annotated[tuple[Share, Share], AfterValidator(ordered)] = (0.0, 1.0)
    rate_factor: Annotated[Number, Field(gt=0)] = 1.0
    """Time runs so many times as fast: the same requests, closer together (or, below 1, further apart)."""
    loop: Annotated[bool, Field(strict=True)] = False
    """Whether the trace begins anew when it ends, one mean gap after its last request."""
    thin: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """The part of the class's rows that is kept, row by row at random; in a loop, anew in each round."""

    def period_s(self) -> float:
        """Seconds from the first request of a round to the first of the next, on the run's clock."""
        trace = self.load()
        return trace.span_s * len(trace) / (len(trace) - 1) / self.rate_factor

    def mean_rate_per_s(self) -> float:
        """Requests per second over the span of the trace or, in a loop, in the long run."""
        trace = self.load()
        kept = len(trace) * (self.share[1] - self.share[0]) * self.thin
        return kept / (self.period_s() if self.loop else trace.span_s / self.rate_factor)

    @property
    def steady(self) -> bool:
        """A trace has its own shape in time."""
        return False
