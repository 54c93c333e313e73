"""`estimate_availability`: rare unavailability from windows around faults, with the real router in them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.analysis.states import QUIET
from simsla.analysis.windows.allocation import neyman
from simsla.analysis.windows.lives import States, draw_life
from simsla.analysis.windows.measuring import Measured, Window, run_windows
from simsla.analysis.windows.memory import remembered_s
from simsla.analysis.windows.result import Design, RareResult
from simsla.analysis.windows.sampling import draw_windows
from simsla.analysis.windows.strata import Population, stratify
from simsla.analysis.windows.totals import Sampled, failed, firsts
from simsla.analysis.windows.warm import CHECKED, changed
from simsla.analysis.windows.world_limits import refuse_without_long_run, requests_per_s
from simsla.scenario import Scenario
from simsla.simulation import resolve_policy
from simsla.world.faults import YEAR_S
from simsla.world.streams import checked_seed

if TYPE_CHECKING:
    from simsla.simulation import Policy

__all__ = ["estimate_availability"]

EPISODES: Final = 1_000_000
"""Episodes drawn unless `years` says otherwise."""
LIVES: Final = 50
SHORTEST_S: Final = 90 * 86400.0
"""Lives are no shorter, if there are to be more than two: they hold whole months."""
OVERHEAD: Final = 100
"""Requests that take as long as it takes to begin a window. A cell of an interior has as many, if it can."""
LONGEST_CELL_S: Final = 86400.0
PILOT: Final = 0.25
"""The part of the requests that the pilot and the check of the warm-up may take."""
WELL_KNOWN: Final = 10
"""Windows in a stratum of the pilot beyond which it learns little."""


def estimate_availability(
    scenario: Scenario | str | Path,
    policy: Policy | str | None = None,
    *,
    seed: int = 1,
    years: float | None = None,
    requests: int = 1_000_000,
    within: float | None = None,
    memory_s: float | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> RareResult:
    """The long-run availability of a policy, however rarely it fails.

    Faults are drawn for `years` of 365 days (by default as many as a million episodes take) without a single
    request. The router then runs only in sampled windows: around the beginnings and ends of faults, inside
    long ones, and in quiet times, by strata of what overlaps. Works for any policy, as in `simulate`.

    `requests` is about the most that are simulated, warm-ups included; with few requests rare strata are
    united, and what five windows of each stratum take is the least. A window counts as a hundred more than it
    has, since it takes that long to begin one. `within` is the half-width wanted of the
    95 % interval of the unavailability, relative to it: with 0.1 no more requests are spent than +-10 %
    should take. `memory_s` is how long the router may remember a fault: the warm-up of each window and the
    tail of each episode; by default the longest duration in the built-in router's configuration, and 900 s
    for any other policy. `n_jobs` processes share the windows (-1: all cores) and change no number.

        result = simsla.estimate_availability("playbook", seed=1, requests=2_000_000)
        result.unavailability, result.latency(0.99), result.months(0.9999)

    Issues typed warnings (`SimslaWarning`) where the numbers need a caveat. Raises ScenarioError for traffic
    or latencies without a long run, PolicyError, ValueError for arguments out of range, and VirtualTimeError
    where virtual time cannot go on.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    _check(years, requests, within, memory_s)
    chosen = scenario.routing if policy is None else policy
    resolve_policy(chosen)
    seed = checked_seed(seed)
    if n_jobs == 0:
        raise ValueError("n_jobs: expected a number of processes, or -1 for all cores, got 0")
    refuse_without_long_run(scenario)
    study = _Study(scenario, chosen, seed, n_jobs, progress)
    result = study.run(years, requests, within, memory_s)
    for caveat in result.caveats:
        warnings.warn(caveat, stacklevel=2)
    return result


