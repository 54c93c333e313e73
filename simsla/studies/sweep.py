"""`sweep`: one scenario at every point of a grid, all in the same world."""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsla.run import DEFAULT_REPLICATIONS, Result, in_parallel
from simsla.scenario import Scenario
from simsla.simulation import Policy, resolve_policy
from simsla.world.streams import checked_seed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study:
    """The results of a sweep: `results[i]` belongs to `points[i]`, a mapping of paths to values."""

    scenario: Scenario
    points: tuple[dict[str, Any], ...]
    results: tuple[Result, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """What was varied."""
        return tuple(self.points[0])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Tidy: one row per point and metric: the varied values, and what `Result.summary` has of it."""
        import pandas as pd

        rows = [
            {**point, **row}
            for point, result in zip(self.points, self.results, strict=True)
            for row in result.rows()
        ]
        return pd.DataFrame(rows)

    @property
    def caveats(self) -> dict[str, int]:
        """The kinds of warnings that go with the points, and how many points have each."""
        return dict(
            Counter(name for result in self.results for name in {type(c).__name__ for c in result.caveats})
        )

    def __repr__(self) -> str:
        return f"<Study {self.scenario.name}: {len(self.points)} points over {', '.join(self.paths)}>"

    def _repr_html_(self) -> str:
        shown = ("availability", "latency_p99_s", "cost_usd_per_day")
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in (*self.paths, *shown))
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(str(value))}</td>" for value in point.values())
            + "".join(f"<td>{html.escape(str(result.metrics[name]))}</td>" for name in shown)
            + "</tr>"
            for point, result in zip(self.points, self.results, strict=True)
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def sweep(
    scenario: Scenario | str | Path,
    grid: Mapping[str, Sequence[Any]],
    policy: Policy | str | None = None,
    seed: int = 1,
    replications: int | None = None,
    n_jobs: int = 1,
    *,
    progress: bool | None = None,
) -> Study:
    """Simulate every point of a grid, each against the same arrivals, faults and luck.

    `grid` maps paths into the scenario, such as `"routing.retry.max_attempts"`, to the values to try; the
    points are their product, the last path varying fastest. All points share the seed, so their differences
    are not the luck of the draw (common random numbers). The other arguments are those of `simulate`; all
    points and replications together are spread over `n_jobs` processes.

    Warnings are not issued point by point: see `Study.caveats` and each result's.

    Raises ScenarioError for a path that does not exist or a value that cannot be, before anything runs.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    if not grid or not all(len(values) for values in grid.values()):
        raise ValueError("grid: expected at least one path with at least one value")
    seed = checked_seed(seed)
    points = tuple(dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    variants = [scenario.with_values(point) for point in points]
    for variant in variants:
        resolve_policy(variant.routing if policy is None else policy)
    counts = [
        replications if replications is not None else (variant.replications or DEFAULT_REPLICATIONS)
        for variant in variants
    ]
    tasks = [
        (variant, policy, seed, replication, False)
        for variant, count in zip(variants, counts, strict=True)
        for replication in range(count)
    ]
    outcomes = in_parallel(tasks, n_jobs, progress, f"{scenario.name}: {len(points)} points")
    results = tuple(
        Result(variant, policy, seed, list(itertools.islice(outcomes, count)))
        for variant, count in zip(variants, counts, strict=True)
    )
    return Study(scenario, points, results)
