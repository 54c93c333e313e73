"""The note in a reply that was not simply the first attempt at the tier asked for."""

from __future__ import annotations

from simsla.routing.progress import Progress
from simsla.routing.types import Reply


def annotate(reply: Reply, progress: Progress) -> None:
    """Add to the metadata what was asked for, what answered at which attempt, and what other parts noted."""
    candidate = progress.answered_by
    if candidate is not None and (progress.attempts > 1 or candidate.degraded):
        deployment = candidate.deployment
        note = f"answered by {deployment.name} at attempt {progress.attempts}"
        if candidate.degraded:
            note = f"asked for {candidate.asked}, {note}, which is {deployment.tier}"
        reply.metadata = {
            **(reply.metadata or {}),
            "tier_asked": candidate.asked,
            "tier_answered": deployment.tier,
            "degraded": candidate.degraded,
            "attempts": progress.attempts,
            "note": note,
        }
    if progress.notes is not None:
        reply.metadata = {**(reply.metadata or {}), **progress.notes}
