"""The Router: the one file that awaits. What it does is decided by the state machines it walks between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from simsla.routing.errors import (
    AllAttemptsFailed,
    AttemptError,
    AttemptTimeout,
    DeadlineExceeded,
    NoDeployment,
    RoutingError,
)
from simsla.routing.progress import Progress
from simsla.routing.protocols import Failure, Health, RetryBudget, RetryRule, Selector
from simsla.routing.router.notes import annotate
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.ranking import PreCallSelector, RankedSelector, Watched
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Request, Timeouts

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy

SHORTEST_ATTEMPT_S: Final = 0.001
"""No attempt begins with less of the deadline left: it could not succeed, and both real clocks and year-long
virtual ones round times finer than this."""


class Router:
    """Answers requests over a transport, as the policy says.

    It belongs to the event loop on which it handles its first request. Raises `ConfigError` where the
    policy names a deployment that the transport does not have.
    """

    def __init__(self, policy: RoutingPolicy, transport: Transport) -> None:
        policy.check(transport.deployments)
        breaker = policy.breaker
        health: dict[str, Health | None] = {
            deployment.name: None if breaker is None else breaker.build()
            for deployment in transport.deployments
        }
        ranking = policy.selection.build(transport.deployments, transport.random)
        if ranking is not None:
            health = {name: Watched(inner, ranking, name) for name, inner in health.items()}
        self._selector: Selector = ChainSelector(policy, transport.deployments, health)
        if ranking is not None:
            self._selector = RankedSelector(self._selector, ranking, policy.regions.affinity)
        if policy.pre_call_checks:
            self._selector = PreCallSelector(self._selector)
        self._retry: RetryRule = policy.retry
        self._budget: RetryBudget | None = (
            None if policy.retry_budget is None else policy.retry_budget.build()
        )
        self._deadline_s = policy.deadline_s
        self._max_attempts = policy.max_attempts
        self._send = transport.send
        self._random = transport.random
        self._time: Callable[[], float] = self._first_time

    def _first_time(self) -> float:
        """The loop's time; from now on read without asking for the running loop."""
        self._time = asyncio.get_running_loop().time
        return self._time()

    async def handle(self, request: Request) -> Reply:
        """One reply or one error.

        The reply's ``metadata`` stays as the transport made it, unless the answer took more than one
        attempt or is below the tier asked for; then it says so.

        Raises `BadRequest` where the request can succeed nowhere, `NoDeployment` where nothing may be tried,
        `DeadlineExceeded` when its time is over and `AllAttemptsFailed` when everything else is used up.
        """
        now = self._time()
        left_s = self._deadline_s
        if request.deadline is not None and request.deadline - now < left_s:
            left_s = request.deadline - now
        deadline = now + left_s
        progress = Progress(request, deadline)
        candidates = self._selector.candidates(request, now)
        index = 0
        tries = 0  # at this candidate
        delay_s = 0.0  # before this attempt
        untried = False  # whether a candidate was passed over
        errors: list[AttemptError] = []
        answered = False
        lease = None if self._budget is None else self._budget.open(now)
        try:
            while index < len(candidates) and left_s >= SHORTEST_ATTEMPT_S:
                candidate = candidates[index]
                health = candidate.health
                ticket = None
                if health is not None:
                    ticket = health.admit(progress, now)
                    if ticket is None:
                        untried = True
                        index += 1
                        tries = 0
                        delay_s = 0.0
                        continue
                timeouts = candidate.timeouts
                if left_s < candidate.total_s:
                    timeouts = _cut(timeouts, left_s)
                try:
                    reply = await self._send(request, candidate.deployment, timeouts=timeouts)
                except AttemptError as error:
                    now = self._time()
                    left_s = deadline - now
                    if health is not None:
                        hurried = bool(errors) and timeouts is not candidate.timeouts
                        _settle(health, ticket, now, error, hurried)
                    errors.append(error)
                    if lease is not None and not error.blames_request:
                        lease.failed(now, error)
                    tries += 1
                    decision = self._retry.decide(Failure(request, error, tries, delay_s, now), self._random)
                    if decision.action == "stop":
                        raise
                    if len(errors) == self._max_attempts:
                        untried = untried or index + 1 < len(candidates)
                        break
                    delay_s = decision.delay_s
                    if decision.action == "next" or not _worth_waiting(delay_s, left_s, health, now):
                        candidates = self._selector.after(error, candidate, candidates[index + 1 :])
                        index = 0
                        tries = 0
                        delay_s = 0.0
                    if (
                        lease is not None
                        and index < len(candidates)
                        and not error.blames_request
                        and not lease.retry(now, error)
                    ):
                        untried = True
                        break
                except BaseException:
                    # Cancelled, or a mistake in the transport: no verdict on the deployment.
                    if health is not None:
                        health.released(ticket, self._time())
                    raise
                else:
                    if health is not None:
                        health.succeeded(ticket, self._time(), reply)
                    answered = True
                    if errors or candidate.degraded:
                        annotate(reply, candidate, len(errors) + 1)
                    return reply
                if delay_s > 0.0:
                    await asyncio.sleep(delay_s)
                    now = self._time()
                    left_s = deadline - now
            raise _verdict(errors, left_s, untried, request)
        finally:
            if lease is not None:
                lease.close(self._time(), answered)
            # Each error's traceback refers to this frame and the frame to the list: undo the cycle.
            errors.clear()


def _cut(timeouts: Timeouts, left_s: float) -> Timeouts:
    """The timeouts within what is left. All four, because a transport may have no total of its own."""
    return Timeouts(
        _at_most(left_s, timeouts.connect_s),
        _at_most(left_s, timeouts.first_token_s),
        _at_most(left_s, timeouts.idle_s),
        left_s,
    )


def _at_most(left_s: float, limit_s: float | None) -> float:
    return left_s if limit_s is None or limit_s > left_s else limit_s


def _settle(health: Health, ticket: object, now: float, error: AttemptError, hurried: bool) -> None:
    """Hold the error against the deployment where it is the deployment's.

    A hurried attempt got only what earlier ones had left of the deadline. Its timeout does not count: one
    hung deployment would open the breakers of those that are tried after it.
    """
    if error.blames_request or (hurried and isinstance(error, AttemptTimeout)):
        health.released(ticket, now)
    else:
        health.failed(ticket, now, error)


def _worth_waiting(delay_s: float, left_s: float, health: Health | None, now: float) -> bool:
    """Whether the same deployment can be tried after the delay: in time, and not known to be refused."""
    in_time = left_s - delay_s >= SHORTEST_ATTEMPT_S
    return in_time and (health is None or health.available_at(now) <= now + delay_s)


def _verdict(errors: Sequence[AttemptError], left_s: float, untried: bool, request: Request) -> RoutingError:
    """The one error of a request that got no reply."""
    if errors and not untried and all(error.blames_request for error in errors):
        return errors[-1]
    if left_s < SHORTEST_ATTEMPT_S:
        return DeadlineExceeded(errors)
    if errors:
        return AllAttemptsFailed(errors)
    reason = "every circuit breaker is open" if untried else "no deployment serves its tier and region"
    return NoDeployment(f"{request!r}: {reason}")
