"""What a reply or an error says about how it came about."""

from __future__ import annotations

from simsla.routing.errors import RoutingError
from simsla.routing.progress import Progress
from simsla.routing.types import Reply


def finished(reply: Reply, progress: Progress) -> Reply:
    """The reply; its metadata says so where it was not simply the first attempt at the tier asked for."""
    candidate = progress.answered_by
    if candidate is not None and (progress.attempts > 1 or candidate.degraded):
        deployment = candidate.deployment
        raced = progress.notes is not None and "hedged" in progress.notes
        which = f"as one of {progress.attempts} attempts" if raced else f"at attempt {progress.attempts}"
        note = f"answered by {deployment.name} {which}"
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
    if progress.explains:
        reply.progress = progress
    return reply


def explained(error: RoutingError, progress: Progress) -> RoutingError:
    """The error, with the decisions that led to it."""
    if progress.explains:
        error.progress = progress
    return error
