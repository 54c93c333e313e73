"""Objectives: what the service promises."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AfterValidator, model_validator

from simsla.distributions import nearest
from simsla.scenario.fields import Model, Name, refuse
from simsla.scenario.quantities import Number

__all__ = ["Objective"]

MORE_IS_BETTER: Final = (
    "availability",
    "availability_windows",
    "availability_time",
    "availability_weighted",
    "intent_availability",
    "ok_share",
    "cache_hit_share",
    "detected_share",
    "quality_mean",
    "satisfaction",
)
LESS_IS_BETTER: Final = (
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "latency_p999_s",
    "latency_all_mean_s",
    "ttft_mean_s",
    "ttft_p99_s",
    "cost_usd_per_day",
    "cost_pods_usd_per_day",
    "cost_total_usd_per_day",
    "cost_usd_per_1k_requests",
    "cost_usd_per_good_request",
    "amplification",
    "requests_per_intent",
    "degraded_share",
    "error_share",
    "timeout_share",
    "shed_share",
    "abandoned_share",
    "cache_false_hit_share",
    "requests_per_day",
    "tokens_in_per_day",
    "tokens_out_per_day",
    "time_to_detect_s",
    "time_to_recover_s",
    "time_to_return_s",
)
LEVEL: Final = r"p(?!0+_)\d{1,6}"
PARTS: Final = "useful|retry|hedge|cancelled|unused|classifier|check|shadow|cache|nobody|pods|total"
FURTHER: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"(latency|latency_all|latency_ended|ttft|ttft_all)_{LEVEL}_s",
        rf"cost_({PARTS})_usd_per_(day|1k_requests|good_request)",
        rf"tail_{LEVEL}_(output_length|queueing|retries|failover|slow_deployment|other)_share",
    )
)
"""Names that are made of parts: any quantile, what the money was for, why slow requests were slow."""


def known_metric(metric: str) -> str:
    names = (*MORE_IS_BETTER, *LESS_IS_BETTER)
    if metric in names or any(pattern.fullmatch(metric) for pattern in FURTHER):
        return metric
    raise refuse(f"a metric: {', '.join(names)}", metric, nearest(metric, names))


Credits = Literal["bedrock", "azure_openai", "gemini"]
"""Published schedules of service credits (`simsla.analysis.slo.SCHEDULES`)."""


def known_schedule(name: str) -> str:
    known = get_args(Credits)
    if name in known:
        return name
    raise refuse(f"a published schedule: {', '.join(known)}", name, nearest(name, known))


class Objective(Model):
    """A limit on a metric: a lower one where more is better, an upper one elsewhere."""

    name: Name = ""
    """The metric's name, unless it has one of its own."""
    metric: Annotated[str, AfterValidator(known_metric)]
    target: Number
    """In the metric's unit; shares are in [0, 1]."""
    request_class: str | None = None
    """The class the promise is about; None: all requests."""
    credits: Annotated[str, AfterValidator(known_schedule)] | None = None
    """The schedule by which a month's availability pays back a part of the bill; of availability only."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.name:
            object.__setattr__(self, "name", self.metric)
        if self.credits is not None and self.metric != "availability":
            raise refuse("no credits: schedules pay for availability alone", self.credits, below="credits")
        is_share = self.more_is_better or self.metric.endswith("_share")
        if self.target < 0 or (is_share and self.target > 1):
            raise refuse("a number in [0, 1]" if is_share else "a number >= 0", self.target, below="target")
        return self

    @property
    def more_is_better(self) -> bool:
        """True where `target` is the least acceptable value, False where it is the greatest."""
        return self.metric in MORE_IS_BETTER
