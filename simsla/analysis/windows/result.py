"""`RareResult`: what windows around faults say of availability, latency, cost and months."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.estimate import Estimate
from simsla.analysis.intervals import t_quantile, unseen_share
from simsla.analysis.warnings import (
    ExogeneityWarning,
    FewEpisodesWarning,
    NoFailuresWarning,
    PlannedFaultsWarning,
    PrecisionWarning,
    SimslaWarning,
    UnattributedAttemptsWarning,
    UnseenFailuresWarning,
    WarmupWarning,
)
from simsla.analysis.windows.control import Adjusted, adjusted, expected_shares
from simsla.analysis.windows.lives import ROOM
from simsla.analysis.windows.monthly import Months
from simsla.analysis.windows.totals import (
    Sampled,
    Spread,
    cost_usd,
    failed,
    firsts,
    log_interval,
    spread_of,
    valid,
)
from simsla.analysis.windows.world_limits import endogenous, planned_parts, requests_per_s
from simsla.records import OUTCOMES
from simsla.simulation import name_of

if TYPE_CHECKING:
    import pandas as pd

    from simsla.analysis.windows.lives import States
    from simsla.analysis.windows.strata import Population
    from simsla.scenario import Scenario
    from simsla.simulation import Policy

__all__ = ["SCHEMA", "Design", "RareResult", "spoken_years"]

SCHEMA: Final = "simsla.rare/1"
DAY_S: Final = 86400.0
FEW: Final = 10
"""Episodes with failures below which an interval is not to be trusted."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Design:
    """What was asked, and what was run for it."""

    scenario: Scenario
    policy: Policy | str
    seed: int
    years: float
    lives: int
    life_s: float
    memory_s: float
    simulated: int
    within: float | None
    strained: int
    attempts: int
    unowned: int
    warmup: str
    episodes: int


