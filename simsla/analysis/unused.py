"""What can fail, or limits, and is met by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simsla.analysis.warnings import UnusedWarning, first_few

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["unused"]


def unused(scenario: Scenario) -> UnusedWarning | None:
    """The warning that faults, events or limits belong to what no deployment depends on, if some do.

    A name that was forgotten in `deployments.a.components` makes an outage that changes nothing.
    """
    idle = list(dict.fromkeys(met_by_nobody(scenario)))
    if not idle:
        return None
    return UnusedWarning(
        f"No deployment depends on these, so what happens to them changes nothing: "
        f"{first_few(idle)}. See `deployments.*.components`."
    )


def met_by_nobody(scenario: Scenario) -> Iterator[str]:
    """The paths of such components, regions and accounts."""
    met = {name for spec in scenario.deployment_specs for name in spec.dependencies}
    if scenario.cache is not None:
        met.update(scenario.cache.components)
    happens_to = {event.component for event in scenario.schedule}
    for section in ("components", "regions", "accounts"):
        for name, part in getattr(scenario, section).items():
            # What strikes one sibling may strike another, on which a deployment depends.
            alone = part.parent is None or not part.beta
            limits = section == "accounts" and part.limits_anything
            if name not in met and alone and (part.faults or limits or name in happens_to):
                yield f"{section}.{name}"
