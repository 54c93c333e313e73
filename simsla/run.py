"""`simulate`: independent replications of a scenario, and the `Result` with its intervals."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from simsla.analysis import (
    Estimate,
    Metrics,
    ReplicationSummary,
    SimslaWarning,
    caveats,
    environment_law,
    groups_of,
)
from simsla.analysis.batch_means import BatchMeans
from simsla.analysis.closed_forms import ClosedForm, SideBySide, side_by_side
from simsla.analysis.drift import settled
from simsla.analysis.frames import cost_frame, episode_frame, tail_frame
from simsla.analysis.meanings import meaning
from simsla.analysis.months import Months, drawn_months
from simsla.analysis.objectives import Judgement
from simsla.analysis.promises import Promise, alert_frame
from simsla.analysis.runs import summarised_run, summary_of
from simsla.analysis.stopping import MOST_ROUNDS_OF_FIRST, checked_until, next_count, too_wide
from simsla.scenario import Scenario
from simsla.simulation import (
    Failures,
    Policy,
    Replication,
    name_of,
    resolve_policy,
    run_one,
    surroundings_held,
)
from simsla.simulation.hashes import fixed_hashes, hash_seed
from simsla.simulation.surroundings import FIDELITIES, Fidelity
from simsla.world.streams import checked_seed

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

SCHEMA = "simsla.result/1"

DEFAULT_REPLICATIONS = 20

Record = Literal["full", "summary"]
"""What is kept of a run: logs and every latency, or sums and sketches alone."""


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
    scenario: Scenario,
    policy: Policy | str | None,
    seed: int,
    replication: int,
    keep_logs: bool,
    record: Record = "full",
) -> Outcome:
    """Run one replication and reduce it to what metrics need; called in worker processes.

    The errors of `run_one` leave with an `Outcome` as their `partial`, None where nothing was kept.
    """
    try:
        if record == "summary":
            summary, run = summarised_run(scenario, policy, seed, replication)
            return outcome_of(summary, run, keep_logs=False)
        run = run_one(scenario, policy, seed, replication)
    except Exception as error:
        recorded = getattr(error, "partial", None)
        if isinstance(recorded, Replication):
            some = record == "full" and recorded.end_s > recorded.start_s
            error.partial = (  # type: ignore[attr-defined]
                outcome_of(summary_of(scenario, recorded), recorded, keep_logs) if some else None
            )
        raise
    return outcome_of(summary_of(scenario, run), run, keep_logs)


def outcome_of(summary: ReplicationSummary, run: Replication, keep_logs: bool) -> Outcome:
    """What is sent back of a run that was reduced to a summary."""
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

    # One after the other in this process, they need to look only once for what has to be virtual.
    with fixed_hashes(), surroundings_held() if n_jobs == 1 else contextlib.nullcontext():
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
    record: Record = "full",
    until: Mapping[str, float] | None = None,
    max_replications: int | None = None,
    progress: bool | None = None,
) -> Result:
    """Run independent replications of a scenario under a policy.

    `scenario` is a Scenario, a path or the name of a shipped one. `policy` is a factory(transport) ->
    handle(request), a RoutingPolicy, or "package.module:factory"; by default the scenario's own.
    `replications` is by default the scenario's, else 20. `n_jobs` processes share the work through joblib
    (-1: all cores) and change no result. Without `keep_logs` the result has metrics but no `requests` and
    `attempts`. `record="summary"` reduces each run while it goes on: there are no logs, memory does not grow
    with the number of requests, and quantiles are told to within 0.4 % of their value; every other metric is
    the same. `progress` None shows a bar where standard error is a terminal.

    `until` adds replications to the first ones until the half-widths of the 95 % intervals are at most so
    much, in the metric's unit: `until={"availability": 1e-4, "latency_p99_s": 0.05}`. There are never more
    than `max_replications`, by default 50 times the first number; goals not reached by then are warned about.

    Issues typed warnings (`SimslaWarning`) where an assumption behind an interval does not hold.

    Raises ScenarioError, PolicyError, PolicyFactoryError for a policy whose factory fails, ValueError for
    other arguments that cannot be, or VirtualTimeError where virtual time cannot go on. That and
    PolicyFactoryError have the attribute `partial`: the Result of what was recorded until then, its last
    replication a part of one unless `record="summary"`; None where there is nothing.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    seed = checked_seed(seed)
    goals = checked_until(until)
    count = replications if replications is not None else (scenario.replications or DEFAULT_REPLICATIONS)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"replications: expected a whole number of at least 1, got {replications!r}")
    if record not in get_args(Record):
        raise ValueError(f"record: expected 'full' or 'summary', got {record!r}")
    resolve_policy(scenario.routing if policy is None else policy)
    most = _most_replications(max_replications, count, goals)
    outcomes: list[Outcome] = []
    while count > len(outcomes):
        tasks = [
            (scenario, policy, seed, replication, keep_logs, record)
            for replication in range(len(outcomes), count)
        ]
        try:
            outcomes.extend(in_parallel(tasks, n_jobs, progress, scenario.name))
        except Exception as error:
            if hasattr(error, "partial"):
                if error.partial is not None:
                    outcomes.append(error.partial)
                error.partial = Result(scenario, policy, seed, outcomes, goals) if outcomes else None
            raise
        result = Result(scenario, policy, seed, outcomes, goals)
        count = next_count(result._metrics, goals, most)
    for caveat in result.caveats:
        warnings.warn(caveat, stacklevel=2)
    return result


