"""The commands, their options and what they print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import simsla
from simsla.cli.failures import FAILURES, OBJECTIVE_MISSED, answered_failures, noted_warnings
from simsla.cli.importing import importing
from simsla.cli.workers import processes, quiet_workers

app = typer.Typer(
    name="simsla",
    no_args_is_help=True,
    # Plain text: quick, and the same in a terminal, a pipe and a log.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Will this LLM routing policy keep its SLA, at what tail latency, at what price?",
    epilog=FAILURES,
)
app.add_typer(importing)

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a shipped scenario.")
]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show where in the code a failure arose.")]


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    app()


def version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"simsla {simsla.__version__}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command(epilog=FAILURES)
def run(
    scenario: ScenarioArgument,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FACTORY",
            help="A policy instead of the scenario's; modules of the current folder can be named.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the whole run.")] = 1,
    replications: Annotated[
        int | None, typer.Option(min=1, help="Independent runs, instead of the scenario's number.")
    ] = None,
    until: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=HALF_WIDTH",
            help="Add replications until the 95 % interval of a metric is as narrow as this, such as "
            "availability=0.0001 or latency_p99_s=0.05. May be given several times.",
        ),
    ] = None,
    max_replications: Annotated[
        int | None,
        typer.Option(
            min=1, help="The most that --until may add up to; by default 50 times the first number."
        ),
    ] = None,
    horizon: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Such as 12h or 7d, instead of the scenario's.")
    ] = None,
    warmup: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Left out of the numbers, such as 1h.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Replay the requests of a CSV file (TIMESTAMP,ContextTokens,GeneratedTokens); it sets the "
            "horizon to its span and the warm-up to zero.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core. It changes no number.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write result.json, summary.csv, scenario.yaml (as it was run) and the logs of the measured "
            "requests and attempts, requests.npz and attempts.npz: NumPy columns, and for each column of "
            "codes a table of names (outcome is an index into outcome_names, -1 none). An existing result is "
            "not overwritten.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless every objective is met on its bound.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "--no-progress", "-q", help="No progress bar.")] = False,
    show_traceback: Traceback = False,
) -> None:
    """Simulate a scenario and print the result.

    Availability, latency and cost, each with its 95 % interval.
    """
    with answered_failures(show_traceback), noted_warnings():
        from simsla.cli import folder
        from simsla.cli.text import missed_objectives, note, report
        from simsla.run import simulate
        from simsla.scenario import Scenario

        loaded = Scenario.load(scenario)
        if trace is not None:
            loaded = loaded.with_trace(trace)
        changes: dict[str, Any] = {
            "horizon": number_or_text(horizon),
            "warmup": number_or_text(warmup),
            "replications": replications,
        }
        changes = {path: value for path, value in changes.items() if value is not None}
        if policy is not None:
            changes["routing"] = {"policy": policy}
        if changes:
            loaded = loaded.with_values(changes)
        goals = goals_of(until or (), max_replications, loaded.replications)
        if check and not loaded.objectives:
            raise typer.BadParameter(f"{loaded.name} has no objectives", param_hint="--check")
        if out is not None:
            folder.claim(out)
        if isinstance(loaded.routing, str):
            import_from_current_folder()
        with quiet_workers(), folder.partial_kept(out):
            result = simulate(
                loaded,
                seed=seed,
                n_jobs=jobs or processes(loaded.replications),
                keep_logs=out is not None,
                until=goals,
                max_replications=max_replications,
                progress=False if quiet else None,
            )
        data = result.to_dict()
        if out is not None:
            folder.write(out, result, data)
        if as_json:
            typer.echo(json.dumps(data, indent=2, allow_nan=False))
            for caveat in result.caveats:
                typer.echo(note(caveat), err=True)
        else:
            typer.echo(report(result, data))
        if check and (missed := missed_objectives(result)):
            typer.echo("\n".join(missed), err=True)
            raise typer.Exit(OBJECTIVE_MISSED)


@app.command(epilog=FAILURES)
def rare(
    scenario: ScenarioArgument,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FACTORY",
            help="A policy instead of the scenario's; modules of the current folder can be named.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the whole estimate.")] = 1,
    years: Annotated[
        float | None, typer.Option(help="Years of faults to draw; by default about a million episodes.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="About the most requests to simulate.")] = 1_000_000,
    within: Annotated[
        float | None,
        typer.Option(help="The relative half-width wanted, such as 0.1: no more requests than it takes."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long the policy remembers a fault, such as 2min."),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="The availability promised for a month; by default the scenario's objective."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core. It changes no number.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "--no-progress", "-q", help="No progress bar.")] = False,
    show_traceback: Traceback = False,
) -> None:
    """Estimate an availability whose failures are too rare for a run.

    Draws faults for thousands of years and simulates requests only around them. With a target, what a formula
    of independent parts says, and how likely a month is to miss it.
    """
    with answered_failures(show_traceback), noted_warnings():
        from simsla.analysis.assessment import assessed, promised
        from simsla.analysis.windows import estimate_availability
        from simsla.cli.rare_text import rare_report
        from simsla.cli.text import note
        from simsla.scenario import Scenario
        from simsla.scenario.quantities import duration_s

        for name, value in (("--years", years), ("--within", within)):
            if value is not None and not 0 < value < float("inf"):
                raise typer.BadParameter(f"expected a number above 0, got {value:g}", param_hint=name)
        try:
            memory_s = None if memory is None else duration_s(number_or_text(memory))
        except ValueError:
            memory_s = 0.0
        if memory_s is not None and not 0 < memory_s < float("inf"):
            raise typer.BadParameter(
                f"expected a duration such as 2min, got {memory!r}", param_hint="--memory"
            )
        if target is not None and not 0 < target < 1:
            raise typer.BadParameter(
                f"expected an availability between 0 and 1, got {target:g}", param_hint="--target"
            )
        loaded = Scenario.load(scenario)
        if isinstance(policy or loaded.routing, str):
            import_from_current_folder()
        with quiet_workers():
            result = estimate_availability(
                loaded,
                policy,
                seed=seed,
                years=years,
                requests=requests,
                within=within,
                memory_s=memory_s,
                n_jobs=jobs or -1,
                progress=False if quiet else None,
            )
        if target is not None and not result.holds_months:
            raise typer.BadParameter("no life holds a month: draw more --years", param_hint="--target")
        wanted = promised(loaded) if target is None and result.holds_months else target
        promise = None if wanted is None else assessed(result, policy, wanted)
        if as_json:
            data = result.to_dict() | ({} if promise is None else promise.promise())
            typer.echo(json.dumps(data, indent=2, allow_nan=False))
            for caveat in result.caveats:
                typer.echo(note(caveat), err=True)
        else:
            typer.echo(rare_report(result, promise))


@app.command(epilog=FAILURES)
def validate(scenario: ScenarioArgument, show_traceback: Traceback = False) -> None:
    """Check a scenario and say what is in it. Runs no code of it."""
    with answered_failures(show_traceback):
        from simsla.scenario import Scenario

        typer.echo(f"{scenario}: valid. {str(Scenario.load(scenario)).strip('<>')}")


@app.command(epilog=FAILURES)
def schema(show_traceback: Traceback = False) -> None:
    """Print the JSON Schema of scenario files, for editors."""
    with answered_failures(show_traceback):
        from simsla.scenario import Scenario

        typer.echo(json.dumps(Scenario.json_schema(), indent=2))


def goals_of(until: Sequence[str], most: int | None, first: int) -> dict[str, float]:
    """Half-widths by metric, from METRIC=HALF_WIDTH each; what cannot be is bad usage."""
    from simsla.analysis.stopping import checked_until

    goals: dict[str, float] = {}
    for text in until:
        metric, _, half_width = text.partition("=")
        try:
            goals |= checked_until({metric.strip(): float(half_width)})
        except ValueError as error:
            told = f"expected METRIC=HALF_WIDTH such as availability=0.0001, got {text!r}"
            if str(error).startswith("until"):
                told = str(error)
            raise typer.BadParameter(told, param_hint="--until") from None
    if most is not None and not goals:
        raise typer.BadParameter("expected together with --until", param_hint="--max-replications")
    if most is not None and most < first:
        raise typer.BadParameter(
            f"expected at least {first}, the first replications, got {most}", param_hint="--max-replications"
        )
    return goals


def number_or_text(value: str | None) -> float | str | None:
    """What YAML would make of it: `3600` is a number of seconds, `1h` is text."""
    try:
        return value if value is None else float(value)
    except ValueError:
        return value


def import_from_current_folder() -> None:
    """As `python -m` does; worker processes are started with the same path."""
    import sys

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
