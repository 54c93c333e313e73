"""From a policy to the parts of a Router: nothing is built that is not configured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from simsla.routing.admission.queue import AdmissionQueue
from simsla.routing.caching.backend import CacheBackend
from simsla.routing.caching.semantic import CachePolicy
from simsla.routing.health.gate import Gate, combined
from simsla.routing.progress import Progress
from simsla.routing.protocols import Health, RetryRule, Selector, Stage
from simsla.routing.router.admission import AdmissionStage, RateLimitResort
from simsla.routing.router.attempts import Attempts
from simsla.routing.router.backends import Backends
from simsla.routing.router.caching import CacheStage
from simsla.routing.router.calls import Calls
from simsla.routing.router.classifying import ClassifyStage
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.guard import Guard
from simsla.routing.router.sampling import SamplingStage, ShadowStage
from simsla.routing.router.subordinate import Ask
from simsla.routing.sampling.shadow import ShadowPolicy
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.ranking import PreCallSelector, RankedSelector, Ranking, Watched
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Request

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy


class Bounds(NamedTuple):
    """What bounds the calls of each deployment, on whose behalf they may be: its limits, and its part of the
    spend cap where there is one.
    """

    limits: Mapping[str, Sequence[Health]]
    spend: Mapping[str, Health]


def bounds(policy: RoutingPolicy, transport: Transport) -> Bounds:
    """Made once: all of a Router's calls count together."""
    deployments = transport.deployments
    spend = {} if policy.spend is None else policy.spend.build(deployments)
    return Bounds(policy.limits.build(deployments, transport.random), spend)


def selector(
    policy: RoutingPolicy, transport: Transport, within: Bounds, lines: RateLimitResort | None
) -> Selector:
    """Who may be tried in which order, each with its health."""
    deployments = transport.deployments
    ranking = policy.selection.build(deployments, transport.random)
    health = _health(policy, transport, ranking, within, lines)
    made: Selector = ChainSelector(policy, deployments, health)
    if ranking is not None:
        made = RankedSelector(made, ranking, policy.regions.affinity)
    if policy.fallbacks is not None:
        made = policy.fallbacks.build(made, policy, deployments, health)
    if policy.pre_call_checks:
        made = PreCallSelector(made)
    return made


def retry_rule(policy: RoutingPolicy) -> RetryRule:
    """What follows a failed attempt; a content policy may have chains of its own."""
    return policy.retry if policy.fallbacks is None else policy.fallbacks.rule(policy.retry)


def rate_limit_lines(policy: RoutingPolicy, clock: LoopClock) -> RateLimitResort | None:
    """Where requests wait for the end of a rate limit; None: nowhere."""
    if policy.queue is None or not policy.queue.on_rate_limit:
        return None
    return RateLimitResort(policy.queue, policy.when_all_open.build(), clock)


def stages(
    policy: RoutingPolicy,
    transport: Transport,
    within: Bounds,
    backends: Backends,
    guard: Guard,
    clock: LoopClock,
    ask: Ask,
) -> tuple[Stage, ...]:
    """What stands around the attempts, outermost first. ``ask`` sends a subordinate request."""
    made: list[Stage] = []
    rng = transport.random

    def now() -> float:
        return clock.now()

    if policy.quality is not None:
        made.append(SamplingStage(policy.quality, ask, guard, now, rng, backends.review))
    if policy.cache is not None:
        backend = _store(policy.cache, transport) if backends.cache is None else backends.cache
        made.append(CacheStage(policy.cache, backend, guard, now, tier_of=_tier_of(policy)))
    if policy.queue is not None and policy.queue.max_concurrent is not None:
        made.append(AdmissionStage(AdmissionQueue(policy.queue), clock))
    if policy.classify is not None:
        made.append(ClassifyStage(policy.classify.build(backends.score), ask, guard, now))
    if policy.shadow is not None:
        copy = _copy(policy, policy.shadow, transport, within, clock)
        made.append(ShadowStage(policy.shadow, copy, guard, now, rng, backends.compare))
    return tuple(made)


def _store(policy: CachePolicy, transport: Transport) -> CacheBackend[Any]:
    """That which the transport brings along, as a simulated one does; else an index in memory."""
    bring: Callable[[CachePolicy], CacheBackend[Any]] = getattr(transport, "cache_store", None) or (
        CachePolicy.build
    )
    return bring(policy)


def _tier_of(policy: RoutingPolicy) -> Callable[[Request], str | None]:
    """The tier that a request asks for, None where it leaves that to a classification or to the default."""
    cuts = policy.complexity

    def tier_of(request: Request) -> str | None:
        if request.tier is not None or request.complexity is None:
            return request.tier
        return cuts.tier(request.complexity)

    return tier_of


def _copy(
    policy: RoutingPolicy, shadow: ShadowPolicy, transport: Transport, within: Bounds, clock: LoopClock
) -> Ask:
    """Sends to the deployment of the shadow alone, once, within its limits and the spend cap."""
    target = next(each for each in transport.deployments if each.name == shadow.deployment)
    health = combined((), _in_order(within, target.name, within.limits[target.name]))
    once = Attempts(shadow.selector(target, health), policy.retry, None, None, 1, clock, transport)
    send = Calls(transport, clock).send

    def ask(request: Request, progress: Progress) -> Awaitable[Reply]:
        return once.run(progress, send)

    return ask


def _health(
    policy: RoutingPolicy,
    transport: Transport,
    ranking: Ranking | None,
    within: Bounds,
    lines: RateLimitResort | None,
) -> Mapping[str, Health | None]:
    deployments, rng = transport.deployments, transport.random
    members = Counter(deployment.tier for deployment in deployments)
    names = [deployment.name for deployment in deployments]
    detector = None if policy.outlier is None else policy.outlier.build(names, rng)
    made: dict[str, Health | None] = {}
    for deployment in deployments:
        name = deployment.name
        verdicts: list[Health] = []
        if policy.breaker is not None:
            verdicts.append(policy.breaker.build(rng, members[deployment.tier]))
        if detector is not None:
            verdicts.append(detector.health(name))
        limits = within.limits[name]
        if lines is not None:
            limits = lines.before(name, limits)
        limits = _in_order(within, name, limits)
        if ranking is not None:
            gate = Gate(verdicts, limits) if verdicts or limits else None
            made[name] = Watched(gate, ranking, name)
        elif policy.when_all_open.overrides:
            made[name] = Gate(verdicts, limits) if verdicts or limits else None
        else:
            made[name] = combined(verdicts, limits)
    return made


def _in_order(within: Bounds, name: str, limits: Sequence[Health]) -> Sequence[Health]:
    """The limits of a deployment, then its part of the spend cap.

    What is taken of a limit is given back in full only by the last to be asked: money comes last.
    """
    return (*limits, within.spend[name]) if name in within.spend else limits
