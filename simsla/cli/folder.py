"""A result as files in a folder."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import yaml

from simsla.cli.failures import FolderError

if TYPE_CHECKING:
    from simsla.run import Result

# result.json comes last: where it is, the others are complete.
FILES: Final = ("requests.npz", "attempts.npz", "summary.csv", "scenario.yaml", "result.json")

# In the place of result.json, where the simulation failed.
PARTIAL: Final = "partial.json"


def claim(folder: Path) -> None:
    """Make the folder; raises FolderError where it cannot be written or holds a result."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder to write in ({error.strerror})") from None
    for name in (*FILES, PARTIAL):
        if (folder / name).exists():
            raise FolderError(f"{folder} holds a result already ({name}): name another folder")


@contextlib.contextmanager
def partial_kept(folder: Path | None) -> Iterator[None]:
    """Where a simulation fails, write the logs up to then, if there is a folder, and go on with the error.

    Beside the logs, `partial.json` says that they are a part, and why; there is no result.json.
    """
    try:
        yield
    except Exception as error:
        partial = getattr(error, "partial", None)
        if folder is not None and partial is not None:
            write_partial(folder, partial, error)
            error.add_note(f"what was recorded until then is in {folder}")
        raise


def write_partial(folder: Path, result: Result, error: Exception) -> None:
    """The logs of a simulation that failed, the scenario, and the error."""
    requests, attempts = result.requests, result.attempts
    np.savez_compressed(folder / "requests.npz", **columns(requests))
    np.savez_compressed(folder / "attempts.npz", **columns(attempts))
    scenario = yaml.safe_dump(result.scenario.to_dict(), sort_keys=False, allow_unicode=True)
    (folder / "scenario.yaml").write_text(scenario, encoding="utf-8")
    told = {
        "error": f"{type(error).__name__}: {error}",
        "policy": result.policy,
        "seed": result.seed,
        "replications": result.replications,
        "last_replication_until_s": result.runs[-1].end_s,
        "requests": len(requests),
        "attempts": len(attempts),
    }
    (folder / PARTIAL).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def write(folder: Path, result: Result, data: dict[str, Any]) -> None:
    """Write every file in full before any gets its name. `data` is `result.to_dict()`."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as name:
        partial = Path(name)
        np.savez_compressed(partial / "requests.npz", **columns(result.requests))
        np.savez_compressed(partial / "attempts.npz", **columns(result.attempts))
        result.summary().to_csv(partial / "summary.csv")
        scenario = yaml.safe_dump(result.scenario.to_dict(), sort_keys=False, allow_unicode=True)
        (partial / "scenario.yaml").write_text(scenario, encoding="utf-8")
        text = json.dumps(data, indent=2, allow_nan=False) + "\n"
        (partial / "result.json").write_text(text, encoding="utf-8")
        for file in FILES:
            (partial / file).replace(folder / file)


def columns(frame: pd.DataFrame) -> dict[str, Any]:
    """The columns as arrays; one of categories as codes, beside a table of their names."""
    arrays: dict[str, Any] = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            arrays[str(name)] = column.cat.codes.to_numpy()
            arrays[f"{name}_names"] = np.array(column.cat.categories, dtype=np.str_)
        else:
            arrays[str(name)] = column.to_numpy()
    return arrays
