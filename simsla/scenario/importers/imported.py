"""What comes out of an import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from simsla.scenario.errors import Location, path_of

__all__ = ["Imported", "Remark", "Remarks", "is_secret", "without_secrets"]

_WIDTH: Final = 118

_SECRET: Final = re.compile(
    r"(^|_)key$|secret|password|passwd|credential|authorization|headers$|"
    r"(^|_)(auth|access|bearer|refresh|session|ad|id)_token$|^token$",
    re.IGNORECASE,
)


def is_secret(key: str) -> bool:
    """Whether something of this name may be a key, or hold one."""
    return _SECRET.search(key) is not None


def without_secrets(value: Any) -> Any:
    """A copy of plain data without anything that may be a key."""
    if isinstance(value, Mapping):
        return {key: without_secrets(each) for key, each in value.items() if not is_secret(str(key))}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Remark:
    """One thing to know about an import: the places in the file, and what is said of them."""

    paths: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        places = ", ".join(self.paths[:3]) + (f" and {len(self.paths) - 3} more" if self.paths[3:] else "")
        return f"{places}: {self.what}" if places else self.what


class Remarks:
    """Remarks being collected: what is said of several places is one of them."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, what: str, *location: str | int) -> None:
        """Say something of a place."""
        self._places.setdefault(what, []).append(path_of(Location(location)))

    def __iter__(self) -> Iterator[Remark]:
        """In the order in which each was first said."""
        return (Remark(tuple(path for path in paths if path), what) for what, paths in self._places.items())


@dataclass(frozen=True)
class Imported:
    """A scenario that runs what a configuration describes.

    `scenario` is plain data for `Scenario.from_dict`. `left_out` is what the configuration says and the
    scenario does not, `assumed` what a scenario must say and the configuration does not. None holds a key.
    """

    scenario: dict[str, Any]
    left_out: tuple[Remark, ...]
    assumed: tuple[Remark, ...]

    def to_yaml(self) -> str:
        """The scenario as a file, whose first lines are the remarks."""
        lines = []
        for title, remarks in (("Assumed:", self.assumed), ("Not carried over:", self.left_out)):
            if remarks:
                lines += [title, *(f"- {remark}" for remark in remarks)]
        head = "".join(f"# {line}\n" for line in lines)
        return head + yaml.safe_dump(self.scenario, sort_keys=False, allow_unicode=True, width=_WIDTH)
