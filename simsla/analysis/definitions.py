"""What each metric is: its name, what it divides by what, its unit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.sample import Sample
from simsla.analysis.summary import ReplicationSummary
from simsla.records import CACHE_HITS, GOOD_OUTCOMES, OUTCOMES

__all__ = [
    "METRICS",
    "MORE_IS_BETTER",
    "QUALITIES",
    "QUANTILE",
    "RATIOS",
    "SAMPLES",
    "SECONDS_PER_DAY",
    "SHARES",
    "TOTALS",
    "Ratio",
    "quantile_of",
]

Floats = npt.NDArray[np.float64]

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
    "cost_pods_usd_per_day": Ratio("pods_usd", "seconds", SECONDS_PER_DAY, "usd"),
    "cost_usd_per_1k_requests": Ratio("cost_usd", "requests", 1000.0, "usd"),
    "cost_usd_per_good_request": Ratio("cost_usd", "answered", unit="usd"),
    "amplification": Ratio("attempts", "requests"),
    "intent_availability": Ratio("good_intents", "intents", unit="share"),
    "requests_per_intent": Ratio("intent_requests", "intents"),
    "requests_per_day": Ratio("requests", "seconds", SECONDS_PER_DAY),
    "tokens_in_per_day": Ratio("tokens_in", "seconds", SECONDS_PER_DAY),
    "tokens_out_per_day": Ratio("tokens_out", "seconds", SECONDS_PER_DAY),
    # How often a cache is asked depends on the environment through the policy, so it is no share of requests.
    "cache_false_hit_share": Ratio("false_hits", "known_hits", unit="share"),
}

METRICS: Final = (
    "availability",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "latency_p999_s",
    "latency_all_mean_s",
    "latency_all_p50_s",
    "latency_all_p95_s",
    "latency_all_p99_s",
    "ttft_mean_s",
    "ttft_p50_s",
    "ttft_p99_s",
    "cost_usd_per_day",
    "cost_pods_usd_per_day",
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
)
"""The metrics that are always reported, in order; any other quantile has a name of the same form."""

MORE_IS_BETTER: Final = frozenset(
    {"availability", "intent_availability", "ok_share", "cache_hit_share", *QUALITIES}
)

QUANTILE: Final = re.compile(r"(latency|latency_all|ttft)_p(\d{1,6})_s")

TRUE_HIT: Final = CACHE_HITS.index("true")
FALSE_HIT: Final = CACHE_HITS.index("false")
GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]


def summed(values: Floats, code: int | None) -> float:
    return float(values.sum() if code is None else values[code])


TOTALS: Final[dict[str, Callable[[ReplicationSummary, int | None], float]]] = {
    "seconds": lambda s, _: s.seconds,
    "requests": lambda s, c: summed(s.requests.requests, c),
    "valid": lambda s, c: summed(s.valid.sum(axis=(0, 2)), c),
    "answered": lambda s, c: summed(s.valid[:, :, GOOD].sum(axis=(0, 2)), c),
    "attempts": lambda s, c: summed(s.requests.attempts, c),
    "intents": lambda s, c: summed(s.requests.intents.intents, c),
    "good_intents": lambda s, c: summed(s.requests.intents.good, c),
    "intent_requests": lambda s, c: summed(s.requests.intents.requests, c),
    # Pods serve all classes.
    "pods_usd": lambda s, c: s.pods_usd if c is None else math.nan,
    # What nobody's attempts cost is paid all the same, but by no request class.
    "cost_usd": lambda s, c: summed(s.attempts.cost_usd if c is None else s.requests.cost_usd, c),
    "tokens_in": lambda s, c: summed(s.attempts.tokens_in if c is None else s.tokens[:, 0], c),
    "tokens_out": lambda s, c: summed(s.attempts.tokens_out if c is None else s.tokens[:, 1], c),
    "latency_s": lambda s, c: summed(s.requests.latency_s, c),
    "latency_all_s": lambda s, c: summed(s.requests.latency_all_s, c),
    "ttft_s": lambda s, c: summed(s.requests.ttft_s, c),
    "ttft_count": lambda s, c: summed(s.requests.ttft_count, c),
    "false_hits": lambda s, c: summed(s.requests.cache_hits[:, FALSE_HIT], c),
    "known_hits": lambda s, c: summed(s.requests.cache_hits[:, [TRUE_HIT, FALSE_HIT]].sum(axis=1), c),
}

SAMPLES: Final[dict[str, Callable[[ReplicationSummary], tuple[Sample, ...]]]] = {
    "latency": lambda s: (s.latency,),
    "latency_all": lambda s: (s.latency, s.lost),
    "ttft": lambda s: (s.ttft,),
}


def quantile_of(name: str) -> tuple[str, float]:
    """The kind and the level in a name such as `latency_p999_s`. Raises KeyError for any other name."""
    match = QUANTILE.fullmatch(name)
    p = float(f"0.{match[2]}") if match else 0.0
    if match is None or p == 0:
        raise KeyError(
            f"no metric {name!r}; there are {', '.join(METRICS)} and quantiles such as latency_p90_s"
        )
    return match[1], p
