"""Composite SLAs: what promises are worth together."""

from __future__ import annotations

from collections.abc import Sequence

from simsla.analysis.closed_forms.formula import formula
from simsla.analysis.closed_forms.systems import parallel, series

__all__ = ["composite_sla"]


@formula(
    "composite SLA",
    assumes="each service is down for as long as its promise allows, independently of the others",
    source="Microsoft, Azure Well-Architected Framework, 2022",
)
def composite_sla(needed: Sequence[float] = (), redundant: Sequence[Sequence[float]] = ()) -> float:
    """The availability promised by services together: all `needed` ones, and any one of each redundant group.

    Promises are shares in [0, 1]: `composite_sla([0.999], [[0.995, 0.999]])` is a gateway before two
    providers. A promise is a threshold for credits, no measurement. Raises ValueError for an empty group.
    """
    for group in redundant:
        if len(group) == 0:
            raise ValueError("redundant: expected at least one promise in each group")
    return float(series([*needed, *(parallel(group) for group in redundant)]))
