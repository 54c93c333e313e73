"""Metrics with intervals, from the summaries of independent replications."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simsla.analysis.caveats import caveats
from simsla.analysis.definitions import (
    BY_CELL,
    KINDS,
    METRICS,
    QUALITIES,
    RATIOS,
    SAMPLES,
    SHARES,
    TOTALS,
    Ratio,
    quantile_of,
    tail_of,
)
from simsla.analysis.estimate import BEYOND, Estimate
from simsla.analysis.groups import Groups
from simsla.analysis.intervals import (
    Interval,
    quantile_interval,
    quantile_rank,
    ratio_interval,
    share_interval,
)
from simsla.analysis.law import EnvironmentLaw
from simsla.analysis.minutes import BY_CLOCK, MINUTE_S, PARTIAL, WINDOW_MINUTES, ByClock, windows_lost
from simsla.analysis.poststratify import PostStratification
from simsla.analysis.sample import Ranked, Sample
from simsla.analysis.sketch import RELATIVE_ERROR
from simsla.analysis.summary import ReplicationSummary
from simsla.analysis.tail import TAIL_CAUSES
from simsla.records import OUTCOMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Metrics", "estimate_metrics"]

Floats = npt.NDArray[np.float64]


class Pooled:
    """The values of one kind in all replications: counted by cell, and ordered."""

    def __init__(self, summaries: Sequence[ReplicationSummary], kind: str, code: int | None) -> None:
        self.samples = [tuple(part.only(code) for part in SAMPLES[kind](s)) for s in summaries]
        self._cells = [len(s.cells.state) for s in summaries]
        self.sizes = [
            sum((part.sizes(cells).astype(np.float64) for part in parts), np.zeros(cells))
            for parts, cells in zip(self.samples, self._cells, strict=True)
        ]
        self.ordered = Sample.ordered([part for parts in self.samples for part in parts])

    def above(self, limit: float, *, inclusive: bool = False) -> list[Floats]:
        """How many values exceed a limit, by replication and cell."""
        return [
            sum(
                (part.above(limit, cells, inclusive=inclusive).astype(np.float64) for part in parts),
                np.zeros(cells),
            )
            for parts, cells in zip(self.samples, self._cells, strict=True)
        ]


class Metrics:
    """Estimates from the summaries of independent replications.

    `value` is the pooled ratio or the pooled quantile. Ratios of totals have a t interval across
    replications. Shares of requests and quantiles do too where the environment has no drawn faults; where
    it has, and its `law` is given, their intervals are post-stratified by environment state (see
    `poststratify`).
    """

    def __init__(
        self,
        summaries: Sequence[ReplicationSummary],
        law: EnvironmentLaw | None = None,
        groups: Groups | None = None,
    ) -> None:
        """`groups` are those of `by`. Raises ValueError without a replication."""
        if not summaries:
            raise ValueError("there must be at least one replication")
        self._summaries = tuple(summaries)
        self._law = law
        self._tails: dict[tuple[float, int | None], Floats] = {}
        self.groups = groups
        self._pooled: dict[tuple[str, int | None], Pooled] = {}
        self.strata: PostStratification | None = None
        """The environment's states as strata; None without a law, or where nothing is drawn."""
        if law is not None and len(law.states) > 1:
            self.strata = PostStratification([s.cells for s in summaries], law)

    def of(self, summaries: Sequence[ReplicationSummary]) -> Metrics:
        """The same of other summaries of these replications, such as those of groups of request classes."""
        return Metrics(summaries, self._law)

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
        if name in BY_CELL:
            return self._share(name, request_class)
        code = self._code(request_class)
        if name in RATIOS:
            return self._ratio(RATIOS[name], code)
        if tail := tail_of(name):
            parts = self._tail(tail[0], code)
            return self._ratio_of(parts[:, tail[1]], parts.sum(axis=1), "share")
        kind, p = quantile_of(name)
        return self._quantile(kind, p, code)

    def latency(self, p: float, request_class: str | None = None) -> Estimate:
        """The p-quantile of the latency of answered requests, arrival to last token; p in (0, 1)."""
        if not 0 < p < 1:
            raise ValueError(f"p must be in (0, 1), got {p}")
        return self._quantile("latency", p, self._code(request_class))

    def by(self, dimension: str) -> pd.DataFrame:
        """A tidy frame: `dimension` (see `breakdown`), metric, value, ci_low, ci_high, n."""
        from simsla.analysis.breakdown import breakdown

        return breakdown(self, dimension)

    def per_replication(self, name: str, request_class: str | None = None) -> Floats:
        """The metric's value in each replication alone; nan where it is undefined."""
        if name in BY_CELL:
            counts, valid = self.counts(name, request_class)
            return divided([c.sum() for c in counts], [v.sum() for v in valid])
        code = self._code(request_class)
        if name in RATIOS:
            ratio = RATIOS[name]
            return ratio.per * divided(
                self._totals(ratio.numerator, code), self._totals(ratio.denominator, code)
            )
        if tail := tail_of(name):
            # Above the pooled quantile: a replication's own would make all tails of one size.
            parts = self._tail(tail[0], code)
            return divided(parts[:, tail[1]], parts.sum(axis=1))
        kind, p = quantile_of(name)
        ordered = [Sample.ordered(parts) for parts in self._values(kind, code).samples]
        return np.array([float(v[quantile_rank(p, len(v))]) if len(v) else math.nan for v in ordered])

    def counts(self, name: str, request_class: str | None = None) -> tuple[list[Floats], list[Floats]]:
        """The requests that a share counts, and the valid ones, by replication and cell.

        For a mean quality: the sum of the quality of answers, and the requests that it is the mean of. For
        `intent_availability`: intents, in the cell of their first request. For availability by the clock: the
        time that was up and all of it, in windows or minutes.
        """
        code = self._code(request_class)
        if name in BY_CLOCK:
            return self._by_clock(BY_CLOCK[name], code)
        if name == "intent_availability":
            of = slice(None) if code is None else [code]
            totals = [s.requests.intents for s in self._summaries]
            return [t.good[:, of].sum(axis=1) for t in totals], [t.intents[:, of].sum(axis=1) for t in totals]
        if name in QUALITIES:
            return self._quality(QUALITIES[name], code)
        counted = [OUTCOMES.index(outcome) for outcome in SHARES[name]]
        valid = [s.valid.sum(axis=1) if code is None else s.valid[:, code] for s in self._summaries]
        return (
            [v[:, counted].sum(axis=1).astype(np.float64) for v in valid],
            [v.sum(axis=1).astype(np.float64) for v in valid],
        )

    def values(self, kind: str, request_class: str | None = None) -> npt.NDArray[np.float32]:
        """All values of a kind in seconds, pooled and ascending. Raises KeyError for none of `KINDS`."""
        if kind not in KINDS:
            raise KeyError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
        ordered = self._values(kind, self._code(request_class)).ordered
        return ordered.repeated() if isinstance(ordered, Ranked) else ordered

    def window_availability(
        self,
        window_s: float = WINDOW_MINUTES * MINUTE_S,
        error_share: float = PARTIAL,
        request_class: str | None = None,
    ) -> Estimate:
        """The share of windows in which less than `error_share` of the valid requests failed.

        `window_s` is a whole number of minutes, in seconds; a window in which nobody asked was good. The
        metric `availability_windows` is that of five minutes and 5 %. Raises ValueError, and KeyError for an
        unknown request class.
        """
        window = round(window_s / MINUTE_S) if math.isfinite(window_s) else 0
        if window < 1 or abs(window * MINUTE_S - window_s) > 1e-6:
            raise ValueError(f"window_s: expected a whole number of minutes (60, 300, ...), got {window_s}")
        if not 0 < error_share <= 1:
            raise ValueError(f"error_share: expected a share in (0, 1], got {error_share}")
        counts = self._by_clock(ByClock(window, ((error_share, 1.0),)), self._code(request_class))
        return self._share_of(*counts)

    def counts_above(
        self, kind: str, limit: float, request_class: str | None = None
    ) -> tuple[list[Floats], list[Floats]]:
        """The values of a kind (see `KINDS`) above a limit, and all of them, by replication and cell."""
        pooled = self._values(kind, self._code(request_class))
        return pooled.above(limit), pooled.sizes

    def share_above(self, kind: str, limit: float, request_class: str | None = None) -> float:
        """The pooled share of values of a kind (see `KINDS`) above a limit.

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
        for caveat in caveats(self, stationary=stationary):
            warnings.warn(caveat, stacklevel=3)

    def _code(self, request_class: str | None) -> int | None:
        if request_class is None:
            return None
        if request_class not in self.request_classes:
            known = ", ".join(self.request_classes)
            raise KeyError(f"no request class {request_class!r}; there are {known}")
        return self.request_classes.index(request_class)

    def _totals(self, name: str, code: int | None) -> Floats:
        return np.array([TOTALS[name](s, code) for s in self._summaries])

    def _interval(self, successes: Sequence[Floats], trials: Sequence[Floats]) -> Interval:
        if self.strata is not None:
            return self.strata.interval(np.concatenate(successes), np.concatenate(trials))
        return share_interval(
            np.array([y.sum() for y in successes], dtype=np.float64),
            np.array([x.sum() for x in trials], dtype=np.float64),
        )

    def _method(self) -> str:
        if self.strata is None:
            return "t across replications"
        return f"post-stratified by environment state, {self.strata.spells} spells of faults"

    def _by_clock(self, definition: ByClock, code: int | None) -> tuple[list[Floats], list[Floats]]:
        up, times = [], []
        for s in self._summaries:
            minutes = s.minutes if code is None else s.minutes[code : code + 1]
            lost, count = windows_lost(minutes, s.minute_cell, len(s.cells.state), s.seconds, *definition)
            up.append(count - lost)
            times.append(count)
        return up, times

    def _share(self, name: str, request_class: str | None) -> Estimate:
        return self._share_of(*self.counts(name, request_class))

    def _share_of(self, counts: list[Floats], valid: list[Floats]) -> Estimate:
        interval = self._interval(counts, valid)
        return estimate(interval, sum(v.sum() > 0 for v in valid), self._method(), "share")

    def _ratio(self, ratio: Ratio, code: int | None) -> Estimate:
        denominators = self._totals(ratio.denominator, code) / ratio.per
        return self._ratio_of(self._totals(ratio.numerator, code), denominators, ratio.unit)

    def _ratio_of(self, numerators: Floats, denominators: Floats, unit: str) -> Estimate:
        interval_of = share_interval if unit == "share" else ratio_interval
        n = int(((denominators > 0) & ~np.isnan(numerators)).sum())
        return estimate(interval_of(numerators, denominators), n, "t across replications", unit)

    def tail(self, p: float, request_class: str | None = None) -> dict[str, Estimate]:
        """The share of the slowest answered requests due to each cause; p in (0, 1), of their latency."""
        if not 0 < p < 1:
            raise ValueError(f"p must be in (0, 1), got {p}")
        parts = self._tail(p, self._code(request_class))
        return {
            cause: self._ratio_of(parts[:, code], parts.sum(axis=1), "share")
            for code, cause in enumerate(TAIL_CAUSES)
        }

    def _tail(self, p: float, code: int | None) -> Floats:
        """Answered requests as slow as the p-quantile or slower, by replication and cause."""
        if (p, code) not in self._tails:
            ordered = self._values("latency", code).ordered
            limit_s = float(ordered[quantile_rank(p, len(ordered))]) if len(ordered) else math.inf
            self._tails[p, code] = np.stack([s.slow.tail(limit_s, code) for s in self._summaries])
        return self._tails[p, code]

    def _quality(self, outcomes: tuple[str, ...], code: int | None) -> tuple[list[Floats], list[Floats]]:
        sums, trials = [], []
        over = [OUTCOMES.index(outcome) for outcome in outcomes]
        for s in self._summaries:
            known = s.quality is not None
            quality = np.zeros(s.valid.shape[:2]) if s.quality is None else s.quality
            requests = s.valid[:, :, over].sum(axis=2) * float(known)
            sums.append(quality.sum(axis=1) if code is None else quality[:, code])
            trials.append(requests.sum(axis=1) if code is None else requests[:, code])
        return sums, trials

    def _quantile(self, kind: str, p: float, code: int | None) -> Estimate:
        pooled = self._values(kind, code)

        def share_above(limit: float, inclusive: bool) -> Interval:
            return self._interval(pooled.above(limit, inclusive=inclusive), pooled.sizes)

        interval = quantile_interval(pooled.ordered, p, share_above)
        n = sum(bool(sizes.sum() > 0) for sizes in pooled.sizes)
        method = self._method() + ", inverted at the quantile"
        if isinstance(pooled.ordered, Ranked):
            method += f", values within {100 * RELATIVE_ERROR:.1f} %"
        if n and share_above(float(pooled.ordered[-1]), False).high > 1 - p:
            method += BEYOND
        return estimate(interval, n, method, "s")

    def _values(self, kind: str, code: int | None) -> Pooled:
        key = (kind, code)
        if key not in self._pooled:
            self._pooled[key] = Pooled(self._summaries, kind, code)
        return self._pooled[key]


def estimate(interval: Interval, n: int, method: str, unit: str) -> Estimate:
    if math.isnan(interval.low):
        method = ""
    elif unit == "share" and interval.value in (0.0, 1.0):
        method += ", rule of three"
    return Estimate(interval.value, interval.low, interval.high, int(n), method, unit)


def divided(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(numerators, dtype=np.float64) / np.asarray(denominators, dtype=np.float64)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def estimate_metrics(
    summaries: Sequence[ReplicationSummary], *, law: EnvironmentLaw | None = None, stationary: bool = True
) -> dict[str, Estimate]:
    """Every metric of `METRICS` from independent replications, warning where an interval needs a caveat.

    See `Metrics` for the intervals and `Metrics.warn` for the warnings.
    """
    metrics = Metrics(summaries, law)
    metrics.warn(stationary=stationary)
    return metrics.all()