class RareResult:
    """Long-run estimates from sampled windows, each with its 95 % interval.

    `years` and `episodes` of environment were drawn, and `requests` of them simulated, warm-ups included.
    `memory_s` is how long the router was taken to remember a fault. `caveats` are the typed warnings that go
    with the numbers. `seed` reproduces them, at any number of processes.
    """

    def __init__(
        self, design: Design, population: Population, states: States, sampled: Sequence[Sampled]
    ) -> None:
        """Use `estimate_availability`."""
        self.scenario = design.scenario
        scenario_policy = design.policy is design.scenario.routing and not isinstance(design.policy, str)
        self.policy = "routing" if scenario_policy else name_of(design.policy)
        self.seed = design.seed
        self.years = design.years
        self.episodes = design.episodes
        self.requests = design.simulated
        self.memory_s = design.memory_s
        self._design = design
        self._population = population
        self._states = states
        self._sampled = tuple(sampled)
        self._seconds = design.lives * design.life_s

    # Totals over all the drawn time

    @cached_property
    def _whole(self) -> bool:
        """Whether every second was simulated, so that nothing needs to be scaled."""
        return all(bool((each.draws.probability == 1).all()) for each in self._sampled)

    @cached_property
    def _firsts(self) -> float:
        """First requests in all the drawn time: exact where the traffic has a known rate."""
        rate = requests_per_s(self.scenario)
        if rate is None or self._whole:
            return math.fsum(each.total(firsts) for each in self._sampled)
        return rate * self._seconds

    @cached_property
    def _valid(self) -> float:
        """Valid requests in all the drawn time."""
        counted = math.fsum(each.total(firsts) for each in self._sampled)
        share = math.fsum(each.total(valid) for each in self._sampled) / counted if counted else 0.0
        return self._firsts * share

    @cached_property
    def _failures(self) -> Adjusted:
        """Failures per life, corrected by the control variate."""
        means = np.array(
            [
                each.lost() / stratum.size
                for stratum, each in zip(self._population.strata, self._sampled, strict=True)
            ]
        )
        per_life = self._population.by_life(self._design.lives) @ means
        shares = None if self._whole else expected_shares(self.scenario, self._states)
        if shares is None:
            return adjusted(per_life, np.zeros((len(per_life), 0)), np.zeros(0))
        # The states inside whose long stretches requests fail, alone or united in a stratum of rare ones.
        matters = [
            (mean * stratum.seconds, np.unique(self._population.state[stratum.rows]))
            for stratum, mean in zip(self._population.strata, means, strict=True)
            if not stratum.is_head and stratum.state != 0 and mean > 0
        ]
        groups = [states for _, states in sorted(matters, key=lambda each: -each[0])]
        seconds = [np.zeros((len(per_life), 0)), *(self._seconds_in(states) for states in groups)]
        expected = np.array([sum(shares[int(state)] for state in states) for states in groups])
        return adjusted(per_life, np.column_stack(seconds), expected * self._design.life_s)

    def _seconds_in(self, states: npt.NDArray[np.uint64]) -> Floats:
        """The seconds that each life spent in any of these states."""
        population = self._population
        rows = np.isin(population.state, states)
        lives = self._design.lives
        seconds: Floats = np.bincount(
            population.life[rows], weights=population.length_s[rows], minlength=lives
        ).astype(np.float64)
        return seconds

    @cached_property
    def _variance(self) -> Spread:
        """The variance of all failures in the drawn time: between lives, and within strata."""
        found = self._failures
        lives = self._design.lives
        between = Spread(found.variance * lives**2, found.degrees_of_freedom)
        within = [each.lost_spread() for each in self._sampled]
        return spread_of([between, *within])

    # Estimates

    @cached_property
    def unavailability(self) -> Estimate:
        """Valid requests that were not answered / valid requests, in the long run (request-based).

        Where none failed the interval runs from 0 to what could have gone unseen (rule of three).
        """
        lives = self._design.lives
        requests = self._valid
        if not requests > 0:
            return Estimate(math.nan, math.nan, math.nan, lives, self.method, "share")
        value = max(self._failures.mean * lives, 0.0) / requests
        if value == 0:
            return Estimate(0.0, 0.0, min(self.unseen, 1.0), lives, "rule of three", "share")
        spread = self._variance
        interval = log_interval(
            value, Spread(spread.variance / requests**2, spread.degrees_of_freedom), most=1.0
        )
        return Estimate(value, interval.low, interval.high, self.clusters, self.method, "share")

    @cached_property
    def availability(self) -> Estimate:
        """Good requests / valid requests, in the long run (request-based)."""
        u = self.unavailability
        return Estimate(1 - u.value, 1 - u.ci_high, 1 - u.ci_low, u.n, u.method, "share")

    @property
    def method(self) -> str:
        """How the interval is made, in words."""
        control = self._failures.controls
        return f"windows by strata, episodes as clusters, log scale; {self._design.lives} lives" + (
            f", control variate on {control} state{'s' if control > 1 else ''}" if control else ""
        )

    @cached_property
    def clusters(self) -> int:
        """Episodes, and windows of quiet time, in which a request was seen to fail."""
        return len(
            {
                (stratum, int(cluster)) if each.quiet else int(cluster)
                for stratum, each in enumerate(self._sampled)
                for cluster, window in zip(each.clusters, each.measured, strict=True)
                if window.failed
            }
        )

    @cached_property
    def unseen(self) -> float:
        """The most unavailability that strata without any failure could add: a rule of three for each."""
        return math.fsum(
            each.unseen(stratum.is_head) * stratum.seconds / self._seconds
            for stratum, each in zip(self._population.strata, self._sampled, strict=True)
        )

    @cached_property
    def cost_per_day(self) -> Estimate:
        """USD per day in the long run, every attempt of a request included."""
        costs, counts = (math.fsum(each.total(what) for each in self._sampled) for what in (cost_usd, firsts))
        if not counts > 0:
            return Estimate(math.nan, math.nan, math.nan, 0, self.method, "usd")
        ratio = costs / counts
        # What a request costs is a ratio: more requests in a window cost more, and are no error.
        parts = [each.spread(each.values(lambda m: m.cost_usd - ratio * m.firsts)) for each in self._sampled]
        scale = self._firsts / counts * DAY_S / self._seconds
        spread = spread_of(parts)
        if costs == 0:
            return Estimate(0.0, 0.0, 0.0, 0, "nothing costs anything", "usd")
        interval = log_interval(costs * scale, Spread(spread.variance * scale**2, spread.degrees_of_freedom))
        windows = sum(len(each.measured) for each in self._sampled)
        return Estimate(interval.value, interval.low, interval.high, windows, "windows by strata", "usd")

    def latency(self, p: float) -> Estimate:
        """The p-quantile, 0 < p < 1, of the seconds from arrival to last token of answered requests.

        The interval inverts that of the share below (Woodruff 1952), with windows as clusters.
        """
        if not 0 < p < 1:
            raise ValueError(f"p: expected a number between 0 and 1, got {p!r}")
        values, weights = self._latencies
        if not len(values):
            return Estimate(math.nan, math.nan, math.nan, 0, "nothing was answered", "s")
        below = np.cumsum(weights)
        below /= below[-1]

        def quantile(level: float) -> float:
            place = int(np.searchsorted(below, level * (1 - 1e-12)))
            return float(values[min(place, len(values) - 1)])

        q = quantile(p)
        total = float(weights.sum())
        spread = spread_of(
            [
                each.spread(each.values(lambda m: float((m.latency_s <= q).sum() - p * len(m.latency_s))))
                for each in self._sampled
            ]
        )
        windows = sum(len(each.measured) for each in self._sampled)
        half = float(t_quantile(spread.degrees_of_freedom)) * math.sqrt(spread.variance) / total
        if math.isnan(half):
            return Estimate(q, math.nan, math.nan, windows, "windows by strata", "s")
        low, high = quantile(max(p - half, 0.0)), quantile(min(p + half, 1.0))
        return Estimate(q, min(low, q), max(high, q), windows, "weighted quantile, windows by strata", "s")

    @cached_property
    def _latencies(self) -> tuple[npt.NDArray[np.float32], Floats]:
        """Every latency seen, ascending, and how many requests it stands for."""
        parts = [
            (window.latency_s, probability)
            for each in self._sampled
            for window, probability in zip(each.measured, each.draws.probability, strict=True)
        ]
        values = np.concatenate([latency for latency, _ in parts])
        weights = np.repeat([1 / p for _, p in parts], [len(latency) for latency, _ in parts])
        order = np.argsort(values, kind="stable")
        return values[order], weights[order]

    @property
    def holds_months(self) -> bool:
        """Whether the drawn lives hold whole months of 30 days, so that `months` can answer."""
        return self._design.life_s >= 30 * DAY_S

    def months(self, target: float, *, days: float = 30.0) -> Estimate:
        """The probability that a month of so many `days` misses an availability of `target`.

        Whole months of the drawn environment with the losses of each episode drawn from the windows of its
        stratum; the interval comes from resampling lives and windows. Raises ValueError for a target outside
        (0, 1), or where no life holds a month.
        """
        if not 0 < target < 1:
            raise ValueError(f"target: expected an availability between 0 and 1, got {target!r}")
        months = self._months(days)
        value, again = months.missed(1 - target)
        low, high = np.quantile(again, [0.025, 0.975])
        high = float(high)
        if value == 0:
            # No month of all that were drawn: the rule of three.
            high = max(high, float(unseen_share(months.count)))
        if self.unavailability.value == 0:
            # Nothing was seen to fail: of what could have gone unseen, months may have more (Markov).
            high = max(high, min(self.unavailability.ci_high / (1 - target), 1.0))
        return Estimate(
            value, min(float(low), value), max(high, value), months.count, "whole months resampled", "share"
        )

    def monthly(self, *, days: float = 30.0) -> Floats:
        """The availability of each drawn month, ascending: as many months as there are in the drawn years."""
        return np.sort(1 - self._months(days).unavailability(0, resampled=False).ravel())

    def _months(self, days: float) -> Months:
        if not 0 < days * DAY_S <= self._design.life_s:
            raise ValueError(
                f"days: expected between 0 and {self._design.life_s / DAY_S:.4g}, what one of the "
                f"{self._design.lives} lives holds, got {days!r}; draw more years"
            )
        return Months(
            self._population,
            self._sampled,
            lives=self._design.lives,
            origin_s=ROOM * self.memory_s,
            life_s=self._design.life_s,
            month_s=days * DAY_S,
            requests_per_s=self._valid / self._seconds,
            seed=self.seed,
        )

    # What is behind them

    @cached_property
    def outcomes(self) -> dict[str, float]:
        """Valid requests by outcome in all the drawn time, estimated: counts weighted by windows."""
        counts = np.zeros(len(OUTCOMES))
        for each in self._sampled:
            seen = sum(w.outcomes / p for w, p in zip(each.measured, each.draws.probability, strict=True))
            # How many requests there are is known better than by counting those of a few windows.
            counted = each.total(firsts)
            counts += seen * (each.expected / counted if each.expected and counted else 1.0)
        return dict(zip(OUTCOMES, counts.tolist(), strict=True))

    @cached_property
    def strata(self) -> pd.DataFrame:
        """One row per stratum, the one that fails most requests first.

        `units` (heads or visits), `windows` run, `time` (share), `failing` (share of its requests),
        `unavailability` (what it adds to the whole) and `unseen` (the most that it could hide).
        """
        import pandas as pd

        rows = []
        for stratum, each in zip(self._population.strata, self._sampled, strict=True):
            lost, counted = each.total(failed), each.total(valid)
            share = lost / counted if counted else math.nan
            lost = max(each.lost(), 0.0)
            time = stratum.seconds / self._seconds
            rows.append(
                {
                    "stratum": stratum.name,
                    "units": len(stratum.rows),
                    "windows": len(each.measured),
                    "requests": sum(window.valid for window in each.measured),
                    "time": time,
                    "failing": share,
                    "unavailability": lost / self._valid if self._valid else math.nan,
                    "unseen": each.unseen(stratum.is_head) * time,
                }
            )
        frame = pd.DataFrame(rows).set_index("stratum")
        return frame.sort_values(["unavailability", "time"], ascending=False, kind="stable")

    @cached_property
    def caveats(self) -> tuple[SimslaWarning, ...]:
        """What must be said beside the numbers."""
        found: list[SimslaWarning] = []
        u = self.unavailability
        if u.value == 0:
            found.append(
                NoFailuresWarning(
                    f"No request was seen to fail: the unavailability is below {u.ci_high:.2g} "
                    "(rule of three)."
                )
            )
        elif self.clusters < FEW:
            found.append(
                FewEpisodesWarning(
                    f"Requests failed in only {self.clusters} of the episodes and quiet windows run (fewer "
                    f"than {FEW}): the interval may be too short. Ask for more years or more requests."
                )
            )
        if u.value > 0 and self.unseen > u.half_width:
            found.append(
                UnseenFailuresWarning(
                    f"Strata in which nothing failed could add up to {self.unseen:.2g} of unavailability "
                    "(rule of three), which the interval leaves out: see strata['unseen']."
                )
            )
        if self._design.within is not None and not u.half_width <= self._design.within * u.value:
            found.append(
                PrecisionWarning(
                    f"The interval is +-{100 * u.half_width / u.value if u.value else math.inf:.0f} %, wider "
                    f"than the {100 * self._design.within:.3g} % asked for: allow more requests, or "
                    "draw more years."
                )
            )
        if self._design.warmup:
            found.append(
                WarmupWarning(
                    f"{self._design.warmup}: the router remembers longer than {self.memory_s:.4g} s. Give a "
                    "longer memory_s."
                )
            )
        if causes := endogenous(self.scenario, self._design.policy):
            share = self._design.strained / self._design.attempts if self._design.attempts else 0.0
            found.append(
                ExogeneityWarning(
                    f"Requests can cause failures themselves, through {', '.join(causes)}: windows around "
                    f"faults find what lasts no longer than {self.memory_s:.4g} s, and no overload that "
                    f"builds up by itself. {100 * share:.2g} % of the attempts in them waited or were turned "
                    "away. Compare with simulate."
                )
            )
        if planned := planned_parts(self.scenario):
            found.append(
                PlannedFaultsWarning(
                    f"Faults at appointed times have no long run and are left out: {', '.join(planned)}."
                )
            )
        if self._design.unowned:
            found.append(
                UnattributedAttemptsWarning(
                    f"{self._design.unowned:,} attempts belong to no request: they are in no number here."
                )
            )
        return tuple(found)

    # Words

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, ready for JSON (schema `simsla.rare/1`)."""
        rows = self.strata.reset_index().to_dict("records")
        return {
            "schema": SCHEMA,
            "scenario": self.scenario.name,
            "policy": self.policy,
            "seed": self.seed,
            "years": self.years,
            "episodes": self.episodes,
            "requests": self.requests,
            "memory_s": self.memory_s,
            "metrics": {name: each.to_dict() for name, each in self.metrics.items()},
            "unseen": self.unseen,
            "strata": [
                {key: None if value != value else value for key, value in row.items()} for row in rows
            ],
            "warnings": [f"{type(caveat).__name__}: {caveat}" for caveat in self.caveats],
        }

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Every estimate by name."""
        return {
            "availability": self.availability,
            "unavailability": self.unavailability,
            **{f"latency_{name}_s": self.latency(p) for name, p in QUANTILES.items()},
            "cost_usd_per_day": self.cost_per_day,
        }

    def __repr__(self) -> str:
        return (
            f"<RareResult {self.scenario.name}, {self.policy}, {spoken_years(self.years)}, {self.requests:,} "
            f"requests: unavailability {self.unavailability:.3g}, p99 {self.latency(0.99)}, "
            f"{self.cost_per_day} a day>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(each))}</td>"
            f"<td>{html.escape(each.method)}</td></tr>"
            for name, each in self.metrics.items()
        )
        notes = "".join(f"<li>{html.escape(str(caveat))}</li>" for caveat in self.caveats)
        title = (
            f"{self.scenario.name}: {self.policy}, {spoken_years(self.years)} of faults, "
            f"{self.requests:,} requests, seed {self.seed}"
        )
        return (
            f"<table><caption>{html.escape(title)}</caption><thead><tr><th>metric</th>"
            f"<th>value [95 % interval]</th><th>method</th></tr></thead><tbody>{rows}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + self.strata.to_html(float_format=lambda x: f"{x:.3g}")
        )


def spoken_years(years: float) -> str:
    """Years as one says them."""
    return f"{years:,.0f} years" if years >= 10 else f"{years:.3g} year{'' if years == 1 else 's'}"


QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
