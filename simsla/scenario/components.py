"""Components: what can fail, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from simsla.distributions import Distribution
from simsla.scenario.fields import Dist, Model, refuse
from simsla.scenario.quantities import Duration, Number, PositiveDuration, Whole

__all__ = ["Component", "Episode", "Fault", "Region"]

FaultKind = Literal["outage", "hang", "brownout", "slowdown", "cut", "malformed"]


class Episode(Model):
    """A scheduled episode of a fault."""

    start_s: Duration = Field(alias="start")
    duration_s: PositiveDuration = Field(alias="duration")
    severity: Number = 1.0
    """The fault's severity, unless the episode has its own."""


def as_written(schedule: tuple[Episode, ...] | None) -> list[dict[str, Any]] | None:
    if schedule is None:
        return None
    return [episode.model_dump(mode="json", by_alias=True, exclude_unset=True) for episode in schedule]


class Fault(Model):
    """One way in which a component fails.

    `severity` is the share of attempts hit while an episode lasts: refused (outage), accepted and never
    answered (hang), answered with `error` (brownout), broken off within the answer (cut), answered with what
    cannot be read (malformed); for a slowdown it is the factor on the latency.
    Episodes come from exactly one of `schedule`; `gap` and `repair`: a renewal process from start to start
    whose overlapping episodes are united; `uptime` and `repair`: an alternating renewal process.
    """

    kind: FaultKind
    severity: Number = 1.0
    error: Whole | None = None
    """The HTTP status that a brownout answers with: 429, 500 or 503 (the default). None for other kinds."""
    schedule: Annotated[
        tuple[Episode, ...], PlainSerializer(as_written, return_type=list[dict[str, Any]])
    ] = ()
    gap: Dist | None = None
    uptime: Dist | None = None
    repair: Dist | None = None
    source: str | None = None
    """Where the numbers come from."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_severity(self.kind, self.severity, "severity")
        if self.kind not in ("outage", "hang") and "severity" not in self.model_fields_set:
            raise refuse(f"a value (required for the kind {self.kind})", below="severity")
        self._check_error()
        self._check_process()
        for i, episode in enumerate(self.schedule):
            check_severity(self.kind, episode.severity, f"schedule[{i}].severity", episode)
        resolved = tuple(
            Episode.model_construct(
                episode.model_fields_set,
                start_s=episode.start_s,
                duration_s=episode.duration_s,
                severity=episode.severity if "severity" in episode.model_fields_set else self.severity,
            )
            for episode in self.schedule
        )
        object.__setattr__(self, "schedule", resolved)
        return self

    def _check_error(self) -> None:
        if self.kind == "brownout":
            if self.error is None:
                object.__setattr__(self, "error", 503)
            elif self.error not in (429, 500, 503):
                raise refuse("429, 500 or 503", self.error, below="error")
        elif self.error is not None:
            raise refuse("no error: only a brownout answers with one", self.error, below="error")

    def _check_process(self) -> None:
        between = [name for name in ("gap", "uptime") if getattr(self, name) is not None]
        sources = ["schedule"] * bool(self.schedule) + between
        if len(sources) != 1:
            found = " and ".join(sources) or "none of them"
            raise refuse(f"exactly one of schedule, gap with repair, uptime with repair; found {found}")
        if bool(between) != (self.repair is not None):
            raise refuse(
                "gap with repair or uptime with repair" if between else "no repair beside a schedule",
                below="repair",
            )
        for name in (*between, "repair"):
            process: Distribution | None = getattr(self, name)
            if process is not None and process.mean() <= 0:
                raise refuse("a distribution with a mean above 0", process.to_spec(), below=name)


def check_severity(kind: str, severity: float, path: str, episode: Episode | None = None) -> None:
    if episode is not None and "severity" not in episode.model_fields_set:
        return
    if kind == "slowdown":
        if severity <= 1:
            raise refuse("a factor above 1 on the latency", severity, below=path)
    elif not 0 < severity <= 1:
        raise refuse("a share of the attempts in (0, 1]", severity, below=path)


def empty_if_none(value: object) -> object:
    return {} if value is None else value


class Component(Model):
    """Something that can fail. A deployment that depends on it fails with it."""

    kind: Literal["provider", "gateway", "region", "model", "account", "network", "other"] = "other"
    faults: tuple[Fault, ...] = ()


class Region(Model):
    """A region: a component of kind `region` on which every deployment in it depends."""

    faults: tuple[Fault, ...] = ()

    def as_component(self) -> Component:
        """The region as a component."""
        return Component(kind="region", faults=self.faults)


ComponentOrNone = Annotated[Component, BeforeValidator(empty_if_none)]
RegionOrNone = Annotated[Region, BeforeValidator(empty_if_none)]
