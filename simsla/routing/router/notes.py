"""The note in a reply that was not simply the first attempt at the tier asked for."""

from __future__ import annotations

from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Reply


def annotate(reply: Reply, candidate: Candidate, attempts: int) -> None:
    """Add to the metadata what was asked for, what answered and how many attempts it took."""
    deployment = candidate.deployment
    note = f"answered by {deployment.name} at attempt {attempts}"
    if candidate.degraded:
        note = f"asked for {candidate.asked}, {note}, which is {deployment.tier}"
    reply.metadata = {
        **(reply.metadata or {}),
        "tier_asked": candidate.asked,
        "tier_answered": deployment.tier,
        "degraded": candidate.degraded,
        "attempts": attempts,
        "note": note,
    }
