"""A result of windows around faults as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simsla.analysis.windows.result import spoken_years
from simsla.cli.text import note, table

if TYPE_CHECKING:
    from simsla.analysis.assessment import Assessment
    from simsla.analysis.windows import RareResult

__all__ = ["rare_report"]

MOST_STRATA: Final = 8
HEADLINES: Final = {
    "availability": "availability",
    "unavailability": "unavailability",
    "latency_p50_s": "latency p50",
    "latency_p99_s": "latency p99",
    "latency_p999_s": "latency p99.9",
    "cost_usd_per_day": "cost per day",
}


def rare_report(result: RareResult, promise: Assessment | None = None) -> str:
    """The estimates, the formulas beside them, the strata that fail the most, and what must be said."""
    estimates = []
    for name, head in HEADLINES.items():
        value, bracket, interval = str(result.metrics[name]).partition(" [")
        estimates.append([head, value, bracket.strip() + interval])
    frame = result.strata
    failing = frame[frame["unavailability"] > 0].head(MOST_STRATA)
    strata = [
        [str(name), f"{row['time']:.3g}", f"{row['failing']:.3g}", f"{row['unavailability']:.3g}"]
        for name, row in failing.iterrows()
    ]
    parts = [
        (
            f"{result.scenario.name}, {result.policy}: {spoken_years(result.years)} of faults "
            f"({result.episodes:,} episodes), {result.requests:,} requests, seed {result.seed}"
        ),
        table(["", "value", "95 % interval"], estimates),
    ]
    if promise is not None:
        parts.append(promise.table())
    if strata:
        parts.append(table(["while", "share of time", "failing", "unavailability"], strata))
    return "\n\n".join([*parts, *(note(caveat) for caveat in result.caveats)])
