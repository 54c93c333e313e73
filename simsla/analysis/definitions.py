"""What each metric is: its name, what it divides by what, its unit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.costs import COST_PARTS
from simsla.analysis.minutes import BY_CLOCK
from simsla.analysis.sample import Sample
from simsla.analysis.summary import ReplicationSummary
from simsla.analysis.tail import TAIL_CAUSES
from simsla.records import CACHE_HITS, GOOD_OUTCOMES, OUTCOMES
from simsla.scenario.gateway import LEVEL

__all__ = [
    "BY_CELL",
    "KINDS",
    "METRICS",
    "MORE_IS_BETTER",
    "QUALITIES",
    "QUANTILE",
    "RATIOS",
    "SAMPLES",
    "SECONDS_PER_DAY",
    "SHARES",
    "TAIL",
    "TOTALS",
    "Ratio",
    "quantile_of",
    "tail_of",
]

Floats = npt.NDArray[np.float64]
Total = Callable[[ReplicationSummary, int | None], float]

SECONDS_PER_DAY: Final = 86_400.0

SHARES: Final[dict[str, tuple[str, ...]]] = {
    "availability": GOOD_OUTCOMES,
    "ok_share": ("ok",),
    "degraded_share": ("degraded",),
    "cache_hit_share": ("cached",),
    "error_share": ("error",),
    "timeout_share": ("timeout",),
    "shed_share": ("shed",),
    "abandoned_share": ("abandoned",),
}
"""Shares of valid requests, by the outcomes they count."""


QUALITIES: Final[dict[str, tuple[str, ...]]] = {
    "quality_mean": GOOD_OUTCOMES,
    "satisfaction": OUTCOMES,
}
"""Mean quality of answers over the valid requests with these outcomes, those that failed counting 0."""

BY_CELL: Final = frozenset({*SHARES, *QUALITIES, *BY_CLOCK, "intent_availability"})
"""The metrics that are counted by state of the environment: see `Metrics.counts`."""


class Ratio(NamedTuple):
    """A ratio of two totals (names of `TOTALS`), of the unit "share" where one is a part of the other."""

    numerator: str
    denominator: str
    per: float = 1.0
    unit: str = ""


RATIOS: Final[dict[str, Ratio]] = {
    "latency_mean_s": Ratio("latency_s", "answered", unit="s"),
    "latency_all_mean_s": Ratio("latency_all_s", "valid", unit="s"),
    "ttft_mean_s": Ratio("ttft_s", "ttft_count", unit="s"),
    "cost_usd_per_day": Ratio("cost_usd", "seconds", SECONDS_PER_DAY, "usd"),
    "cost_usd_per_1k_requests": Ratio("cost_usd", "requests", 1000.0, "usd"),
    "cost_usd_per_good_request": Ratio("cost_usd", "answered", unit="usd"),
    **{
        f"cost_{part}_{per}": Ratio(f"cost_{part}_usd", denominator, factor, "usd")
        for part in (*COST_PARTS, "pods", "total")
        for per, denominator, factor in (
            ("usd_per_day", "seconds", SECONDS_PER_DAY),
            ("usd_per_1k_requests", "requests", 1000.0),
            ("usd_per_good_request", "answered", 1.0),
        )
    },
    "time_to_detect_s": Ratio("detect_s", "detected", unit="s"),
    "time_to_recover_s": Ratio("recover_s", "recovered", unit="s"),
    "time_to_return_s": Ratio("return_s", "returned", unit="s"),
    "detected_share": Ratio("detected", "episodes", unit="share"),
    "amplification": Ratio("attempts", "requests"),
    "requests_per_intent": Ratio("intent_requests", "intents"),
    "requests_per_day": Ratio("requests", "seconds", SECONDS_PER_DAY),
    "tokens_in_per_day": Ratio("tokens_in", "seconds", SECONDS_PER_DAY),
    "tokens_out_per_day": Ratio("tokens_out", "seconds", SECONDS_PER_DAY),
    # How often a cache is asked depends on the environment through the policy, so it is no share of requests.
    "cache_false_hit_share": Ratio("false_hits", "known_hits", unit="share"),
}

METRICS: Final = (
    "availability",
    "availability_windows",
    "availability_time",
    "availability_weighted",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p90_s",
    "latency_p95_s",
    "latency_p99_s",
    "latency_p999_s",
    "latency_p9999_s",
    "latency_all_mean_s",
    "latency_all_p50_s",
    "latency_all_p95_s",
    "latency_all_p99_s",
    "latency_all_p999_s",
    "latency_ended_p50_s",
    "latency_ended_p99_s",
    "latency_ended_p999_s",
    "ttft_mean_s",
    "ttft_p50_s",
    "ttft_p95_s",
    "ttft_p99_s",
    "ttft_p999_s",
    "ttft_all_p99_s",
    "cost_usd_per_day",
    *(f"cost_{part}_usd_per_day" for part in (*COST_PARTS, "pods", "total")),
    "cost_usd_per_1k_requests",
    "cost_usd_per_good_request",
    "amplification",
    "intent_availability",
    "requests_per_intent",
    *(name for name in SHARES if name != "availability"),
    *QUALITIES,
    "cache_false_hit_share",
    "requests_per_day",
    "tokens_in_per_day",
    "tokens_out_per_day",
    *(f"tail_p99_{cause}_share" for cause in TAIL_CAUSES),
    "time_to_detect_s",
    "time_to_recover_s",
    "time_to_return_s",
    "detected_share",
)
"""The metrics that are always reported, in order; any other quantile has a name of the same form."""

MORE_IS_BETTER: Final = frozenset(
    {
        "availability",
        "availability_windows",
        "availability_time",
        "availability_weighted",
        "intent_availability",
        "ok_share",
        "cache_hit_share",
        "detected_share",
        *QUALITIES,
    }
)

QUANTILE: Final = re.compile(rf"(latency|latency_all|latency_ended|ttft|ttft_all)_p({LEVEL})_s", re.ASCII)
TAIL: Final = re.compile(rf"tail_p({LEVEL})_({'|'.join(TAIL_CAUSES)})_share", re.ASCII)

TRUE_HIT: Final = CACHE_HITS.index("true")
FALSE_HIT: Final = CACHE_HITS.index("false")
GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]


def summed(values: Floats, code: int | None) -> float:
    return float(values.sum() if code is None else values[code])


def cost_of(part: int) -> Total:
    """The cost of a part; what nobody's attempts cost is no request class's."""
    return lambda s, c: float(s.costs[:, part].sum() if c is None else s.costs[c, part])


def episode_times(field: str) -> tuple[Total, Total]:
    """The sum of a time over the episodes of which it is known, and how many these are."""

    def known(s: ReplicationSummary, code: int | None) -> list[float]:
        # Episodes are watched over all request classes together.
        if code is not None:
            return []
        return [value for row in s.episodes if math.isfinite(value := getattr(row, field))]

    return lambda s, c: math.fsum(known(s, c)), lambda s, c: float(len(known(s, c)))


TOTALS: Final[dict[str, Total]] = {
    "seconds": lambda s, _: s.seconds,
    "requests": lambda s, c: summed(s.requests.requests, c),
    "valid": lambda s, c: summed(s.valid.sum(axis=(0, 2)), c),
    "answered": lambda s, c: summed(s.valid[:, :, GOOD].sum(axis=(0, 2)), c),
    "attempts": lambda s, c: summed(s.requests.attempts, c),
    "intents": lambda s, c: summed(s.requests.intents.intents.sum(axis=0), c),
    "intent_requests": lambda s, c: summed(s.requests.intents.requests, c),
    # Pods serve all classes.
    "cost_pods_usd": lambda s, c: s.pods_usd if c is None else math.nan,
    "cost_total_usd": lambda s, c: s.pods_usd + float(s.attempts.cost_usd.sum()) if c is None else math.nan,
    **{f"cost_{part}_usd": cost_of(code) for code, part in enumerate(COST_PARTS)},
    # What nobody's attempts cost is paid all the same, but by no request class.
    "cost_usd": lambda s, c: summed(s.attempts.cost_usd if c is None else s.requests.cost_usd, c),
    "tokens_in": lambda s, c: summed(s.attempts.tokens_in if c is None else s.tokens[:, 0], c),
    "tokens_out": lambda s, c: summed(s.attempts.tokens_out if c is None else s.tokens[:, 1], c),
    "latency_s": lambda s, c: summed(s.requests.latency_s, c),
    "latency_all_s": lambda s, c: summed(s.requests.latency_all_s, c),
    "ttft_s": lambda s, c: summed(s.requests.ttft_s, c),
    "ttft_count": lambda s, c: summed(s.requests.ttft_count, c),
    "episodes": lambda s, c: float(sum(row.judged for row in s.episodes)) if c is None else 0.0,
    **dict(zip(("detect_s", "detected"), episode_times("detect_s"), strict=True)),
    **dict(zip(("recover_s", "recovered"), episode_times("recover_s"), strict=True)),
    **dict(zip(("return_s", "returned"), episode_times("return_s"), strict=True)),
    "false_hits": lambda s, c: summed(s.requests.cache_hits[:, FALSE_HIT], c),
    "known_hits": lambda s, c: summed(s.requests.cache_hits[:, [TRUE_HIT, FALSE_HIT]].sum(axis=1), c),
}

SAMPLES: Final[dict[str, Callable[[ReplicationSummary], tuple[Sample, ...]]]] = {
    "latency": lambda s: (s.latency,),
    "latency_all": lambda s: (s.latency, s.lost),
    "latency_ended": lambda s: (s.latency, s.failed),
    "ttft": lambda s: (s.ttft,),
    "ttft_all": lambda s: (s.ttft, s.lost),
}
"""The values whose quantiles are told, by kind: see `KINDS`."""

AT_DEADLINE: Final = "those that failed counted (censored) at their deadline"
KINDS: Final[dict[str, str]] = {
    "latency": "seconds from arrival to the last token of valid requests that were answered",
    "latency_all": f"seconds from arrival to the last token of valid requests, {AT_DEADLINE}",
    "latency_ended": "seconds from arrival to the end of all valid requests, however they ended",
    "ttft": "seconds from arrival to the first token of valid requests that were answered with one",
    "ttft_all": f"seconds from arrival to the first token of valid requests, {AT_DEADLINE}",
}
"""What the values of each kind are, in words."""


def quantile_of(name: str) -> tuple[str, float]:
    """The kind and the level in a name such as `latency_p999_s`. Raises KeyError for any other name."""
    match = QUANTILE.fullmatch(name)
    p = float(f"0.{match[2]}") if match else 0.0
    if match is None or p == 0:
        raise KeyError(
            f"no metric {name!r}; there are {', '.join(METRICS)} and quantiles such as latency_p90_s"
        )
    return match[1], p


def tail_of(name: str) -> tuple[float, int] | None:
    """The level and the cause in a name such as `tail_p99_queueing_share`; None for any other name."""
    match = TAIL.fullmatch(name)
    if match is None or not (p := float(f"0.{match[1]}")):
        return None
    return p, TAIL_CAUSES.index(match[2])
