"""Capabilities before the call: what lacks something that the request needs is not tried.

Always so where a request needs something: a deployment without vision cannot answer about a picture, so there
is nothing to configure. What a deployment does not declare it does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simsla.routing.types import Deployment

if TYPE_CHECKING:
    from simsla.routing.selection.chains import Candidate


def offers(deployment: Deployment, needs: Sequence[str]) -> bool:
    """Whether it has every capability needed."""
    return all(need in deployment.capabilities for need in needs)


def capable(candidates: Sequence[Candidate], needs: Sequence[str]) -> tuple[Candidate, ...]:
    """Those that have every capability needed, in their order."""
    return tuple(each for each in candidates if offers(each.deployment, needs))
