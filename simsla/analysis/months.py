"""The availability of months, from runs of any length: what a monthly promise is counted by.

A run of a day says little of months by itself: a month has its incidents or it has not. But how faults come
is known (`EnvironmentLaw`), so months of faults are drawn by the hundred without a single request, and each
visit to a state loses the share of requests that one of the visits in the runs lost: drawn per visit, since a
target is a threshold and expected losses are not enough. What fails while nothing is at fault comes and goes
by itself (Poisson).

Where no fault is drawn, or more than 500 a month, so that a run has many of them, the months are those in the
runs, or, if runs are shorter than a month, put together from whole runs at random.

The interval resamples replications and months. Its upper end also lets states never met lose everything, and
states met fewer than `ENOUGH_SPELLS` times lose everything as often as what was met could miss by chance
(rule of three). One replication has no interval.

Assumed: traffic is even over the month, and a visit of any length loses the same share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.budgets import MONTH_S
from simsla.analysis.estimate import Estimate
from simsla.analysis.intervals import TAIL, unseen_share
from simsla.analysis.law import episodes_per_s
from simsla.analysis.poststratify import ENOUGH_SPELLS, Cells
from simsla.analysis.states import QUIET, fault_intervals, state_path
from simsla.world.faults import draw_environment
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.analysis.promises import Promise
    from simsla.scenario import Scenario

__all__ = ["DrawnMonths", "Months", "drawn_months", "months_from_faults", "months_from_runs"]

MOST_MONTHS: Final = 2000
FEWEST_MONTHS: Final = 200
MOST_EPISODES: Final = 100_000
APART: Final = -2
"""The replication number of the draw: none that a run uses, nor the law."""
RESAMPLES: Final = 100

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DrawnMonths:
    """Months of drawn faults: a row for each visit to a state in each, `count` months of `seconds`."""

    month: Ints
    state: npt.NDArray[np.uint64]
    visit_s: Floats
    count: int
    seconds: float = MONTH_S


def drawn_months(scenario: Scenario, seed: int) -> DrawnMonths | None:
    """Months of the scenario's faults; None where it draws none, or too many for months of them."""
    per_s = episodes_per_s(scenario)
    if per_s == 0 or FEWEST_MONTHS * per_s * MONTH_S > MOST_EPISODES:
        return None
    count = min(int(MOST_EPISODES / (per_s * MONTH_S)), MOST_MONTHS)
    until_s = count * MONTH_S
    environment = draw_environment(scenario, seed, APART, until_s, planned=False)
    path = state_path(fault_intervals(environment, 0.0, until_s), 0.0, until_s)
    cuts = np.union1d(path.start_s, MONTH_S * np.arange(count))
    return DrawnMonths(
        month=np.minimum((cuts / MONTH_S + 1e-9).astype(np.int64), count - 1),
        state=path.state[path.at(cuts)],
        visit_s=np.diff(cuts, append=until_s),
        count=count,
    )


@dataclass(frozen=True, slots=True)
class Months:
    """Availabilities of months, and what other luck would have made of them.

    `availability` is that of each month (nan without a request), `again` a row per resample, `at_worst` the
    same with what was not seen allowed for. Empty rows: there is no interval. `unseen` is the largest share
    of months that so many miss by chance (rule of three), and `method` says how months were made.
    """

    availability: Floats
    again: Floats
    at_worst: Floats
    unseen: float
    method: str

    def __len__(self) -> int:
        return len(self.availability)

    def missed(self, target: float) -> Estimate:
        """The probability that a month's availability is below a target."""

        def share(months: Floats) -> float:
            return float((months < target).mean())

        return self.estimate(share, "share", most=1.0)

    def estimate(
        self, of: Callable[[Floats], float], unit: str = "share", *, most: float = math.inf
    ) -> Estimate:
        """A statistic of months that falls as availability rises, with its interval; at most `most`."""
        told = self.availability[~np.isnan(self.availability)]
        n = len(told)
        if n == 0:
            return Estimate(math.nan, math.nan, math.nan, 0, "", unit)
        value = of(told)
        if len(self.again) == 0:
            return Estimate(value, math.nan, math.nan, n, "", unit)
        lows, highs = (
            [of(row[~np.isnan(row)]) for row in rows if not np.isnan(row).all()]
            for rows in (self.again, self.at_worst)
        )
        # Of so few resamples the plain quantiles are inside of what 2.5 % would exceed.
        low = float(np.quantile(lows, TAIL, method="weibull"))
        high = float(np.quantile(highs, 1 - TAIL, method="weibull"))
        worst = of(np.zeros(1))
        # Months that all went alike show no spread, but may have missed what others would show.
        if value == 0:
            high = max(high, self.unseen * worst)
        elif value == worst:
            low = min(low, (1 - self.unseen) * worst)
        return Estimate(value, min(low, value), min(max(high, value), most), n, self.method, unit)


