"""What each metric means, in words: the label that goes with its number."""

from __future__ import annotations

from typing import Final

from simsla.analysis.costs import PART_MEANINGS
from simsla.analysis.definitions import KINDS, QUANTILE, TAIL, quantile_of
from simsla.analysis.tail import CAUSE_MEANINGS

__all__ = ["meaning"]

OF_VALID: Final = "of valid requests"
DENOMINATORS: Final = {
    "usd_per_day": "USD per day of measured time",
    "usd_per_1k_requests": "USD per 1,000 requests",
    "usd_per_good_request": "USD per good request",
}
MEANINGS: Final = {
    "availability": f"share {OF_VALID} that were good: ok, degraded or cached (request-based)",
    "availability_windows": "share of five-minute windows in which less than 5 % failed (window-based)",
    "availability_time": "share of minutes in which less than half failed (time-based)",
    "availability_weighted": "1 - (major + 0.3 x partial) / minutes: half failed, or 5 % did (time-based)",
    "cost_usd_per_day": "USD per day of measured time, of all attempts",
    "cost_usd_per_1k_requests": "USD per 1,000 requests, of all attempts",
    "cost_usd_per_good_request": "USD per good request, of all attempts",
    "amplification": "attempts per request",
    "intent_availability": "share of what users wanted that they got, retries of their clients included",
    "requests_per_intent": "requests for each thing that users wanted",
    "ok_share": f"share {OF_VALID} that were answered as they asked",
    "degraded_share": f"share {OF_VALID} that were answered below the tier asked for",
    "cache_hit_share": f"share {OF_VALID} that were answered out of a cache",
    "error_share": f"share {OF_VALID} that failed with an error",
    "timeout_share": f"share {OF_VALID} that were not answered by their deadline",
    "shed_share": f"share {OF_VALID} that the policy turned away",
    "abandoned_share": f"share {OF_VALID} whose client gave up",
    "quality_mean": "mean quality of answers",
    "satisfaction": f"mean quality {OF_VALID}, those that failed counting 0",
    "cache_false_hit_share": "share of cache hits of known truth that answer another question",
    "requests_per_day": "requests per day of measured time",
    "tokens_in_per_day": "tokens billed for prompts, per day",
    "tokens_out_per_day": "tokens billed for answers, per day",
    "time_to_detect_s": "mean seconds from a fault's start until traffic left it, where it did",
    "time_to_recover_s": "mean seconds from a fault's start until users were well; 0 where they felt nothing",
    "time_to_return_s": "mean seconds from a fault's end until traffic was back, where it had left",
    "detected_share": "share of fault episodes from which traffic left",
}
KIND_OF_MEAN: Final = {
    "latency_mean_s": "latency",
    "latency_all_mean_s": "latency_all",
    "ttft_mean_s": "ttft",
}


def meaning(name: str) -> str:
    """A metric in words. Raises KeyError for a name that is none."""
    if name in MEANINGS:
        return MEANINGS[name]
    if name in KIND_OF_MEAN:
        return f"mean {KINDS[KIND_OF_MEAN[name]]}"
    if match := TAIL.fullmatch(name):
        requests = f"share of the answered requests at p{shown(match[1])} or above"
        return f"{requests} due to {CAUSE_MEANINGS[match[2]]}"
    for per, words in DENOMINATORS.items():
        part = name.removeprefix("cost_").removesuffix(f"_{per}")
        told = {**PART_MEANINGS, "pods": "the gateway's pods", "total": "attempts and pods"}
        if name == f"cost_{part}_{per}" and part in told:
            return f"{words}: {told[part]}"
    kind, _ = quantile_of(name)
    match = QUANTILE.fullmatch(name)
    assert match is not None
    return f"p{shown(match[2])} of {KINDS[kind]}"


def shown(digits: str) -> str:
    """The per cent behind the digits of a name: 999 is 99.9."""
    padded = digits.ljust(2, "0")
    return padded[:2] + (f".{padded[2:]}" if padded[2:] else "")
