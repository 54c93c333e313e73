"""What is said about a distribution that cannot be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DistributionError", "nearest"]


def nearest(name: object, valid: Iterable[str]) -> str | None:
    """The valid name most like `name`, or None when nothing comes close."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    matches = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


class DistributionError(ValueError):
    """A distribution that cannot be: where, what was found, what was expected, the nearest valid name.

    `path` is relative to the distribution until `under` puts it below the place the distribution has
    in a larger document. `value` is `DistributionError.ABSENT` when something is missing.
    """

    ABSENT = object()

    def __init__(
        self, path: str, expected: str, value: object = ABSENT, suggestion: str | None = None
    ) -> None:
        super().__init__(path, expected, value, suggestion)
        self.path = path
        self.expected = expected
        self.value = value
        self.suggestion = suggestion

    def under(self, prefix: str) -> DistributionError:
        """The same error with its path below `prefix`."""
        separator = "." if prefix and self.path and not self.path.startswith("[") else ""
        return DistributionError(
            f"{prefix}{separator}{self.path}", self.expected, self.value, self.suggestion
        )

    def __str__(self) -> str:
        found = "" if self.value is DistributionError.ABSENT else f", got {self.value!r}"
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.path or 'distribution'}: expected {self.expected}{found}{hint}"