class _Pools:
    """What visits to each state lost in the runs: from these shares those of the drawn months are drawn."""

    def __init__(self, cells: Sequence[Cells], promise: Promise, months: DrawnMonths) -> None:
        sizes = [len(each.state) for each in cells]
        bad, trials = np.concatenate(promise.bad), np.concatenate(promise.trials)
        kept = trials > 0
        self.replications = len(cells)
        self.state = np.concatenate([each.state for each in cells])[kept]
        self.spell = np.concatenate([each.spell for each in cells])[kept]
        self.replication = np.repeat(np.arange(len(cells)), sizes)[kept]
        self.bad, self.trials = bad[kept], trials[kept]
        self.lost = self.bad / self.trials
        self.per_s = float(trials.sum()) / sum(float(each.seconds.sum()) for each in cells)
        self.visits = np.flatnonzero(months.state != QUIET)
        """The visits of the drawn months to states with faults."""
        state = months.state[self.visits]
        order = np.argsort(state, kind="stable")
        begins = np.flatnonzero(np.diff(state[order], prepend=QUIET))
        self.places = [
            (mine, np.flatnonzero(self.state == state[mine[0]]))
            for mine in np.split(order, begins[1:])
            if len(mine)
        ]
        """The places in `visits` of those to each state, and the rows of the runs that met it."""

    def share_lost(self, luck: Floats, weight: Floats, *, at_worst: bool) -> Floats:
        """What each of the `visits` loses; `weight` is that of each replication."""
        lost = np.zeros(len(self.visits))
        weights = self.trials * weight[self.replication]
        for mine, rows in self.places:
            pool = rows[weights[rows] > 0]
            if len(pool) == 0:
                lost[mine] = 1.0 if at_worst else 0.0
                continue
            running = np.cumsum(weights[pool])
            drawn = luck[mine]
            if at_worst and (spells := self.spells(pool)) < ENOUGH_SPELLS:
                unseen = float(unseen_share(spells))
                hidden = drawn < unseen
                lost[mine[hidden]] = 1.0
                mine, drawn = mine[~hidden], (drawn[~hidden] - unseen) / (1 - unseen)
            lost[mine] = self.lost[pool[np.searchsorted(running, drawn * running[-1], side="right")]]
        return lost

    def spells(self, pool: Ints) -> int:
        """In how many spells of faults these rows are."""
        return len(set(zip(self.replication[pool].tolist(), self.spell[pool].tolist(), strict=True)))

    def quiet_share(self, weight: Floats) -> float:
        weights = weight[self.replication] * (self.state == QUIET)
        total = float((self.trials * weights).sum())
        return float((self.bad * weights).sum()) / total if total else 0.0


