"""Closed forms and simulated estimates side by side."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simsla.analysis.closed_forms.form import ClosedForm
from simsla.analysis.definitions import MORE_IS_BETTER
from simsla.analysis.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pair", "SideBySide", "side_by_side"]

SINGLE_PRECISION: Final = 1e-6

HEADINGS: Final = ("metric", "simulated [95 % interval]", "closed form", "value", "inside", "ratio")


@dataclass(frozen=True, slots=True)
class Pair:
    """One closed form and the estimate of the same metric."""

    form: ClosedForm
    simulated: Estimate

    @property
    def inside(self) -> bool | None:
        """Whether the closed form lies in the simulated interval; None without an interval.

        Latencies are kept in single precision: of seconds, one part in a million is no difference.
        """
        low, high = self.simulated.ci_low, self.simulated.ci_high
        if math.isnan(low) or math.isnan(high):
            return None
        slack = SINGLE_PRECISION * abs(self.form.value) if self.simulated.unit == "s" else 0.0
        return low - slack <= self.form.value <= high + slack

    @property
    def ratio(self) -> float:
        """Simulated / closed form; of a share where more is better, such as availability, of what it leaves.

        An availability of 99.9 % where the formula says 99.99 % has a ratio of 10: ten times the failures.
        inf where the formula says there is nothing and something was found; nan where both are 0.
        """
        above, below = self.simulated.value, self.form.value
        if self.of_what_is_left:
            above, below = 1 - above, self.form.left
        if below == 0:
            return math.nan if above == 0 else math.copysign(math.inf, above)
        return above / below

    @property
    def of_what_is_left(self) -> bool:
        """Whether `ratio` compares 1 - value."""
        return self.form.metric in MORE_IS_BETTER

    def cells(self) -> tuple[str, ...]:
        """The pair in words, under `HEADINGS`."""
        form = self.form
        about = form.metric if form.request_class is None else f"{form.metric} ({form.request_class})"
        alone = Estimate(form.value, math.nan, math.nan, 0, unit=self.simulated.unit)
        value = str(alone).split(", no interval")[0]
        inside = {True: "yes", False: "no", None: "no interval"}[self.inside]
        ratio = "undefined" if math.isnan(self.ratio) else f"{self.ratio:.4g}"
        if self.of_what_is_left:
            ratio += " x the failures"
        return about, str(self.simulated), form.name, value, inside, ratio


@dataclass(frozen=True, slots=True, repr=False)
class SideBySide:
    """Pairs as one table: prints as text, renders in a notebook, and is a `frame`."""

    pairs: tuple[Pair, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """One row per closed form: metric, request_class, simulated, ci_low, ci_high, closed_form (its name),
        value, inside, ratio, assumption, source.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "metric": pair.form.metric,
                    "request_class": pair.form.request_class,
                    "simulated": pair.simulated.value,
                    "ci_low": pair.simulated.ci_low,
                    "ci_high": pair.simulated.ci_high,
                    "closed_form": pair.form.name,
                    "value": pair.form.value,
                    "inside": pair.inside,
                    "ratio": pair.ratio,
                    "assumption": pair.form.assumption,
                    "source": pair.form.source,
                }
                for pair in self.pairs
            ]
        )

    def __str__(self) -> str:
        rows = [HEADINGS, *(pair.cells() for pair in self.pairs)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *(f"{name} assumes: {words}" for name, words in self._notes())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(pair.cells(), "td") for pair in self.pairs)
        notes = "".join(
            f"<li>{html.escape(name)} assumes: {html.escape(words)}</li>" for name, words in self._notes()
        )
        head = row(HEADINGS, "th")
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><ul>{notes}</ul>"

    def _notes(self) -> list[tuple[str, str]]:
        notes = {pair.form.name: f"{pair.form.assumption} ({pair.form.source})" for pair in self.pairs}
        return list(notes.items())


def side_by_side(
    forms: Iterable[ClosedForm | Iterable[ClosedForm]],
    estimate: Callable[[str, str | None], Estimate],
) -> SideBySide:
    """Each closed form beside the estimate of its metric and request class.

    `estimate(metric, request_class)` finds it; what it raises for an unknown one, KeyError, is passed on.
    Raises ValueError without a closed form.
    """
    flat: list[ClosedForm] = []
    for each in forms:
        flat.extend([each] if isinstance(each, ClosedForm) else each)
    if not flat:
        raise ValueError("expected at least one closed form")
    return SideBySide(tuple(Pair(form, estimate(form.metric, form.request_class)) for form in flat))
