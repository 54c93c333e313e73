"""Where scenarios are: at a path, or among the shipped ones by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from simsla.distributions import nearest
from simsla.scenario.errors import Problem, ScenarioError

__all__ = ["Source", "data_folder", "find_scenario", "shipped"]


@dataclass(frozen=True)
class Source:
    """The text of a scenario, what to call it and where its relative paths start."""

    origin: str
    text: str
    stem: str
    base_dir: Path | None


def data_folder() -> Traversable:
    """The data that comes with the package: inside it when installed, beside it in a checkout."""
    package = resources.files("simsla")
    installed = package / "data"
    return installed if installed.is_dir() else package / ".." / "data"


def shipped(kind: Literal["scenarios", "prices", "incidents"]) -> dict[str, Traversable]:
    """The shipped scenarios, price cards or measured incidents by name, in alphabetical order."""
    files = (file for file in (data_folder() / kind).iterdir() if file.name.endswith(".yaml"))
    return {file.name.removesuffix(".yaml"): file for file in sorted(files, key=lambda file: file.name)}


def find_scenario(path_or_name: str | Path) -> Source:
    """The scenario at a path or, failing that, the shipped one of that name; raises ScenarioError."""
    path = Path(path_or_name)
    origin = str(path_or_name)
    if path.is_file():
        return Source(origin, decoded(path, origin), path.stem, path.resolve().parent)
    named = shipped("scenarios")
    if origin in named:
        file = named[origin]
        base_dir = file.resolve().parent if isinstance(file, Path) else None
        return Source(origin, decoded(file, origin), origin, base_dir)
    files = path.parent.glob("*.y*ml") if path.parent.is_dir() else ()
    beside = [str(other) for other in files if other.is_file()]
    what = "a file, not a folder" if path.is_dir() else "an existing file"
    expected = f"{what}, or the name of a shipped scenario: {', '.join(named)}"
    suggestion = nearest(origin, [*named, *beside]) or nearest(path.stem, named)
    raise ScenarioError(origin, [Problem((), expected, origin, suggestion)])


def decoded(file: Traversable, origin: str) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(origin, [Problem((), f"a readable UTF-8 file ({error})")]) from None