def _most_replications(wanted: int | None, first: int, goals: Mapping[str, float]) -> int:
    if wanted is None:
        return MOST_ROUNDS_OF_FIRST * first if goals else first
    if not goals:
        raise ValueError("max_replications: expected together with until, which adds replications")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < first:
        raise ValueError(
            f"max_replications: expected a whole number of at least {first}, the first replications, "
            f"got {wanted!r}"
        )
    return wanted


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
        self,
        scenario: Scenario,
        policy: Policy | str | None,
        seed: int,
        outcomes: Sequence[Outcome],
        until: Mapping[str, float] | None = None,
    ) -> None:
        """Use `simulate`."""
        self._until = dict(until or {})
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
        self._metrics = Metrics(summaries, environment_law(scenario, seed), groups_of(scenario))

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
        """The seconds behind the quantiles of a kind (see `simsla.analysis.KINDS`): pooled, ascending."""
        return self._metrics.values(kind)

    def by(self, dimension: str) -> pd.DataFrame:
        """Metrics by a dimension: one row per member and metric, with its interval.

        The metrics of requests by "request_class", "asked_tier" (what classes ask for) and "client_region"
        (where they come from); those of attempts by "deployment", "tier" and "region" (of deployments).
        Raises ValueError for another dimension.
        """
        return self._metrics.by(dimension)

    def window_availability(
        self, window_s: float = 300.0, error_share: float = 0.05, request_class: str | None = None
    ) -> Estimate:
        """The share of windows of whole minutes in which less than `error_share` of the requests failed.

        Raises ValueError for other windows and shares outside (0, 1], KeyError for an unknown class.
        """
        return self._metrics.window_availability(window_s, error_share, request_class)

    def costs(self, request_class: str | None = None) -> pd.DataFrame:
        """What the money was for: a row per part, whose costs add up to the row `total`.

        Columns: `usd_per_day`, `usd_per_1k_requests`, `usd_per_good_request`, the `share` of the total, and
        what the part `means`. Of a request class there are neither pods nor attempts that belong to nobody.
        Raises KeyError for an unknown class.
        """
        return cost_frame(self._metrics, request_class)

    def tail(self, p: float = 0.99, request_class: str | None = None) -> pd.DataFrame:
        """Why the slowest answered requests, those from the p-quantile of latency on, were slow.

        A row per cause: the `share` of these requests due to it with `ci_low`, `ci_high` and `n`, and what
        the cause `means`. A request counts for each cause by that cause's part of its seconds beyond what is
        usual for its class, so the shares add up to 1 (see `simsla.analysis.tail`). Raises ValueError for p
        outside (0, 1), KeyError for an unknown class.
        """
        return tail_frame(self._metrics, p, request_class)

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """One row per fault episode that began in the measured time, of every replication.

        Columns: `replication`, `component`, `kind`, `severity`, `start_s`, `end_s`, `requests` and `failed`
        in it, `detect_s`, `recover_s`, `return_s` and whether enough was asked to tell them, `judged` (see
        `simsla.analysis.episodes`).
        """
        return episode_frame(self._metrics)

    def against(self, *closed_forms: ClosedForm | Iterable[ClosedForm]) -> SideBySide:
        """Formulas and what was simulated side by side: whether they lie in the interval, and the ratio.

        Each is a `ClosedForm`, or several such as `independence(result.scenario)`. Raises KeyError for a
        metric or a request class that the result does not have, ValueError without a closed form.
        """
        return side_by_side(closed_forms, self._metrics.estimate)

    def summary(self) -> pd.DataFrame:
        """One row per metric: value, ci_low, ci_high, n, method, unit, and what it means."""
        import pandas as pd

        rows = [row | {"means": meaning(row["metric"])} for row in self.rows()]
        return pd.DataFrame(rows).set_index("metric")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `summary` as plain data, without what metrics mean."""
        return [{"metric": name} | dataclasses.asdict(each) for name, each in self.metrics.items()]

    def per_replication(self, metric: str) -> list[float]:
        """A metric's value in each replication alone."""
        return [float(value) for value in self._metrics.per_replication(metric)]

    @cached_property
    def caveats(self) -> tuple[SimslaWarning, ...]:
        """What must be said beside the numbers."""
        found = [too_wide(self._metrics, self._until), *caveats(self._metrics, scenario=self.scenario)]
        return tuple(caveat for caveat in found if caveat is not None)

    @cached_property
    def settled_s(self) -> float | None:
        """How long after the start of the measured time latency had settled, by the MSER rule (White 1997).

        In seconds: so much longer should the warm-up be. It is told from the mean over replications in
        hundredths of the measured time, and rarely 0 even without a transient; `WarmupWarning` says whether
        one is significant. None where it cannot be told: too few requests, or the least comes late.
        """
        share = settled(np.stack([s.block_latency_s for s in self._metrics.summaries]))
        return None if share is None else share * (self.scenario.horizon_s - self.scenario.warmup_s)

    def batch_means(self) -> BatchMeans:
        """The metrics of one long replication, with intervals across batches of its measured time.

        Batches are as long as their correlation asks for. Raises ValueError where there is more than one
        replication, whose own intervals are better, RuntimeError where logs were not kept.
        """
        if self.replications > 1:
            raise ValueError(
                f"batch means are those of one long run, and there are {self.replications} replications: use "
                "the intervals of `metrics`"
            )
        if not self.runs:
            raise RuntimeError("logs were not kept; run simulate(..., keep_logs=True, record='full')")
        found = BatchMeans(self.scenario, self.runs[0], self._metrics.summaries[0], self.seed)
        for caveat in found.caveats:
            warnings.warn(caveat, stacklevel=2)
        return found

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
        """The scenario's objectives: target, value, interval, and whether the bound meets the target.

        With error budgets, burn-rate alerts, the probability of missing a month and expected credits: the
        keys are those of `simsla.analysis.evaluate_objectives`.
        """
        return [judgement.row() for judgement in self._judgements.values()]

    @cached_property
    def _judgements(self) -> dict[str, Judgement]:
        drawn = cache(lambda: drawn_months(self.scenario, self.seed))
        return {
            objective.name: Judgement(objective, self._metrics, drawn, self.seed)
            for objective in self.scenario.objectives
        }

    def alerts(self, objective: str) -> pd.DataFrame:
        """The burn-rate alerts of the SRE Workbook that an objective would have fired, a row for each.

        Columns: `replication`, `rule`, `severity`, `start_s` and `end_s` (inf if it still held at the end),
        and `budget_spent`, the share of a 30-day error budget that was gone when it fired. Raises KeyError
        for an unknown objective, ValueError for one that is not about availability or a quantile of latency.
        """
        return alert_frame(self._promised(objective), self.scenario.warmup_s)

    def months(self, objective: str) -> Months:
        """The availabilities of months, and what other luck would have made of them.

        For a quantile of latency, the shares of requests within the limit. Raises as `alerts` does.
        """
        self._promised(objective)
        months = self._judgements[objective].months
        assert months is not None
        return months

    def _promised(self, objective: str) -> Promise:
        known = self._judgements
        if objective not in known:
            raise KeyError(f"no objective {objective!r}; there are {', '.join(known) or 'none'}")
        promise = known[objective].promise
        if promise is None:
            raise ValueError(
                f"objective {objective!r}: expected a promise about requests (availability below 100 %, or a "
                f"quantile of latency), got one of {known[objective].objective.metric}"
            )
        return promise

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
            raise RuntimeError(f"{log} were not kept; run simulate(..., keep_logs=True, record='full')")
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
            "by": {name: self._nested(name) for name in self._dimensions()},
            "objectives": self.objectives,
            "failures": {name: failures._asdict() for name, failures in self.failures.items()},
            "warnings": [f"{type(caveat).__name__}: {caveat}" for caveat in self.caveats],
        }

    def _dimensions(self) -> list[str]:
        """Those in which there is something to tell apart, and something new."""
        groups = groups_of(self.scenario)
        named = ["request_class", "deployment"]
        named += [name for name in ("tier", "region") if len(set(getattr(groups, name))) > 1]
        if 1 < len(set(groups.asked_tier)) < len(groups.asked_tier):
            named.append("asked_tier")
        return named if self._metrics.summaries[0].regions is None else [*named, "client_region"]

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
