"""`simulate`: independent replications of a scenario, and the `Result` with its intervals."""

from __future__ import annotations

import dataclasses
import html
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simsla.analysis import (
    Estimate,
    Metrics,
    ReplicationSummary,
    SimslaWarning,
    caveats,
    drawn_faults,
    environment_law,
    evaluate_objectives,
    summarise,
)
from simsla.analysis.closed_forms import ClosedForm, SideBySide, side_by_side
from simsla.scenario import Scenario
from simsla.scenario.quality import scores
from simsla.simulation import Failures, Policy, Replication, name_of, resolve_policy, run_one
from simsla.simulation.hashes import fixed_hashes, hash_seed
from simsla.simulation.surroundings import FIDELITIES, Fidelity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

SCHEMA = "simsla.result/1"

DEFAULT_REPLICATIONS = 20


class Outcome(NamedTuple):
    """What a worker sends back for one replication; the run only where logs are kept."""

    summary: ReplicationSummary
    run: Replication | None
    failures: dict[str, Failures]
    fidelity: Fidelity = "transport"
    http_calls: int = 0
    sdk_retries: int = 0
    complaints: Mapping[str, int] = {}
    hash_seed: int | None = None


def replicate(
    scenario: Scenario, policy: Policy | str | None, seed: int, replication: int, keep_logs: bool
) -> Outcome:
    """Run one replication and reduce it to what metrics need; called in worker processes.

    The errors of `run_one` leave with an `Outcome` as their `partial`.
    """
    try:
        run = run_one(scenario, policy, seed, replication)
    except Exception as error:
        recorded = getattr(error, "partial", None)
        if isinstance(recorded, Replication):
            some = recorded.end_s > recorded.start_s
            error.partial = reduced(scenario, recorded, keep_logs) if some else None  # type: ignore[attr-defined]
        raise
    return reduced(scenario, run, keep_logs)


def reduced(scenario: Scenario, run: Replication, keep_logs: bool) -> Outcome:
    """What metrics need of a replication, and the replication itself where logs are kept."""
    summary = summarise(
        run.log,
        start_s=run.start_s,
        end_s=run.end_s,
        environment=drawn_faults(run.environment),
        quality=scores(scenario.deployment_specs, tuple(scenario.traffic)),
        pods_usd=0.0 if run.gateway is None else run.gateway.cost_usd(run.start_s, run.end_s),
    )
    return Outcome(
        summary,
        run if keep_logs else None,
        dict(run.failures),
        run.fidelity,
        run.http_calls,
        run.sdk_retries,
        run.complaints,
        hash_seed(),
    )


def in_parallel(
    tasks: Sequence[tuple[Any, ...]], n_jobs: int, progress: bool | None, description: str
) -> Iterator[Outcome]:
    """`replicate` over argument tuples, through joblib, in their order, with a bar that tells the time left.

    `progress` None shows the bar where standard error is a terminal. The engine is joblib's, so
    `joblib.parallel_config(backend="dask")` spreads the same tasks over a cluster.
    """
    import joblib
    from tqdm import tqdm

    with fixed_hashes():
        outcomes: Iterable[Outcome] = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
            joblib.delayed(replicate)(*task) for task in tasks
        )
        bar = tqdm(
            outcomes,
            total=len(tasks),
            desc=description,
            unit="run",
            file=sys.stderr,
            disable=None if progress is None else not progress,
            leave=False,
        )
        yield from bar


