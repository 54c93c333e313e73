"""Faults: the ways in which a component fails, when, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from simsla.distributions import Distribution
from simsla.scenario.fields import Model, Name, refuse
from simsla.scenario.files import shipped
from simsla.scenario.incidents import with_measured
from simsla.scenario.moments import Moment, moment_s
from simsla.scenario.quantities import Duration, Number, PositiveDuration, Share, TimeDist, Whole, duration_s

__all__ = ["Episode", "Fault", "FaultKind", "Flapping", "Only", "Rollback"]

FaultKind = Literal[
    "outage", "hang", "brownout", "slowdown", "cut", "malformed", "rate_limit_storm", "connect"
]

PROCESSES: Final = "schedule, gap with repair, uptime with repair, measured"

WITH_DEFAULT_SEVERITY: Final = ("outage", "hang", "connect")


def above_zero(found: Distribution) -> Distribution:
    if found.mean() <= 0:
        raise refuse("a distribution with a mean above 0", found.to_spec())
    return found


Spell = Annotated[TimeDist, AfterValidator(above_zero)]
"""How long something lasts: a distribution of seconds, or a duration such as 20s."""


class Only(Model):
    """Whom a grey failure hits: what every given limit allows; the others notice nothing.

    `classes` are request classes, `regions` those that clients are in, and `clients` the share of the clients
    hit: the same ones at every attempt and in every episode. A request without a client is one by itself.
    """

    classes: tuple[Name, ...] = ()
    regions: tuple[Name, ...] = ()
    clients: Annotated[Share, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if not self.classes and not self.regions and self.clients == 1:
            raise refuse("classes, regions or a share of clients below 1")
        return self


class Flapping(Model):
    """An episode that goes on and off: it strikes for `down`, lets go for `up`, and so on until it ends."""

    up: Spell
    down: Spell


class Rollback(Model):
    """An episode that is a bad release: it ends when somebody has noticed, and rolled it back.

    `noticed` is how long that takes; `bad` the share of the releases that are bad, the others doing nothing.
    """

    noticed: Spell
    bad: Annotated[Share, Field(gt=0)] = 1.0


def length_s(value: object, _: ValidationInfo) -> float:
    return duration_s(value)


SHORT_NAMES: Final[dict[str, tuple[str, Callable[[object, ValidationInfo], float]]]] = {
    "at": ("start", moment_s),
    "for": ("duration", length_s),
}


def with_short_names(schema: dict[str, Any]) -> None:
    """`at` and `for` in the JSON Schema, beside the `start` and `duration` that they stand for."""
    properties = schema["properties"]
    properties |= {short: properties[name] for short, (name, _) in SHORT_NAMES.items()}
    schema["required"] = [name for name in schema.get("required", ()) if name != "start"]


class Episode(Model, json_schema_extra=with_short_names):
    """A scheduled episode of a fault, from `start` (or `at`) for `duration` (or `for`).

    With `every` it is a window that comes again and again: `{every: 7d, at: "03:00", for: 30min}`.
    """

    start_s: Moment = Field(alias="start")
    duration_s: PositiveDuration | None = Field(default=None, alias="duration")
    """None where the fault has a rollback, which draws it."""
    every_s: PositiveDuration | None = Field(default=None, alias="every")
    severity: Number = 1.0
    """The fault's severity, unless the episode has its own."""

    @model_validator(mode="before")
    @classmethod
    def _short_names(cls, data: object, info: ValidationInfo) -> object:
        if not isinstance(data, dict):
            return data
        renamed = dict(data)
        for short, (name, seconds) in SHORT_NAMES.items():
            if short not in data:
                continue
            if name in data:
                raise refuse(f"either {name} or {short}, not both", below=short)
            try:
                renamed[name] = seconds(renamed.pop(short), info)
            except PydanticCustomError as error:
                raise refuse((error.context or {})["expected"], data[short], below=short) from None
        return renamed

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.every_s is not None and self.duration_s is not None and self.duration_s >= self.every_s:
            raise refuse("longer than the episode itself", self.every_s, below="every")
        return self


def as_written(schedule: tuple[Episode, ...] | None) -> list[dict[str, Any]] | None:
    if schedule is None:
        return None
    return [episode.model_dump(mode="json", by_alias=True, exclude_unset=True) for episode in schedule]


def with_reference(schema: dict[str, Any]) -> None:
    """`measured` in the JSON Schema, which is replaced by what it refers to."""
    schema["properties"]["measured"] = {"enum": list(shipped("incidents"))}


