"""Common causes: a share of failures that strikes all siblings at once."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import plain, probability, whole
from simsla.analysis.closed_forms.formula import formula

__all__ = ["beta_factor"]


@formula(
    "beta factor",
    assumes="a share beta of each part's unavailability is common to all parts, the rest is independent",
    source="Fleming 1975",
)
def beta_factor(unavailability: npt.ArrayLike, beta: npt.ArrayLike, parts: int = 2) -> Any:
    """The unavailability of redundant parts, any one of which is enough: beta U + ((1 - beta) U)^n.

    `unavailability` U is one part's share of time down and `beta` the share of it that is common to all
    `parts` (at least 1); both in [0, 1]. Beta 0 is independence, beta 1 no redundancy at all. The sum is
    the usual approximation for small U: it counts twice the time in which both causes are present.
    Raises ValueError.
    """
    u, share = probability(unavailability, "unavailability"), probability(beta, "beta")
    return plain(share * u + ((1 - share) * u) ** whole(parts, "parts", 1))
