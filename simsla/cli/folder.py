"""A result as files in a folder."""

from __future__ import annotations

import json
import tempfile
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


def claim(folder: Path) -> None:
    """Make the folder; raises FolderError where it cannot be written or holds a result."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FolderError(f"{folder}: expected a folder to write in ({error.strerror})") from None
    for name in FILES:
        if (folder / name).exists():
            raise FolderError(f"{folder} holds a result already ({name}): name another folder")


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
