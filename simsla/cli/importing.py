"""`simsla import`: scenarios out of the configuration files of other routers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simsla.cli.failures import FAILURES, answered_failures

if TYPE_CHECKING:
    from simsla.scenario.importers import Imported

importing = typer.Typer(
    name="import",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make a scenario out of the configuration of another router.",
)


@importing.command(epilog=FAILURES)
def litellm(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The YAML file of a LiteLLM proxy or Router.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to write the scenario; by default it is printed. No existing file is overwritten.",
        ),
    ] = None,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the code a failure arose.")
    ] = False,
) -> None:
    """Make a scenario that runs the real litellm.Router with the settings of a LiteLLM configuration.

    Tells what had to be assumed, and what the scenario does not have of the configuration. Keys are never
    read: they stay names of environment variables. Neither litellm nor a network is needed.
    """
    with answered_failures(show_traceback):
        from simsla.scenario import Scenario
        from simsla.scenario.importers import litellm as importer

        imported = importer.load(config)
        scenario = Scenario.from_dict(imported.scenario, origin=str(config))
        if out is None:
            typer.echo(imported.to_yaml(), nl=False)
            return
        write_new(out, imported.to_yaml())
        typer.echo(f"{out}: {str(scenario).strip('<>')}")
        typer.echo(remarks(imported))


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet. Raises BadParameter."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise typer.BadParameter(f"{file} exists already; name another file", param_hint="--out") from None
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}", param_hint="--out") from None


def remarks(imported: Imported) -> str:
    """The remarks of an import, a line for each."""
    lines = []
    for title, found in (("Assumed:", imported.assumed), ("Not carried over:", imported.left_out)):
        lines += [title, *(f"  {remark}" for remark in found)] if found else []
    return "\n".join(lines)
