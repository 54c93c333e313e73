"""The gateway's pods and the autoscaler that keeps their number.

gateway:
  pods: 4                                   # at the start; the autoscaler's task from then on
  service: {kind: lognormal, mean: 4, p99: 15, unit: ms}   # a pod's own work on a request
  workers: 2                                # requests that a pod works on at once
  concurrency: 64                           # requests that a pod holds at once, to their last token
  queue_limit: 100
  start_up: 45s
  crash: {uptime: {kind: exponential, mean: 30, unit: d}, repair: {kind: lognormal, mean: 20, p99: 60}}
  usd_per_pod_hour: 0.05
  autoscaler:                               # out above 2 s, in below 1.5 s
    min: 2
    max: 40
    metrics: [{metric: latency_p99_s, target: 2.0}]
    scale_up: {tolerance: 0}
    scale_down: {tolerance: 0.25}
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from simsla.distributions import Constant, nearest
from simsla.scenario.fields import Model, refuse
from simsla.scenario.quantities import Duration, Number, PositiveDuration, TimeDist, Whole

__all__ = ["Autoscaler", "Crash", "Gateway", "ScalingMetric", "ScalingPolicy", "ScalingRules"]


PER_POD: Final = ("concurrency", "rate", "cpu")
"""Metrics that each pod has and that are averaged over pods; others belong to the gateway as a whole."""

LEVEL: Final = r"\d\d|9\d{0,4}[1-9]"
"""The digits of a quantile's level in a name: p05, p50, p99, p995, p9999. What could be read in two ways is
none: p5, p100."""

LATENCY: Final = re.compile(rf"latency_p({LEVEL})_s", re.ASCII)

Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Whole, Field(ge=1)]
NotNegative = Annotated[Number, Field(ge=0)]


def known(metric: str) -> str:
    names = (*PER_POD, "latency_p99_s")
    match = LATENCY.fullmatch(metric)
    if metric in PER_POD or (match is not None and int(match[1]) > 0):
        return metric
    raise refuse("concurrency, rate, cpu or a quantile such as latency_p99_s", metric, nearest(metric, names))


class ScalingMetric(Model):
    """A metric, and the value at which the number of pods is right.

    `concurrency`: requests that a pod holds; `rate`: requests per second that come to a pod; `cpu`: the share
    of its workers' time that a pod works; these are averages over pods. `latency_p99_s` and its like: the
    quantile of the seconds from a request's coming to the end of its answer, provider included.
    """

    metric: Annotated[str, AfterValidator(known)]
    target: Positive
    window_s: PositiveDuration = Field(default=60.0, alias="window")
    """What the value is measured over: so long before the moment of asking."""

    @property
    def per_pod(self) -> bool:
        """Whether each pod has a value of its own."""
        return self.metric in PER_POD

    @property
    def quantile(self) -> float:
        """The level of a quantile of latency."""
        match = LATENCY.fullmatch(self.metric)
        assert match is not None
        return float(f"0.{match[1]}")


class ScalingPolicy(Model):
    """How much the number of pods may change within a period: by `pods`, or by a `percent` of it."""

    pods: Count | None = None
    percent: Count | None = None
    period_s: PositiveDuration = Field(default=15.0, alias="period")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.pods is None) == (self.percent is None):
            raise refuse("pods or percent, one of them")
        return self


class ScalingRules(Model):
    """How the number of pods may change in one direction."""

    stabilisation_s: Duration = Field(alias="stabilisation")
    """The most cautious recommendation of so long before is followed."""
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1)]
    select: Literal["max", "min", "disabled"] = "max"
    """The policy that allows the most change, or the least; or there is no change in this direction."""
    tolerance: NotNegative = 0.1
    """The ratio of metric and target may differ from 1 by so much without any change."""


class ScaleUp(ScalingRules):
    """The rules for more pods; without any word: at once, at most doubling or 4 more in 15 s."""

    stabilisation_s: Duration = Field(default=0.0, alias="stabilisation")
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1)] = (
        ScalingPolicy(percent=100),
        ScalingPolicy(pods=4),
    )


class ScaleDown(ScalingRules):
    """The rules for fewer pods; without any word: the most that was wanted in 5 minutes stays."""

    stabilisation_s: Duration = Field(default=300.0, alias="stabilisation")
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1)] = (ScalingPolicy(percent=100),)


class Autoscaler(Model):
    """The Kubernetes horizontal pod autoscaler, with the defaults of its `autoscaling/v2` API."""

    min: Count = 1
    max: Count
    metrics: Annotated[tuple[ScalingMetric, ...], Field(min_length=1)]
    """Each makes a recommendation, and the largest counts."""
    sync_s: PositiveDuration = Field(default=15.0, alias="sync")
    """The time between two looks at the metrics."""
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()
    readiness_delay_s: Duration = Field(default=30.0, alias="readiness_delay")
    """A pod that became unready within so long of its start has not been ready yet."""
    cpu_initialisation_s: Duration = Field(default=300.0, alias="cpu_initialisation")
    """For so long after its start a pod's CPU counts only if all of it was measured while it was ready."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise refuse(f"at least min ({self.min})", self.max, below="max")
        return self


class Crash(Model):
    """A pod works for an `uptime`, and then is gone for a `repair`, with all that it held."""

    uptime: TimeDist
    repair: TimeDist

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("uptime", "repair"):
            found = getattr(self, name)
            if found.mean() <= 0:
                raise refuse("a distribution with a mean above 0", found.to_spec(), below=name)
        return self


class Gateway(Model):
    """The pods that every attempt passes whose deployment depends on a component of kind gateway.

    An attempt comes to the pod with the fewest requests, waits there for one of `concurrency` places, which
    it keeps until its answer ended, and then for a worker, which works on it for a `service` time before it
    goes on to the deployment.
    """

    pods: Count = 1
    """At the start, all of them ready."""
    service: TimeDist = Constant(0.0)
    workers: Count = 1
    concurrency: Count | None = None
    """None: any number."""
    queue_limit: Annotated[Whole, Field(ge=0)] | None = None
    """Requests that may wait at a pod for a place; beyond it they get a 503. None: any number."""
    balancing: Literal["least_requests", "round_robin"] = "least_requests"
    start_up: TimeDist = Constant(30.0)
    """Seconds until a new pod is ready."""
    crash: Crash | None = None
    autoscaler: Autoscaler | None = None
    usd_per_pod_hour: NotNegative = 0.0
    """From a pod's creation to its end, ready or not."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.queue_limit is not None and self.concurrency is None:
            raise refuse("no queue_limit without concurrency", self.queue_limit, below="queue_limit")
        scaler = self.autoscaler
        if scaler is not None and not scaler.min <= self.pods <= scaler.max:
            raise refuse(
                f"a number from the autoscaler's min to its max ({scaler.min} to {scaler.max})",
                self.pods,
                below="pods",
            )
        return self
