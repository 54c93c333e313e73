"""What ends a command early, as one message on standard error and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

import simsla
from simsla.cli.workers import end_workers

OBJECTIVE_MISSED: Final = 1
BAD_USAGE: Final = 2
SIMULATION_FAILED: Final = 3
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
"""What a shell reports of a program that SIGPIPE ended."""

FAILURES: Final = (
    "Exit codes: 0 ok, 1 an objective missed with --check, 2 bad usage or scenario, 3 the simulation failed, "
    "130 interrupted."
)

FRAME: Final = re.compile(r'File "([^<].*?)", line (\d+)(?:, in (.+))?')


class FolderError(Exception):
    """A folder in which results cannot be written."""


@contextlib.contextmanager
def answered_failures(show_traceback: bool) -> Iterator[None]:
    """End the command with a message and its exit code, whatever is raised."""
    try:
        with silent_interrupts():
            yield
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        # The reader left. The interpreter will flush once more at its end: nobody need hear of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except KeyboardInterrupt:
        silence()  # once more: the warnings' filters of before have been restored
        end_workers()
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if show_traceback:
            traceback.print_exception(error)
        if is_refusal(error):
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(BAD_USAGE) from None
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        typer.echo(f"the simulation failed: {type(error).__name__}: {error}{where(error)}{notes}", err=True)
        raise typer.Exit(SIMULATION_FAILED) from None


@contextlib.contextmanager
def silent_interrupts() -> Iterator[None]:
    """From the very signal on, nothing is reported of what it met half done."""

    def interrupt(*_: object) -> None:
        silence()
        raise KeyboardInterrupt

    # A process that was started to ignore the signal goes on ignoring it.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def silence() -> None:
    """Asyncio and the interpreter tell in several ways of tasks that were left half done; none is news."""
    logging.disable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None


@contextlib.contextmanager
def noted_warnings() -> Iterator[None]:
    """Show warnings without file names, except a result's caveats, which its report holds."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        from simsla.analysis import SimslaWarning

        if not isinstance(message, SimslaWarning):
            typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def is_refusal(error: Exception) -> bool:
    """Whether what was asked for is at fault, before or without a simulation."""
    from simsla.scenario import ScenarioError
    from simsla.simulation import PolicyError

    return isinstance(error, ScenarioError | PolicyError | FolderError)


def where(error: BaseException) -> str:
    """The last line of the user's own code or, where there is none, of simsla's.

    Read from the text of the traceback, since that is all a worker process sends of its errors.
    """
    package = str(Path(simsla.__file__).parent)
    installed = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    frames = FRAME.findall("".join(traceback.format_exception(error)))
    of_simsla = [frame for frame in frames if frame[0].startswith(package)]
    own = [frame for frame in frames if not frame[0].startswith((package, *installed))]
    for file, line, function in (own or of_simsla)[-1:]:
        return f"\n  at {file}, line {line}" + (f", in {function}" if function else "")
    return ""
