"""The one error of a request that got no reply."""

from __future__ import annotations

from typing import Final

from simsla.routing.errors import AllAttemptsFailed, DeadlineExceeded, NoDeployment, RoutingError
from simsla.routing.progress import Progress

SHORTEST_ATTEMPT_S: Final = 0.001
"""No attempt begins with less of the deadline left: it could not succeed, and both real clocks and year-long
virtual ones round times finer than this."""


def verdict(progress: Progress, left_s: float, untried: bool) -> RoutingError:
    """The error to raise; ``untried`` says whether a candidate was never tried."""
    errors = progress.errors
    if errors and not untried and all(error.blames_request for error in errors):
        return errors[-1]
    if left_s < SHORTEST_ATTEMPT_S:
        return DeadlineExceeded(errors)
    if errors:
        return AllAttemptsFailed(errors)
    reason = "no deployment serves its tier and region"
    if untried:
        reasons = dict.fromkeys(why for _, why in progress.refusals or ())
        reason = f"no deployment may be called now: {', '.join(reasons)}" if reasons else reason
    return NoDeployment(f"{progress.request!r}: {reason}")