def months_from_faults(cells: Sequence[Cells], promise: Promise, months: DrawnMonths, seed: int) -> Months:
    """Months of drawn faults with the losses that were met in the runs; `cells` are those of `promise`."""
    pools = _Pools(cells, promise, months)
    if not pools.per_s > 0:
        return Months(np.full(months.count, np.nan), *no_interval(), 0.0, "")
    quiet_s = np.bincount(
        months.month, weights=months.visit_s * (months.state == QUIET), minlength=months.count
    )
    month, visit_s = months.month[pools.visits], months.visit_s[pools.visits]

    def drawn(nth: int, weight: Floats, *, at_worst: bool) -> Floats:
        generator = Stream(seed, nth, "monthly availability").generator()
        lost = pools.share_lost(generator.random(len(month)), weight, at_worst=at_worst)
        bad = pools.per_s * np.bincount(month, weights=visit_s * lost, minlength=months.count)
        bad += generator.poisson(pools.per_s * quiet_s * pools.quiet_share(weight))
        availability: Floats = 1 - np.minimum(bad / (pools.per_s * months.seconds), 1.0)
        return availability[generator.integers(months.count, size=months.count)] if nth else availability

    n = pools.replications
    base = drawn(0, np.ones(n), at_worst=False)
    method = f"{months.count} months of drawn faults, losses as in the runs"
    if n == 1:
        return Months(base, *no_interval(), 0.0, method)
    weights = [resample(n, seed, nth) for nth in range(1, RESAMPLES + 1)]
    again, at_worst = (
        np.stack([drawn(nth + 1, weight, at_worst=worst) for nth, weight in enumerate(weights)])
        for worst in (False, True)
    )
    return Months(base, again, at_worst, float(unseen_share(months.count)), method)


def months_from_runs(promise: Promise, run_s: float, seed: int) -> Months:
    """The whole months in runs of `run_s` seconds; if runs are shorter, whole runs put together at random.

    Shorter runs in which everything went well, or nothing did, leave a wide bound: the share of runs that so
    many miss by chance may do anything, and a month consists of many runs.
    """
    whole = int(run_s / MONTH_S + 1e-9)
    n = len(promise.bad)
    weights = [resample(n, seed, nth) for nth in range(1, RESAMPLES + 1)] if n > 1 else []
    if whole and promise.minutes is not None:
        edges = MONTH_S * np.arange(whole + 1)
        counts = [minutes.counts(edges[:-1], edges[1:]) for minutes in promise.minutes]
        each = 1 - np.stack([divided(bad, total) for total, bad in counts])
        method = f"{whole} whole months in each replication"
        if not weights:
            return Months(each.ravel(), *no_interval(), 0.0, method)
        again = np.stack([np.repeat(each, times.astype(np.int64), axis=0).ravel() for times in weights])
        return Months(each.ravel(), again, again, float(unseen_share(each.size)), method)
    bad = np.array([float(each.sum()) for each in promise.bad])
    total = np.array([float(each.sum()) for each in promise.trials])
    parts = max(math.ceil(MONTH_S / run_s - 1e-9), 1)

    def put_together(nth: int, weight: Floats) -> Floats:
        generator = Stream(seed, nth, "months of runs").generator()
        # How often each run is in a month, not which one is where: months of short runs have thousands.
        times = generator.multinomial(parts, weight / weight.sum(), size=MOST_MONTHS)
        return 1 - divided(times @ bad, times @ total)

    base = put_together(0, np.ones(n))
    method = f"months of {parts} replications each, drawn at random"
    if not weights:
        return Months(base, *no_interval(), 0.0, method)
    again = np.stack([put_together(nth + 1, weight) for nth, weight in enumerate(weights)])
    alike = bool((bad == 0).all() or (bad == total).all())
    unseen = 1 - (1 - float(unseen_share(n))) ** parts if alike else float(unseen_share(MOST_MONTHS))
    return Months(base, again, again, unseen, method)


def resample(replications: int, seed: int, nth: int) -> Floats:
    """How often each replication is in a resample of so many."""
    drawn = Stream(seed, nth, "resampled replications").generator().integers(replications, size=replications)
    return np.bincount(drawn, minlength=replications).astype(np.float64)


def no_interval() -> tuple[Floats, Floats]:
    return np.zeros((0, 0)), np.zeros((0, 0))


def divided(bad: Floats, total: Floats) -> Floats:
    return np.where(total > 0, bad / np.maximum(total, 1.0), np.nan)