def simulate(
    scenario: Scenario | str | Path,
    policy: Policy | str | None = None,
    seed: int = 1,
    replications: int | None = None,
    n_jobs: int = 1,
    *,
    keep_logs: bool = True,
    progress: bool | None = None,
) -> Result:
    """Run independent replications of a scenario under a policy.

    `scenario` is a Scenario, a path or the name of a shipped one. `policy` is a factory(transport) ->
    handle(request), a RoutingPolicy, or "package.module:factory"; by default the scenario's own.
    `replications` is by default the scenario's, else 20. `n_jobs` processes share the work through joblib
    (-1: all cores) and change no result. Without `keep_logs` the result has metrics but no `requests` and
    `attempts`. `progress` None shows a bar where standard error is a terminal.

    Issues typed warnings (`SimslaWarning`) where an assumption behind an interval does not hold.

    Raises ScenarioError, PolicyError, PolicyFactoryError for a policy whose factory fails, or
    VirtualTimeError where virtual time cannot go on. The last two have the attribute `partial`: the Result of
    what was recorded until then, its last replication a part of one; None where no time had passed.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    count = replications if replications is not None else (scenario.replications or DEFAULT_REPLICATIONS)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"replications: expected a whole number of at least 1, got {replications!r}")
    resolve_policy(scenario.routing if policy is None else policy)
    tasks = [(scenario, policy, seed, replication, keep_logs) for replication in range(count)]
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(in_parallel(tasks, n_jobs, progress, scenario.name))
    except Exception as error:
        if hasattr(error, "partial"):
            if error.partial is not None:
                outcomes.append(error.partial)
            error.partial = Result(scenario, policy, seed, outcomes) if outcomes else None
        raise
    result = Result(scenario, policy, seed, outcomes)
    for caveat in result.caveats:
        warnings.warn(caveat, stacklevel=2)
    return result


class Result:
    """Metrics of independent replications, each with its interval, and the logs behind them.

    `scenario`, `policy` (its name), `seed` and `replications` say what was run; `runs` holds each
    `Replication` where logs were kept. `caveats` are the typed warnings that go with the numbers; `failures`
    counts what the policy raised.

    `fidelity` says how close to production the code ran that decided (see `simsla.simulation.Fidelity`).
    `http_calls` counts the attempts, warm-up included, that HTTP clients of the policy's own made, and
    `complaints` such calls that reached no deployment, by what was wrong with them. `hash_seed` is the seed
    of the hashes of texts where all ran (worker processes have 0), None where it was random: code that
    iterates sets of texts may then do otherwise next time.
    """

    def __init__(
        self, scenario: Scenario, policy: Policy | str | None, seed: int, outcomes: Sequence[Outcome]
    ) -> None:
        """Use `simulate`."""
        self.scenario = scenario
        self.policy = name_of(policy) if policy is not None else _declared_name(scenario)
        self.seed = seed
        self.replications = len(outcomes)
        self.runs: tuple[Replication, ...] = tuple(o.run for o in outcomes if o.run is not None)
        self.failures: dict[str, Failures] = {}
        for outcome in outcomes:
            for name, failures in outcome.failures.items():
                known = self.failures.get(name)
                self.failures[name] = failures if known is None else known.plus(failures.times)
        self.fidelity: Fidelity = max((o.fidelity for o in outcomes), key=FIDELITIES.index)
        seeds = {outcome.hash_seed for outcome in outcomes}
        self.hash_seed = seeds.pop() if len(seeds) == 1 else None
        self.http_calls = sum(outcome.http_calls for outcome in outcomes)
        self._sdk_retries = sum(outcome.sdk_retries for outcome in outcomes)
        self.complaints: dict[str, int] = {}
        for outcome in outcomes:
            for what, times in outcome.complaints.items():
                self.complaints[what] = self.complaints.get(what, 0) + times
        summaries = [outcome.summary for outcome in outcomes]
        self._metrics = Metrics(summaries, environment_law(scenario, seed))

    # Estimates

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Every metric by name."""
        return self._metrics.all()

    @property
    def availability(self) -> Estimate:
        """Good requests / valid requests, pooled over the replications (request-based)."""
        return self.metrics["availability"]

    @property
    def cost_per_day(self) -> Estimate:
        """USD per day of measured time, every attempt included."""
        return self.metrics["cost_usd_per_day"]

    def latency(self, p: float) -> Estimate:
        """The p-quantile, 0 < p < 1, of the seconds from arrival to last token of answered requests."""
        return self._metrics.latency(p)

    def estimate(self, metric: str) -> Estimate:
        """A metric, or any quantile by a name such as "latency_all_p999_s". Raises KeyError."""
        return self._metrics.estimate(metric)

    def sample(self, kind: str = "latency") -> npt.NDArray[np.float32]:
        """The seconds behind the quantiles of "latency", "latency_all" or "ttft": pooled, ascending."""
        return self._metrics.values(kind)

    def by(self, dimension: str) -> pd.DataFrame:
        """Metrics by "request_class" or "deployment": one row per member and metric, with its interval."""
        return self._metrics.by(dimension)

    def against(self, *closed_forms: ClosedForm | Iterable[ClosedForm]) -> SideBySide:
        """Formulas and what was simulated side by side: whether they lie in the interval, and the ratio.

        Each is a `ClosedForm`, or several such as `independence(result.scenario)`. Raises KeyError for a
        metric or a request class that the result does not have, ValueError without a closed form.
        """
        return side_by_side(closed_forms, self._metrics.estimate)

    def summary(self) -> pd.DataFrame:
        """One row per metric: value, ci_low, ci_high, n, method and unit."""
        import pandas as pd

        return pd.DataFrame(self.rows()).set_index("metric")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `summary` as plain data."""
        return [{"metric": name} | dataclasses.asdict(each) for name, each in self.metrics.items()]

    def per_replication(self, metric: str) -> list[float]:
        """A metric's value in each replication alone."""
        return [float(value) for value in self._metrics.per_replication(metric)]

    @cached_property
    def caveats(self) -> tuple[SimslaWarning, ...]:
        """What must be said beside the numbers."""
        return tuple(caveats(self._metrics, scenario=self.scenario))

    @property
    def sdk_retries(self) -> float:
        """The share of `http_calls` that an SDK made by itself, underneath the policy, after a failed one."""
        return self._sdk_retries / self.http_calls if self.http_calls else 0.0

    @property
    def sdk_amplification(self) -> float:
        """Attempts for each call that the policy itself made over HTTP: 1 where the SDK retried nothing."""
        made = self.http_calls - self._sdk_retries
        return self.http_calls / made if made else 1.0

    @property
    def outcomes(self) -> dict[str, int]:
        """Measured valid requests by outcome."""
        return self._metrics.outcomes

    @cached_property
    def objectives(self) -> list[dict[str, Any]]:
        """The scenario's objectives: target, value, interval, and whether the bound meets the target."""
        return [dict(row) for row in evaluate_objectives(self.scenario.objectives, self._metrics)]

    # Logs

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per measured request of every replication (see `simsla.records.Log`)."""
        return self._frames("requests")

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row per attempt of a measured request, or of nobody's in the measured time."""
        return self._frames("attempts")

    def _frames(self, log: str) -> pd.DataFrame:
        import pandas as pd

        if not self.runs:
            raise RuntimeError(f"{log} were not kept; run simulate(..., keep_logs=True)")
        frames = []
        for run in self.runs:
            requests = run.log.requests_frame()
            measured = (requests["arrival_s"] >= run.start_s) & (requests["arrival_s"] < run.end_s)
            if log == "requests":
                frame = requests[measured]
            else:
                attempts = run.log.attempts_frame()
                begins = attempts["start_s"]
                nobody = (attempts["request"] < 0) & (begins >= run.start_s) & (begins < run.end_s)
                frame = attempts[attempts["request"].isin(requests["request"][measured]) | nobody]
            frame.insert(0, "replication", run.replication)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    # Words

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, ready for JSON (schema `simsla.result/1`)."""
        counts = self._metrics.summaries
        return {
            "schema": SCHEMA,
            "scenario": self.scenario.name,
            "policy": self.policy,
            "seed": self.seed,
            "replications": self.replications,
            "requests": int(sum(s.requests.requests.sum() for s in counts)),
            "attempts": int(sum(s.requests.attempts.sum() + s.unattributed for s in counts)),
            "fidelity": self.fidelity,
            "http_calls": self.http_calls,
            "sdk_retries": self.sdk_retries,
            "sdk_amplification": self.sdk_amplification,
            "complaints": self.complaints,
            "metrics": {name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "outcomes": self.outcomes,
            "by": {name: self._nested(name) for name in ("request_class", "deployment")},
            "objectives": self.objectives,
            "failures": {name: failures._asdict() for name, failures in self.failures.items()},
            "warnings": [f"{type(caveat).__name__}: {caveat}" for caveat in self.caveats],
        }

    def _nested(self, dimension: str) -> dict[str, dict[str, dict[str, float | int | None]]]:
        nested: dict[str, dict[str, dict[str, float | int | None]]] = {}
        for row in self.by(dimension).to_dict("records"):
            plain = {
                key: (None if row[key] != row[key] else row[key])
                for key in ("value", "ci_low", "ci_high", "n")
            }
            nested.setdefault(str(row[dimension]), {})[str(row["metric"])] = plain
        return nested

    def __repr__(self) -> str:
        return (
            f"<Result {self.scenario.name}, {self.policy}, {self.replications} replications: "
            f"availability {self.availability}, p99 {self.metrics['latency_p99_s']}, "
            f"{self.cost_per_day} a day>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(estimate))}</td>"
            f"<td>{html.escape(estimate.method)}</td></tr>"
            for name, estimate in self.metrics.items()
        )
        notes = "".join(f"<li>{html.escape(str(caveat))}</li>" for caveat in self.caveats)
        title = f"{self.scenario.name}: {self.policy}, {self.replications} replications, seed {self.seed}"
        return (
            f"<table><caption>{html.escape(title)}</caption><thead><tr><th>metric</th>"
            f"<th>value [95 % interval]</th><th>method</th></tr></thead><tbody>{rows}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
        )


def _declared_name(scenario: Scenario) -> str:
    return scenario.routing if isinstance(scenario.routing, str) else "routing"