def _check(years: float | None, requests: int, within: float | None, memory_s: float | None) -> None:
    for name, value in (("years", years), ("within", within), ("memory_s", memory_s)):
        if value is not None and not (
            isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        ):
            raise ValueError(f"{name}: expected a number above 0, or None, got {value!r}")
    if isinstance(requests, bool) or not isinstance(requests, int | np.integer) or requests < 1:
        raise ValueError(f"requests: expected a whole number of at least 1, got {requests!r}")


@dataclass
class _Study:
    """One estimate in the making."""

    scenario: Scenario
    policy: Policy | str
    seed: int
    n_jobs: int
    progress: bool | None

    def run(
        self, years: float | None, requests: int, within: float | None, memory_s: float | None
    ) -> RareResult:
        memory_s = remembered_s(self.scenario, self.policy) if memory_s is None else float(memory_s)
        self._known: dict[Window, Measured] = {}
        rate = sum(spec.arrivals.mean_rate_per_s() for spec in self.scenario.traffic.values())
        per_year = episodes_per_year(self.scenario)
        if years is None:
            years = EPISODES / per_year if per_year else 1.0
        lives = int(np.clip(min(years * per_year / 10, years * YEAR_S / SHORTEST_S), 2, LIVES))
        life_s = years * YEAR_S / lives
        if memory_s > life_s / 10:
            raise ValueError(
                f"memory_s: expected at most {life_s / 10:.4g}, a tenth of one of the {lives} lives in "
                f"{years:.4g} years, got {memory_s:.4g}; draw more years"
            )
        states = States()
        self._lives = [
            draw_life(self.scenario, self.seed, number, life_s, memory_s, states) for number in range(lives)
        ]
        cell_s = max(memory_s, min(OVERHEAD / rate, LONGEST_CELL_S))
        window_cost = OVERHEAD + (1.5 * memory_s + cell_s) * rate
        most = int(np.clip(requests / (8 * window_cost), 8, 60))
        population = stratify(self._lives, states, memory_s, most, cell_s)
        sampled = self._sample(population, requests, within, rate)
        again = self._warmed(sampled)
        simulated = sum(each.simulated for each in self._known.values())
        design = Design(
            scenario=self.scenario,
            policy=self.policy,
            seed=self.seed,
            years=years,
            lives=lives,
            life_s=life_s,
            memory_s=memory_s,
            simulated=simulated,
            within=within,
            strained=sum(each.strained for each in self._known.values()),
            attempts=sum(each.attempts for each in self._known.values()),
            unowned=sum(each.unowned for each in self._known.values()),
            warmup=again,
            episodes=sum(len(life.environment) for life in self._lives),
        )
        return RareResult(design, population, states, sampled)

    def _sample(
        self, population: Population, requests: int, within: float | None, rate: float
    ) -> list[Sampled]:
        """A pilot, the allocation that it suggests, and the windows that count.

        What the pilot saw decides how many windows there are and what is expected of each, and is then left
        out: a stratum in which it happened to see nothing would otherwise count for too little.
        """
        strata = population.strata
        length_s = np.array([s.seconds / s.cells for s in strata])
        guess = OVERHEAD + (1.5 * population.memory_s + length_s) * rate
        cells = np.array([s.cells for s in strata])
        pilot = int(np.clip(PILOT * requests / guess.sum(), 2, WELL_KNOWN))
        first = self._draw(population, [pilot] * len(strata), "pilot")
        spread, cost, slopes = np.zeros((3, len(strata)))
        total = 0.0
        for i, sample in enumerate(first):
            slopes[i] = sample.total(failed) / max(sample.total(firsts), 1.0)
            n = len(sample.measured)
            residual = (sample.values(failed) - slopes[i] * sample.values(firsts)) / sample.draws.probability
            chance = (sample.values(failed) / sample.draws.probability**2).mean()
            # Of the spread a slope takes one degree of freedom.
            spread[i] = n * math.sqrt(max(float(residual @ residual) / max(n - 1, 1), chance))
            cost[i] = OVERHEAD + float(np.mean([each.simulated for each in sample.measured]))
            total += sample.total(failed)
        left = float(requests) - sum(each.simulated + OVERHEAD for each in self._known.values())
        # The windows that are run again take about twice as long.
        left -= 2 * CHECKED * float(cost.mean())
        half_width = None if within is None or total == 0 else within * total
        # Heads fail as a whole, interiors request by request (see `Sampled.unseen`).
        trials = np.array([1.0 if s.is_head else max(rate * s.seconds / s.cells, 1.0) for s in strata])
        hidden = np.array([s.seconds for s in strata]) / trials
        wanted = neyman(spread, cost, cells, hidden, max(left, 0.0), half_width)
        main = self._draw(population, wanted.tolist(), "main")
        known = requests_per_s(self.scenario)
        if known is None:
            return main
        return [
            sample
            if (sample.draws.probability == 1).all()
            else replace(sample, slope=float(slope), expected=known * stratum.seconds)
            for sample, slope, stratum in zip(main, slopes, strata, strict=True)
        ]

    def _draw(self, population: Population, wanted: Sequence[int], phase: str) -> list[Sampled]:
        draws = [draw_windows(population, i, count, self.seed, phase) for i, count in enumerate(wanted)]
        windows = [
            [
                Window(int(population.life[unit]), float(start), float(end), float(warmup))
                for unit, start, end, warmup in zip(
                    each.unit, each.start_s, each.end_s, each.warmup_s, strict=True
                )
            ]
            for each in draws
        ]
        self._measure([window for each in windows for window in each], phase)
        return [
            Sampled(
                drawn,
                tuple(self._known[window] for window in each),
                quiet=not stratum.is_head and stratum.state == QUIET,
            )
            for stratum, drawn, each in zip(population.strata, draws, windows, strict=True)
        ]

    def _measure(self, windows: Sequence[Window], phase: str) -> None:
        """Run those of the windows that have not been run."""
        new = [window for window in dict.fromkeys(windows) if window not in self._known]
        drained_s = max(spec.longest_s for spec in self.scenario.traffic.values())
        tasks = [
            (
                window,
                self._lives[window.life].slice(
                    max(0.0, window.start_s - window.warmup_s), window.end_s + drained_s
                ),
            )
            for window in new
        ]
        results = run_windows(
            self.scenario,
            self.policy,
            self.seed,
            tasks,
            self.n_jobs,
            self.progress,
            f"{self.scenario.name}: {phase}",
        )
        self._known.update(zip(new, results, strict=True))

    def _warmed(self, sampled: Sequence[Sampled]) -> str:
        """What doubling the warm-up changes, in windows of the strata that fail the most requests."""
        ranked = sorted(range(len(sampled)), key=lambda i: -sampled[i].total(failed))
        pairs: list[tuple[Window, Window]] = []
        for nth in range(CHECKED):
            for i in ranked[:CHECKED]:
                drawn = sampled[i].draws
                if nth < len(drawn.unit) and len(pairs) < CHECKED:
                    unit = int(drawn.unit[nth])
                    life = self._life_of(unit)
                    warmup_s = float(drawn.warmup_s[nth])
                    once = Window(life, float(drawn.start_s[nth]), float(drawn.end_s[nth]), warmup_s)
                    pairs.append((once, once._replace(warmup_s=2 * warmup_s)))
        self._measure([twice for _, twice in pairs], "warm-up")
        return changed([self._known[a] for a, _ in pairs], [self._known[b] for _, b in pairs])

    def _life_of(self, unit: int) -> int:
        ends = np.cumsum([len(life.key) for life in self._lives])
        return int(np.searchsorted(ends, unit, side="right"))


def episodes_per_year(scenario: Scenario) -> float:
    """Episodes that chance brings in a year, of all components."""
    total = 0.0
    for component in scenario.all_components.values():
        for fault in component.faults:
            if fault.between is not None and fault.lasts is not None:
                lasts_s = fault.lasts.mean() if fault.gap is None else 0.0
                total += YEAR_S / (fault.between.mean() + lasts_s)
    return total
