"""The Router: a policy's parts around the loop of attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsla.routing.errors import RoutingError
from simsla.routing.explanation import Explanation
from simsla.routing.progress import Progress
from simsla.routing.protocols import Stage
from simsla.routing.router import assembly
from simsla.routing.router.attempts import Attempts
from simsla.routing.router.calls import Calls
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.notes import annotate
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Request

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy


class Router:
    """Answers requests over a transport, as the policy says.

    It belongs to the event loop on which it handles its first request. Raises `ConfigError` where the
    policy names a deployment that the transport does not have.
    """

    def __init__(self, policy: RoutingPolicy, transport: Transport) -> None:
        policy.check(transport.deployments)
        self._clock = LoopClock()
        self._deadline_s = policy.deadline_s
        self._explain = policy.explain
        self._attempts = Attempts(
            assembly.selector(policy, transport),
            policy.retry,
            None if policy.retry_budget is None else policy.retry_budget.build(),
            None,
            policy.max_attempts,
            self._clock,
            transport.random,
        )
        self._send = Calls(transport, self._clock).send
        self._stages: tuple[Stage, ...] = ()

    async def handle(self, request: Request) -> Reply:
        """One reply or one error.

        The reply's ``metadata`` stays as the transport made it, unless the answer took more than one
        attempt or is below the tier asked for; then it says so. The ``explanation`` of the reply or of the
        error lists every decision.

        Raises `BadRequest` where the request can succeed nowhere, `NoDeployment` where nothing may be tried,
        `Shed` where it is refused to protect others, `DeadlineExceeded` when its time is over and
        `AllAttemptsFailed` when everything else is used up.
        """
        progress = self._begin(request)
        try:
            if self._stages:
                reply = await self._through_stages(progress)
            else:
                reply = await self._attempts.run(progress, self._send)
        except RoutingError as error:
            if progress.steps is not None:
                error.explanation = _explanation(progress)
            raise
        finally:
            # Each error's traceback refers to a frame and the frame to the list: undo the cycle.
            progress.errors.clear()
        annotate(reply, progress)
        if progress.steps is not None:
            reply.explanation = _explanation(progress)
        return reply

    def _begin(self, request: Request) -> Progress:
        deadline = self._clock.now() + self._deadline_s
        if request.deadline is not None and request.deadline < deadline:
            deadline = request.deadline
        return Progress(request, deadline, explain=self._explain)

    async def _through_stages(self, progress: Progress) -> Reply:
        entered: list[tuple[Stage, Request]] = []
        reply = None
        try:
            for stage in self._stages:
                got = await stage.enter(progress.request, progress)
                if isinstance(got, Reply):
                    reply = got
                    return reply
                progress.request = got
                entered.append((stage, got))
            reply = await self._attempts.run(progress, self._send)
            return reply
        finally:
            for stage, request in reversed(entered):
                stage.leave(request, progress, reply)


def _explanation(progress: Progress) -> Explanation:
    assert progress.steps is not None
    return Explanation(progress.steps, progress.attempts, progress.spent_usd)
