"""Metrics with intervals, from the summaries of independent replications."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.drift import drift
from simsla.analysis.estimate import Estimate
from simsla.analysis.intervals import (
    Interval,
    quantile_interval,
    quantile_rank,
    ratio_interval,
    share_interval,
)
from simsla.analysis.law import EnvironmentLaw
from simsla.analysis.poststratify import ENOUGH_SPELLS, PostStratification
from simsla.analysis.sample import Sample
from simsla.analysis.summary import ReplicationSummary
from simsla.analysis.warnings import (
    FewEpisodesWarning,
    NoFailuresWarning,
    SingleReplicationWarning,
    UnattributedAttemptsWarning,
)
from simsla.records import GOOD_OUTCOMES, OUTCOMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "MORE_IS_BETTER", "Metrics", "estimate_metrics"]

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


class Ratio(NamedTuple):
    """A ratio of two totals (names of `TOTALS`)."""

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
    "amplification": Ratio("attempts", "requests"),
    "requests_per_day": Ratio("requests", "seconds", SECONDS_PER_DAY),
    "tokens_in_per_day": Ratio("tokens_in", "seconds", SECONDS_PER_DAY),
    "tokens_out_per_day": Ratio("tokens_out", "seconds", SECONDS_PER_DAY),
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
    "cost_usd_per_1k_requests",
    "cost_usd_per_good_request",
    "amplification",
    *(name for name in SHARES if name != "availability"),
    "requests_per_day",
    "tokens_in_per_day",
    "tokens_out_per_day",
)
"""The metrics that are always reported, in order; any other quantile has a name of the same form."""

MORE_IS_BETTER: Final = frozenset({"availability", "ok_share", "cache_hit_share"})

QUANTILE: Final = re.compile(r"(latency|latency_all|ttft)_p(\d{1,6})_s")

GOOD: Final = [OUTCOMES.index(name) for name in GOOD_OUTCOMES]


def summed(values: Floats, code: int | None) -> float:
    return float(values.sum() if code is None else values[code])


TOTALS: Final[dict[str, Callable[[ReplicationSummary, int | None], float]]] = {
    "seconds": lambda s, _: s.seconds,
    "requests": lambda s, c: summed(s.requests.requests, c),
    "valid": lambda s, c: summed(s.valid.sum(axis=(0, 2)), c),
    "answered": lambda s, c: summed(s.valid[:, :, GOOD].sum(axis=(0, 2)), c),
    "attempts": lambda s, c: summed(s.requests.attempts, c),
    # What nobody's attempts cost is paid all the same, but by no request class.
    "cost_usd": lambda s, c: summed(s.attempts.cost_usd if c is None else s.requests.cost_usd, c),
    "tokens_in": lambda s, c: summed(s.attempts.tokens_in if c is None else s.tokens[:, 0], c),
    "tokens_out": lambda s, c: summed(s.attempts.tokens_out if c is None else s.tokens[:, 1], c),
    "latency_s": lambda s, c: summed(s.requests.latency_s, c),
    "latency_all_s": lambda s, c: summed(s.requests.latency_all_s, c),
    "ttft_s": lambda s, c: summed(s.requests.ttft_s, c),
    "ttft_count": lambda s, c: summed(s.requests.ttft_count, c),
}

SAMPLES: Final[dict[str, Callable[[ReplicationSummary], tuple[Sample, ...]]]] = {
    "latency": lambda s: (s.latency,),
    "latency_all": lambda s: (s.latency, s.lost),
    "ttft": lambda s: (s.ttft,),
}


class Pooled:
    """The values of one kind in all replications: counted by cell, and ordered."""

    def __init__(self, summaries: Sequence[ReplicationSummary], kind: str, code: int | None) -> None:
        self.samples = [tuple(part.only(code) for part in SAMPLES[kind](s)) for s in summaries]
        self._cells = [len(s.cells.state) for s in summaries]
        self.sizes = [
            sum((part.sizes(cells) for part in parts), np.zeros(cells))
            for parts, cells in zip(self.samples, self._cells, strict=True)
        ]
        self.ordered = Sample.ordered([part for parts in self.samples for part in parts])

    def above(self, limit: float, *, inclusive: bool = False) -> list[Floats]:
        """How many values exceed a limit, by replication and cell."""
        return [
            sum((part.above(limit, cells, inclusive=inclusive) for part in parts), np.zeros(cells))
            for parts, cells in zip(self.samples, self._cells, strict=True)
        ]


class Metrics:
    """Estimates from the summaries of independent replications.

    `value` is the pooled ratio or the pooled quantile. Ratios of totals have a t interval across
    replications. Shares and quantiles do too where the environment has no drawn faults; where it has, and
    its `law` is given, their intervals are post-stratified by environment state (see `poststratify`).
    """

    def __init__(self, summaries: Sequence[ReplicationSummary], law: EnvironmentLaw | None = None) -> None:
        """Raises ValueError without a replication."""
        if not summaries:
            raise ValueError("there must be at least one replication")
        self._summaries = tuple(summaries)
        self._pooled: dict[tuple[str, int | None], Pooled] = {}
        self._post: PostStratification | None = None
        if law is not None and len(law.states) > 1:
            self._post = PostStratification([s.cells for s in summaries], law)

    @property
    def summaries(self) -> tuple[ReplicationSummary, ...]:
        """The replications."""
        return self._summaries

    @property
    def request_classes(self) -> tuple[str, ...]:
        """The names of the request classes."""
        return self._summaries[0].request_classes

    @property
    def outcomes(self) -> dict[str, int]:
        """Valid requests by outcome, over all replications."""
        counts = np.sum([s.valid.sum(axis=(0, 1)) for s in self._summaries], axis=0)
        return {name: int(count) for name, count in zip(OUTCOMES, counts, strict=True)}

    def all(self, request_class: str | None = None) -> dict[str, Estimate]:
        """Every metric of `METRICS`, of all requests or of one class."""
        return {name: self.estimate(name, request_class) for name in METRICS}

    def estimate(self, name: str, request_class: str | None = None) -> Estimate:
        """One metric by name, such as `availability` or `latency_p99_s`.

        Raises KeyError for an unknown metric or request class.
        """
        code = self._code(request_class)
        if name in SHARES:
            return self._share(name, code)
        if name in RATIOS:
            return self._ratio(RATIOS[name], code)
        kind, p = quantile_of(name)
        return self._quantile(kind, p, code)

    def latency(self, p: float, request_class: str | None = None) -> Estimate:
        """The p-quantile of the latency of answered requests, arrival to last token; p in (0, 1)."""
        if not 0 < p < 1:
            raise ValueError(f"p must be in (0, 1), got {p}")
        return self._quantile("latency", p, self._code(request_class))

    def by(self, dimension: str) -> pd.DataFrame:
        """A tidy frame: `dimension` ("request_class" or "deployment"), metric, value, ci_low, ci_high, n."""
        from simsla.analysis.breakdown import breakdown

        return breakdown(self, dimension)

    def per_replication(self, name: str, request_class: str | None = None) -> Floats:
        """The metric's value in each replication alone; nan where it is undefined."""
        code = self._code(request_class)
        if name in SHARES:
            counts, valid = self._counts(name, code)
            return divided([c.sum() for c in counts], [v.sum() for v in valid])
        if name in RATIOS:
            ratio = RATIOS[name]
            return ratio.per * divided(
                self._totals(ratio.numerator, code), self._totals(ratio.denominator, code)
            )
        kind, p = quantile_of(name)
        ordered = [Sample.ordered(parts) for parts in self._values(kind, code).samples]
        return np.array([float(v[quantile_rank(p, len(v))]) if len(v) else math.nan for v in ordered])

    def share_above(self, kind: str, limit: float, request_class: str | None = None) -> float:
        """The pooled share of values of a kind ("latency", "latency_all", "ttft") above a limit.

        Values count as equal to the limit within one part in a million.
        """
        pooled = self._values(kind, self._code(request_class))
        above = sum(float(counts.sum()) for counts in pooled.above(limit * (1 + 1e-6)))
        return above / len(pooled.ordered) if len(pooled.ordered) else math.nan

    def warn(self, *, stationary: bool = True) -> None:
        """Issues a typed warning for each assumption behind the intervals that does not hold.

        `stationary` says that traffic has no trend by design (a replayed trace has); only then can a drift
        of latency be held against the warm-up or the load.
        """
        for caveat in self._caveats(stationary):
            warnings.warn(caveat, stacklevel=3)

    def _caveats(self, stationary: bool) -> list[Warning]:
        caveats: list[Warning] = []
        n = len(self._summaries)
        if n == 1:
            caveats.append(SingleReplicationWarning("One replication gives no interval: run several."))
        few = self._few_episodes()
        if few and n > 1:
            caveats.append(FewEpisodesWarning(few))
        availability = self.estimate("availability")
        if availability.value == 1:
            caveats.append(
                NoFailuresWarning(
                    f"None of {sum(self.outcomes.values()):,} requests failed. The interval of availability is a "
                    "bound: outside faults it takes requests to be independent (rule of three)."
                )
            )
        stray = sum(s.unattributed for s in self._summaries)
        if stray:
            caveats.append(
                UnattributedAttemptsWarning(
                    f"{stray:,} attempts belong to no request: they are in the total cost and in no request class."
                )
            )
        moved = drift(np.stack([s.block_latency_s for s in self._summaries])) if stationary else None
        return [*caveats, moved] if moved else caveats

    def _few_episodes(self) -> str:
        n = len(self._summaries)
        if self._post is None:
            spells = sum(int(s.cells.spell.max(initial=-1)) + 1 for s in self._summaries)
            if not 0 < spells < ENOUGH_SPELLS:
                return ""
            return (
                f"Only {spells} spells of faults were met in {n} replications, and the law of the environment is "
                "not known: the t intervals are probably too short."
            )
        counts, valid = self._counts("availability", None)
        failed = np.concatenate([v - c for v, c in zip(valid, counts, strict=True)])
        weak = self._post.weak_states(failed, np.concatenate(valid))
        if not weak:
            return ""
        told = ", ".join(
            f"{name} ({100 * share:.2g} % of time, met {times} times)" for name, share, times in weak[:3]
        )
        more = f" and {len(weak) - 3} more" if len(weak) > 3 else ""
        return (
            f"Few fault episodes: {self._post.spells} spells of faults were met in {n} replications. Faults met fewer "
            f"than {ENOUGH_SPELLS} times could account for much of the unavailability: {told}{more}. A plain t "
            "interval would be too short; shares and quantiles have intervals post-stratified by environment "
            "state, the others plain ones."
        )

    def _code(self, request_class: str | None) -> int | None:
        if request_class is None:
            return None
        if request_class not in self.request_classes:
            known = ", ".join(self.request_classes)
            raise KeyError(f"no request class {request_class!r}; there are {known}")
        return self.request_classes.index(request_class)

    def _totals(self, name: str, code: int | None) -> Floats:
        return np.array([TOTALS[name](s, code) for s in self._summaries])

    def _counts(self, name: str, code: int | None) -> tuple[list[Floats], list[Floats]]:
        """Requests counted by a share, and valid ones, by replication and cell."""
        counted = [OUTCOMES.index(outcome) for outcome in SHARES[name]]
        valid = [s.valid.sum(axis=1) if code is None else s.valid[:, code] for s in self._summaries]
        return (
            [v[:, counted].sum(axis=1).astype(np.float64) for v in valid],
            [v.sum(axis=1).astype(np.float64) for v in valid],
        )

    def _interval(self, successes: Sequence[Floats], trials: Sequence[Floats]) -> Interval:
        if self._post is not None:
            return self._post.interval(np.concatenate(successes), np.concatenate(trials))
        return share_interval(
            np.array([y.sum() for y in successes], dtype=np.float64),
            np.array([x.sum() for x in trials], dtype=np.float64),
        )

    def _method(self, scale: str) -> str:
        if self._post is None:
            return f"t across replications, {scale}"
        return f"post-stratified by environment state, {self._post.spells} spells of faults, {scale}"

    def _share(self, name: str, code: int | None) -> Estimate:
        counts, valid = self._counts(name, code)
        interval = self._interval(counts, valid)
        scale = "rule of three" if interval.value in (0.0, 1.0) else "logit scale"
        return estimate(interval, sum(v.sum() > 0 for v in valid), self._method(scale), "share")

    def _ratio(self, ratio: Ratio, code: int | None) -> Estimate:
        denominators = self._totals(ratio.denominator, code) / ratio.per
        interval = ratio_interval(self._totals(ratio.numerator, code), denominators)
        method = "t across replications, log scale"
        return estimate(interval, int((denominators > 0).sum()), method, ratio.unit)

    def _quantile(self, kind: str, p: float, code: int | None) -> Estimate:
        pooled = self._values(kind, code)

        def share_above(limit: float, inclusive: bool) -> Interval:
            return self._interval(pooled.above(limit, inclusive=inclusive), pooled.sizes)

        interval = quantile_interval(pooled.ordered, p, share_above)
        n = sum(bool(sizes.sum() > 0) for sizes in pooled.sizes)
        return estimate(interval, n, self._method("inverted at the quantile"), "s")

    def _values(self, kind: str, code: int | None) -> Pooled:
        key = (kind, code)
        if key not in self._pooled:
            self._pooled[key] = Pooled(self._summaries, kind, code)
        return self._pooled[key]


def estimate(interval: Interval, n: int, method: str, unit: str) -> Estimate:
    if math.isnan(interval.low):
        method = ""
    return Estimate(interval.value, interval.low, interval.high, int(n), method, unit)


def quantile_of(name: str) -> tuple[str, float]:
    """The kind and the level in a name such as `latency_p999_s`. Raises KeyError for any other name."""
    match = QUANTILE.fullmatch(name)
    p = float(f"0.{match[2]}") if match else 0.0
    if match is None or p == 0:
        raise KeyError(
            f"no metric {name!r}; there are {', '.join(METRICS)} and quantiles such as latency_p90_s"
        )
    return match[1], p


def divided(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(numerators, dtype=np.float64) / np.asarray(denominators, dtype=np.float64)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def estimate_metrics(
    summaries: Sequence[ReplicationSummary], *, law: EnvironmentLaw | None = None, stationary: bool = True
) -> dict[str, Estimate]:
    """Every metric of `METRICS` from independent replications, with warnings where an interval needs a caveat.

    See `Metrics` for the intervals and `Metrics.warn` for the warnings.
    """
    metrics = Metrics(summaries, law)
    metrics.warn(stationary=stationary)
    return metrics.all()