class Fault(Model, json_schema_extra=with_reference):
    """One way in which a component fails.

    `severity` is the share of attempts hit while an episode lasts: refused (outage), not connected (connect),
    accepted and never answered (hang), turned away on arrival with 429 (rate_limit_storm), answered with
    `error` (brownout), broken off within the answer (cut), answered with what cannot be read (malformed); for
    a slowdown it is the factor on the latency.
    Episodes come from exactly one of `schedule`; `gap` and `repair`: a renewal process from start to start
    whose overlapping episodes are united; `uptime` and `repair`: an alternating renewal process. A `rollback`
    takes the place of `repair`, or of the duration in a schedule. `measured` stands for a measured process:
    Weibull gaps, lognormal repairs, and the share of attempts that failed.

        - {kind: brownout, measured: openai-api}
        - {kind: outage, schedule: [{every: 7d, at: "03:00", for: 30min}]}        # planned maintenance
        - {kind: rate_limit_storm, severity: .6, retry_after: 20s, uptime: ..., repair: ...}
        - {kind: connect, hang: true, only: {regions: [eu-west-1]}, gap: ..., repair: ...}
        - {kind: outage, flapping: {up: 20s, down: 10s}, gap: ..., repair: ...}
        - {kind: brownout, severity: .3, schedule: [{every: 1d, at: "14:00"}],
           rollback: {bad: .05, noticed: {kind: lognormal, mean: 900, sigma: 1}}}
    """

    kind: FaultKind
    severity: Number = 1.0
    error: Whole | None = None
    """The HTTP status that a brownout answers with: 429, 500 or 503 (the default). None for other kinds."""
    retry_after_s: Duration | None = Field(default=None, alias="retry_after")
    """What a rate_limit_storm sends with its 429; None: what the deployment sends with its own."""
    hang: Annotated[bool, Field(strict=True)] = False
    """Whether a connection that fails is not even refused (connect): it ends by a limit of time."""
    only: Only | None = None
    """A grey failure: whom it hits; None: everybody."""
    flapping: Flapping | None = None
    schedule: Annotated[
        tuple[Episode, ...], PlainSerializer(as_written, return_type=list[dict[str, Any]])
    ] = ()
    gap: TimeDist | None = None
    uptime: TimeDist | None = None
    repair: TimeDist | None = None
    rollback: Rollback | None = None
    source: str | None = None
    """Where the numbers come from."""

    @property
    def between(self) -> Distribution | None:
        """The gap or the uptime; None for a scheduled fault."""
        return self.gap if self.gap is not None else self.uptime

    @property
    def lasts(self) -> Distribution | None:
        """How long an episode lasts, where that is drawn."""
        return self.repair if self.rollback is None else self.rollback.noticed

    @model_validator(mode="before")
    @classmethod
    def _measured(cls, data: object) -> object:
        return with_measured(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.kind not in WITH_DEFAULT_SEVERITY and "severity" not in self.model_fields_set:
            raise refuse(f"a value (required for the kind {self.kind})", below="severity")
        check_severity(self.kind, self.severity, "severity")
        self._check_error()
        self._check_process()
        for i, episode in enumerate(self.schedule):
            check_severity(self.kind, episode.severity, f"schedule[{i}].severity", episode)
            self._check_duration(episode, f"schedule[{i}].duration")
        resolved = tuple(
            episode
            if "severity" in episode.model_fields_set
            else Episode.model_construct(
                episode.model_fields_set,
                start_s=episode.start_s,
                duration_s=episode.duration_s,
                every_s=episode.every_s,
                severity=self.severity,
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
        if self.retry_after_s is not None and self.kind != "rate_limit_storm":
            raise refuse("none: only a rate_limit_storm sends it", self.retry_after_s, below="retry_after")
        if self.hang and self.kind != "connect":
            raise refuse(
                "no hang: only a connection (kind connect) can; see also the kind hang", below="hang"
            )

    def _check_process(self) -> None:
        between = [name for name in ("gap", "uptime") if getattr(self, name) is not None]
        sources = ["schedule"] * bool(self.schedule) + between
        if len(sources) != 1:
            found = " and ".join(sources) or "none of them"
            raise refuse(f"exactly one of {PROCESSES}; found {found}")
        if self.rollback is not None and self.repair is not None:
            raise refuse("no repair beside a rollback", below="repair")
        if bool(between) != (self.lasts is not None) and not (self.schedule and self.rollback):
            raise refuse(
                "gap with repair or uptime with repair" if between else "no repair beside a schedule",
                below="repair",
            )
        for name in (*between, "repair"):
            process: Distribution | None = getattr(self, name)
            if process is not None and process.mean() <= 0:
                raise refuse("a distribution with a mean above 0", process.to_spec(), below=name)

    def _check_duration(self, episode: Episode, path: str) -> None:
        if episode.duration_s is None and self.rollback is None:
            raise refuse("a value (required)", below=path)
        if episode.duration_s is not None and self.rollback is not None:
            raise refuse("no duration beside a rollback, which draws it", episode.duration_s, below=path)


def check_severity(kind: str, severity: float, path: str, episode: Episode | None = None) -> None:
    if episode is not None and "severity" not in episode.model_fields_set:
        return
    if kind == "slowdown":
        if severity <= 1:
            raise refuse("a factor above 1 on the latency", severity, below=path)
    elif not 0 < severity <= 1:
        raise refuse("a share of the attempts in (0, 1]", severity, below=path)
