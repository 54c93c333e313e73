"""What to do when every deployment refuses: fail, wait for the first to return, or use the least bad one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.limits.spend import PER_DAY, PER_REQUEST
from simsla.routing.progress import Progress
from simsla.routing.protocols import Exhausted, LastResort, Overridable, Resort
from simsla.routing.selection.chains import Candidate

_FAIL: Final = Resort("fail")

WAITED: Final = "waited_for_deployment_s"
"""The note of how long a request has waited for a deployment to return, in seconds."""
LEAST_BAD: Final = "least_bad"
"""The note with the name of the deployment that was called although it refuses."""


@dataclass(frozen=True)
class FailWhenOpen(Section):
    """The request fails at once."""

    kind = "fail"
    overrides = False

    def build(self) -> None:
        """Nothing: there is no last resort."""


@dataclass(frozen=True)
class WaitWhenOpen(Section):
    """The request waits for the first deployment to return, as asked for in LiteLLM's issue 3646.

    Where that is later than its deadline it fails at once. The reply says under ``waited_for_deployment_s``
    how long it waited.
    """

    kind = "wait"
    overrides = False

    max_wait_s: float | None = setting(None, above=0.0, unit="s")
    """Seconds; the most that one request waits, all its waits together. None: as long as its deadline lets
    it."""
    min_wait_s: float = setting(0.05, above=0.0, unit="s")
    """Seconds; the shortest wait, and the interval of asking again where nobody knows when a deployment
    returns because its probe is out or its places are taken. 0.05: far below the time of a call."""

    def verify(self) -> None:
        """The shortest wait is not longer than the longest."""
        if self.max_wait_s is not None and self.max_wait_s < self.min_wait_s:
            raise ConfigError("max_wait_s", self.max_wait_s, f"at least min_wait_s ({self.min_wait_s:g})")

    def build(self) -> LastResort:
        """Itself: what a request has waited is in its progress."""
        return self

    def decide(self, exhausted: Exhausted) -> Resort:
        """Wait until the first of the plan may be called; fail where nothing refused or that is too late.

        What may be called now but has already failed for this request, or is too dear for it, is nothing to
        wait for.
        """
        progress, plan, refused, now = exhausted
        if not refused:
            return _FAIL
        failed = _failed(progress)
        returns = [
            at
            for each in plan
            if (at := now if each.health is None else each.health.available_at(now)) > now
            or not (each.deployment.name in failed or _too_dear(each))
        ]
        if not returns:
            return _FAIL
        # One of which nobody knows when it returns may do so before the first of which that is known.
        first_at = now if math.inf in returns else min(returns)
        delay_s = max(self.min_wait_s, first_at - now)
        waited_s = (progress.notes or {}).get(WAITED, 0.0) + delay_s
        too_long = self.max_wait_s is not None and waited_s > self.max_wait_s
        if too_long or now + delay_s >= progress.deadline:
            return _FAIL
        progress.note(WAITED, waited_s)
        return Resort("wait", delay_s)


@dataclass(frozen=True)
class LeastBadWhenOpen(Section):
    """Once per request, the deployment that returns first is called although it refuses; its limits hold.
    Those that have failed for this request are left out.

    The reply names it under ``least_bad``. The plan's healths are `Overridable`, except for those that never
    refuse.
    """

    kind = "least_bad"
    overrides = True

    def build(self) -> LastResort:
        """Itself: whether a request has used it is in its progress."""
        return self

    def decide(self, exhausted: Exhausted) -> Resort:
        """The first to return whose limits admit; fail where nothing refused or it has been used."""
        progress, plan, refused, now = exhausted
        if not refused or LEAST_BAD in (progress.notes or {}):
            return _FAIL
        failed = _failed(progress)
        healths = [
            (cast(Overridable, each.health), each)
            for each in plan
            if each.health is not None and each.deployment.name not in failed
        ]
        healths.sort(key=lambda pair: pair[0].available_at(now))
        for health, candidate in healths:
            ticket = health.admit_anyway(progress, now)
            if ticket is not None:
                progress.note(LEAST_BAD, candidate.deployment.name)
                return Resort("use", candidate=candidate, ticket=ticket)
        return _FAIL


def _failed(progress: Progress) -> set[str | None]:
    """The names of the deployments at which this request has failed."""
    return {error.deployment for error in progress.errors}


def _too_dear(candidate: Candidate) -> bool:
    """Whether it was the spend cap that refused."""
    health = candidate.health
    return health is not None and health.refusal in (PER_REQUEST, PER_DAY)


WhenAllOpen = FailWhenOpen | WaitWhenOpen | LeastBadWhenOpen
"""Every kind; the first is meant where no ``kind`` is given. ``overrides``: whether the healths of the plan
must be `Overridable`.
"""
