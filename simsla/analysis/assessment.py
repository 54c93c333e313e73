"""`assess`: what is promised, what a formula says of it, and what the router makes of it, in one table."""

from __future__ import annotations

import html
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simsla.analysis.closed_forms import SideBySide, independence, side_by_side
from simsla.analysis.closed_forms.budgets import MONTH_S
from simsla.analysis.closed_forms.shared_fate import Independence
from simsla.analysis.estimate import Estimate
from simsla.analysis.warnings import SimslaWarning
from simsla.analysis.windows import RareResult, estimate_availability
from simsla.scenario import Scenario
from simsla.simulation import resolve_policy

if TYPE_CHECKING:
    from simsla.simulation import Policy

__all__ = ["SCHEMA", "Assessment", "assess", "assessed", "promised"]

SCHEMA: Final = "simsla.assessment/1"


@dataclass(frozen=True, repr=False)
class Assessment:
    """The simulated availability beside the product of independent ones, and how many months miss a target.

    `rare` is the long-run estimate with the real router, `independence` the formulas without it, and `target`
    the availability promised for a month of 30 days.
    """

    rare: RareResult
    independence: Independence
    target: float

    @property
    def availability(self) -> Estimate:
        """Good requests / valid requests, simulated."""
        return self.rare.availability

    @cached_property
    def month_miss_probability(self) -> Estimate:
        """The probability that a month's availability is below the target, simulated."""
        return self.rare.months(self.target)

    @cached_property
    def against(self) -> SideBySide:
        """The two formulas, without and with shared components, beside the simulated availability."""
        return side_by_side([self.independence], lambda _metric, _request_class: self.availability)

    def to_dict(self) -> dict[str, Any]:
        """The assessment as plain data, ready for JSON (schema `simsla.assessment/1`)."""
        return {
            "schema": SCHEMA,
            "scenario": self.rare.scenario.name,
            "policy": self.rare.policy,
            "seed": self.rare.seed,
            "availability": self.availability.to_dict(),
            "unavailability": self.rare.unavailability.to_dict(),
            **self.promise(),
            "warnings": [f"{type(caveat).__name__}: {caveat}" for caveat in self.rare.caveats],
        }

    def promise(self) -> dict[str, Any]:
        """What is beside the estimate: the target, the two formulas, and the months that miss it."""
        return {
            "target": self.target,
            "independence_unavailability": self.independence.naive.left,
            "shared_fate_unavailability": self.independence.shared_fate.left,
            "month_miss_probability": self.month_miss_probability.to_dict(),
        }

    def rows(self) -> list[tuple[str, str, str]]:
        """What is told, in words: what it is, the unavailability, and down in 30 days."""
        u = self.rare.unavailability
        forms = [
            (form.name, f"{form.left:.3g}", f"{form.left * MONTH_S:.4g} s") for form in self.independence
        ]
        months = format(self.month_miss_probability, ".3g")
        return [
            ("simulated, with the router", f"{u.value:.3g} {ends(u)}", f"{u.value * MONTH_S:.4g} s"),
            *forms,
            (f"months below {100 * self.target:.10g} %", months, ""),
        ]

    def table(self) -> str:
        """The rows as aligned text."""
        rows = [("", "unavailability [95 % interval]", "down in 30 days"), *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.rare.scenario.name}, {self.rare.policy}\n{self.table()}"

    def _repr_html_(self) -> str:
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows()
        )
        notes = "".join(f"<li>{html.escape(str(caveat))}</li>" for caveat in self.rare.caveats)
        title = html.escape(f"{self.rare.scenario.name}: {self.rare.policy}, seed {self.rare.seed}")
        return (
            f"<table><caption>{title}</caption><thead><tr><th></th><th>unavailability [95 % interval]</th>"
            f"<th>down in 30 days</th></tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
        )


def ends(estimate: Estimate) -> str:
    return f"[{estimate.ci_low:.3g}, {estimate.ci_high:.3g}]"


def assess(
    scenario: Scenario | str | Path,
    policy: Policy | str | None = None,
    *,
    target: float | None = None,
    **options: Any,
) -> Assessment:
    """Availability as simulated, as a product of independent parts, and the probability of missing a month.

    `target` is the promised monthly availability, in (0, 1); by default that of the scenario's objective for
    the availability of all requests. `options` are those of `estimate_availability`: seed, years, requests,
    within, memory_s, n_jobs, progress.

        simsla.assess("shared-gateway", target=0.9995, requests=200_000, years=500)

    Raises ValueError without a target, and what `estimate_availability` raises.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    if target is None:
        target = promised(scenario)
    if target is None:
        raise ValueError(
            f"target: expected an availability, since {scenario.name} has no objective for the availability "
            "of all requests"
        )
    if isinstance(target, bool) or not isinstance(target, int | float) or not 0 < target < 1:
        raise ValueError(f"target: expected an availability between 0 and 1, got {target!r}")
    # Warned about below, as things that the caller of this function should know.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimslaWarning)
        found = estimate_availability(scenario, policy, **options)
    for caveat in found.caveats:
        warnings.warn(caveat, stacklevel=2)
    if not found.holds_months:
        raise ValueError(f"years: expected so many that lives hold a month, got {found.years:.4g}")
    return assessed(found, policy, float(target))


def promised(scenario: Scenario) -> float | None:
    """The availability of all requests that is the scenario's objective, if it has one."""
    return next(
        (o.target for o in scenario.objectives if o.metric == "availability" and not o.request_class), None
    )


def assessed(rare: RareResult, policy: Policy | str | None, target: float) -> Assessment:
    """An estimate that is already made, with the formulas for its scenario and policy beside it."""
    chosen = None if policy is None else resolve_policy(policy)
    return Assessment(rare, independence(rare.scenario, chosen), target)
