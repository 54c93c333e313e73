"""A value from a formula, with what must be said beside it."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from simsla.analysis.closed_forms.formula import FORMULAS

__all__ = ["ClosedForm"]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """What a formula says of a metric, to stand beside what was simulated (`Result.against`).

    `value` is in the unit of `metric` (a name that `Result.estimate` knows; shares in [0, 1]), of all
    requests or of one `request_class`. `assumption` says in words what the formula takes for granted,
    `source` where it comes from. `shortfall` is 1 - value where that is known better than from the value,
    which cannot hold more than 16 nines.
    """

    name: str
    value: float
    assumption: str
    source: str
    metric: str = "availability"
    request_class: str | None = None
    shortfall: float | None = None

    @property
    def left(self) -> float:
        """1 - value: of an availability the unavailability."""
        return 1 - self.value if self.shortfall is None else self.shortfall

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *args: Any,
        metric: str = "availability",
        request_class: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """A formula of this package at some arguments.

        `ClosedForm.of(erlang_b, 8, 6.4, metric="error_share")`. Raises ValueError for a function that is no
        formula, or has more than one value there.
        """
        known = FORMULAS.get(function)
        if known is None:
            raise ValueError(
                f"function: expected a formula of simsla.analysis.closed_forms, got {function!r}"
            )
        value = function(*args, **kwargs)
        # A formula that gives bounds as well has the value among them.
        value = getattr(value, "value", value)
        if not isinstance(value, float | int):
            raise ValueError(f"{known.name}: expected arguments that give one number, got {value!r}")
        return cls(known.name, float(value), known.assumes, known.source, metric, request_class)

    def __str__(self) -> str:
        about = self.metric if self.request_class is None else f"{self.metric} of {self.request_class}"
        return f"{self.name}: {about} {self.value:.10g} (assumes: {self.assumption}; {self.source})"

    def _repr_html_(self) -> str:
        return f"<span>{html.escape(str(self))}</span>"
