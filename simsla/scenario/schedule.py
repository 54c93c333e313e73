"""What happens in a scenario at appointed times, and the verbs that make it happen.

schedule:
  - {at: "03:00", fail: us-east-1, for: 45min}
  - {at: 1h, slow: openai, factor: 3, for: 10min}
  - {at: 2h, limit: openai, share: .5, for: 5min}
  - {at: 3h, repair: openai}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import Field, model_validator

from simsla.scenario.faults import Episode, Fault, FaultKind, Only, check_severity
from simsla.scenario.fields import Model, Name, refuse
from simsla.scenario.moments import Moment
from simsla.scenario.quantities import Duration, Number, PositiveDuration, Share

if TYPE_CHECKING:
    from simsla.scenario.scenario import Scenario

__all__ = ["Event", "Verbs"]

KINDS: Final[dict[str, FaultKind]] = {
    "fail": "outage",
    "slow": "slowdown",
    "limit": "rate_limit_storm",
}

OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "fail": ("for", "share", "only"),
    "slow": ("for", "factor", "only"),
    "limit": ("for", "share", "retry_after", "only"),
    "repair": (),
}


class Event(Model):
    """One thing that happens to one component.

    `fail` it: an outage that refuses the `share` of attempts (all). `slow` it: latencies are `factor` times
    as long. `limit` it: the `share` of attempts (all) gets a 429 with `retry_after`. Each lasts `for`
    so long, or until the component is repaired. `repair` it: what lasts there ends, drawn episodes included.
    """

    at_s: Moment = Field(alias="at")
    fail: Name | None = None
    slow: Name | None = None
    limit: Name | None = None
    repair: Name | None = None
    for_s: PositiveDuration | None = Field(default=None, alias="for")
    share: Annotated[Share, Field(gt=0)] | None = None
    factor: Number | None = None
    retry_after_s: Duration | None = Field(default=None, alias="retry_after")
    only: Only | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> Self:
        verbs = [verb for verb in OPTIONS if getattr(self, verb) is not None]
        if len(verbs) != 1:
            found = " and ".join(verbs) or "none of them"
            raise refuse(f"exactly one of {', '.join(OPTIONS)}; found {found}")
        given = {
            "for": self.for_s,
            "share": self.share,
            "factor": self.factor,
            "retry_after": self.retry_after_s,
            "only": self.only,
        }
        for option, value in given.items():
            if value is not None and option not in OPTIONS[verbs[0]]:
                raise refuse(f"no {option} with {verbs[0]}", below=option)
        if self.slow is not None:
            if self.factor is None:
                raise refuse("a value (required for slow)", below="factor")
            check_severity("slowdown", self.factor, "factor")
        return self

    @property
    def verb(self) -> str:
        """What is done: fail, slow, limit or repair."""
        return next(verb for verb in OPTIONS if getattr(self, verb) is not None)

    @property
    def component(self) -> str:
        """To which component."""
        return str(getattr(self, self.verb))

    @property
    def fault(self) -> Fault | None:
        """The fault that it schedules, without a duration where it lasts until a repair; None: a repair."""
        if self.verb == "repair":
            return None
        severity = (self.factor if self.verb == "slow" else self.share) or 1.0
        episode = Episode.model_construct(start_s=self.at_s, duration_s=self.for_s, severity=severity)
        return Fault.model_construct(
            kind=KINDS[self.verb],
            severity=severity,
            retry_after_s=self.retry_after_s,
            only=self.only,
            schedule=(episode,),
        )


class Verbs:
    """What can be done to the components of a scenario: each verb gives a new scenario with it scheduled.

        dark = scenario.world.fail("us-east-1", at="03:00", for_="45min")
        worse = dark.world.slow("openai", at="03:10", for_="1h", factor=3)

    Times are moments and durations as in a scenario file. Raises ScenarioError, with the nearest name, for a
    component that the scenario does not have, and for impossible values.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def fail(
        self,
        component: str,
        *,
        at: str | float,
        for_: str | float | None = None,
        share: float | None = None,
        only: dict[str, Any] | None = None,
    ) -> Scenario:
        """Refuse connections, all or a share of them; without `for_` until it is repaired."""
        return self._with({"at": at, "fail": component, "for": for_, "share": share, "only": only})

    def slow(
        self,
        component: str,
        *,
        at: str | float,
        factor: float,
        for_: str | float | None = None,
        only: dict[str, Any] | None = None,
    ) -> Scenario:
        """Multiply the latency by `factor`; without `for_` until it is repaired."""
        return self._with({"at": at, "slow": component, "for": for_, "factor": factor, "only": only})

    def limit(
        self,
        component: str,
        *,
        at: str | float,
        for_: str | float | None = None,
        share: float | None = None,
        retry_after: str | float | None = None,
        only: dict[str, Any] | None = None,
    ) -> Scenario:
        """Answer attempts, all or a share of them, with 429; without `for_` until it is repaired."""
        event = {"at": at, "limit": component, "for": for_, "share": share, "only": only}
        return self._with(event | {"retry_after": retry_after})

    def repair(self, component: str, *, at: str | float) -> Scenario:
        """End every episode that lasts there, drawn ones included."""
        return self._with({"at": at, "repair": component})

    def _with(self, event: dict[str, Any]) -> Scenario:
        given = {key: value for key, value in event.items() if value is not None}
        return self._scenario.with_values({"schedule": [*self._scenario.to_dict()["schedule"], given]})
