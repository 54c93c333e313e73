"""Shadow traffic: requests that are also sent to a deployment whose answers nobody gets."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import AttemptError
from simsla.routing.protocols import Health
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Deployment, Request, Timeouts


@dataclass(frozen=True)
class ShadowPolicy(Section):
    """A share of the answered requests is also sent to ``deployment``, once, in the background.

    To see a deployment under real requests before it serves any, as with LiteLLM's ``silent_model``. Copies
    are billed, so limits and the spend cap hold for them too; their failures are only counted. Requests
    without an answer are not copied: there would be nothing to compare, and an outage would come with twice
    the load.
    """

    deployment: str = setting()
    """Its name. In no chain of a tier it gets nothing but copies."""
    share: float = setting(1.0, minimum=0.0, maximum=1.0)
    """The share of the answered requests. 1 as in LiteLLM."""
    timeout_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds for a copy. Nobody waits for it."""
    max_in_flight: int = setting(100, minimum=1)
    """Copies at a time; what comes on top is dropped and counted."""

    def named(self) -> Iterable[tuple[str, str]]:
        """The deployment."""
        return (("deployment", self.deployment),)

    def draw(self, rng: random.Random) -> bool:
        """Whether a request is copied: one draw each."""
        return rng.random() < self.share

    def copy(self, request: Request, deadline: float) -> Request:
        """The copy of a request."""
        return request.derive(purpose="shadow", stream=False, deadline=deadline)

    def selector(self, deployment: Deployment, health: Health | None = None) -> OneDeployment:
        """The plan of every copy, for attempts of their own: no other candidate. ``health`` are the limits
        of the deployment; its breaker hears nothing of copies.
        """
        return OneDeployment(
            Candidate(
                deployment,
                asked=deployment.tier,
                chain=deployment.tier,
                timeouts=Timeouts(total_s=self.timeout_s),
                health=health,
            )
        )


class OneDeployment:
    """A `Selector` of one candidate, whatever the request."""

    def __init__(self, candidate: Candidate) -> None:
        self._plan = (candidate,)

    def candidates(self, request: Request, now: float) -> Sequence[Candidate]:
        """The one."""
        return self._plan

    def after(
        self, error: AttemptError, failed: Candidate, remaining: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """Nothing else may be tried."""
        return ()
