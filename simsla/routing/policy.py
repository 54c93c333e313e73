"""The configuration of the Router: one frozen dataclass, shared by a scenario and a production start-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.caching.semantic import CachePolicy
from simsla.routing.chaos.policy import ChaosPolicy
from simsla.routing.classification.model import Classification
from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ConfigError, nearest
from simsla.routing.health.breaker import Breaker, BreakerPolicy
from simsla.routing.health.last_resort import FailWhenOpen, WaitWhenOpen, WhenAllOpen
from simsla.routing.health.outlier import OutlierPolicy
from simsla.routing.hedging.policy import HedgePolicy
from simsla.routing.limits.policy import LimitsPolicy
from simsla.routing.limits.spend import SpendPolicy
from simsla.routing.retries.budget import Budget
from simsla.routing.retries.rule import RetryPolicy
from simsla.routing.router import Router
from simsla.routing.sampling.quality import QualityPolicy
from simsla.routing.sampling.shadow import ShadowPolicy
from simsla.routing.selection.adaptive_weights import AdaptiveWeights
from simsla.routing.selection.fallbacks import FallbackPolicy
from simsla.routing.selection.load import (
    LeastOutstanding,
    Ordered,
    PeakEwma,
    PowerOfD,
    RoundRobin,
    WeightedRandom,
)
from simsla.routing.selection.measure import CostRanking, LatencyRanking, UsageRanking
from simsla.routing.selection.price_weighted import PriceWeighted
from simsla.routing.selection.priority import P99Shift, PriorityRanking
from simsla.routing.selection.tiers import ComplexityCuts
from simsla.routing.selection.zone_aware import ZoneAware
from simsla.routing.streaming.policy import StreamingPolicy
from simsla.routing.transport import Handler, Transport
from simsla.routing.types import TIERS, Timeouts

Selection = (
    Ordered
    | WeightedRandom
    | RoundRobin
    | LeastOutstanding
    | PowerOfD
    | PeakEwma
    | LatencyRanking
    | CostRanking
    | UsageRanking
    | PriorityRanking
    | P99Shift
    | PriceWeighted
    | AdaptiveWeights
    | ZoneAware
)
"""The order of equally good deployments, by ``kind``."""


class Named(Protocol):
    """Anything with a name, such as a deployment."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class AttemptTimeouts(Section):
    """The limits of one attempt, in seconds. A limit left out adapts to the deadline of the policy."""

    connect_s: float | None = setting(None, above=0.0, unit="s")
    """To the connection. Left out: 5 as in the OpenAI SDK, at most the deadline."""
    first_token_s: float | None = setting(None, above=0.0, unit="s")
    """From sending to the first token, of a stream. Left out: ``total_s``."""
    idle_s: float | None = setting(None, above=0.0, unit="s")
    """Between two tokens, of a stream. Left out: ``total_s``."""
    total_s: float | None = setting(None, above=0.0, unit="s")
    """From sending to the end. Left out: half the deadline, so that one hung attempt leaves time for
    another."""

    def resolve(self, deadline_s: float) -> Timeouts:
        """The limits under this total deadline."""
        total_s = deadline_s / 2 if self.total_s is None else self.total_s
        return Timeouts(
            connect_s=min(5.0, deadline_s) if self.connect_s is None else self.connect_s,
            first_token_s=total_s if self.first_token_s is None else self.first_token_s,
            idle_s=total_s if self.idle_s is None else self.idle_s,
            total_s=total_s,
        )


@dataclass(frozen=True)
class RegionPolicy(Section):
    """How the region of a request counts. A deployment without a region is at home in every region."""

    affinity: bool = setting(True)
    """Within a tier, try the deployments of the request's own region first: they are the nearest."""
    failover: bool = setting(True)
    """Try other regions as well. False where data may not leave the region."""

    def verify(self) -> None:
        """Staying in the region without preferring it is a contradiction."""
        if not self.failover and not self.affinity:
            raise ConfigError("failover", self.failover, "true where affinity is false")


@dataclass(frozen=True)
class RoutingPolicy(Section):
    """What the Router does. It is itself a policy: call it with a transport to get ``handle(request)``."""

    tiers: Mapping[str, tuple[str, ...]] = setting(FrozenMapping(), keys=TIERS)
    """Tier -> names of deployments in the order of trying. A tier left out has the transport's deployments
    of that tier in their listed order; one that has none at all is served by the nearest tier above that
    has some."""
    complexity: ComplexityCuts = field(default=ComplexityCuts())
    """The tier of a request that names none but has a complexity."""
    default_tier: str = setting("standard", choices=TIERS)
    """The tier of a request with neither: the middle one, neither the dearest nor the weakest."""
    degrade: bool = setting(True)
    """After the deployments of the tier, try those of the tiers below: a weaker answer is better than
    none."""
    deadline_s: float = setting(60.0, above=0.0, unit="s")
    """Seconds for the whole request, waits and fall-backs included; an earlier ``request.deadline`` wins.
    60: what people and HTTP proxies wait for."""
    timeouts: AttemptTimeouts = field(default=AttemptTimeouts())
    """The limits of one attempt, cut to what is left of the deadline."""
    max_attempts: int = setting(6, minimum=1)
    """Attempts for one request over all deployments: the most that a request can amplify load. 6: two at
    one deployment of each of three tiers."""
    retry: RetryPolicy = field(default=RetryPolicy())
    """When to try the same deployment again."""
    retry_budget: Budget | None = field(default=None)
    """How many attempts after their first all requests together may make, at whichever deployment; None: as
    many as ``max_attempts`` allows each."""
    hedge: HedgePolicy | None = field(default=None)
    """When to send a further attempt beside one that is late; None: never."""
    breaker: Breaker | None = field(default=BreakerPolicy())
    """When to stop calling a deployment for a while; None: never."""
    outlier: OutlierPolicy | None = field(default=None)
    """When to eject a deployment that is worse than the others, as Envoy; None: never."""
    when_all_open: WhenAllOpen = field(default=FailWhenOpen())
    """What a request does when every deployment refuses. Fails, as in LiteLLM and resilience4j."""
    limits: LimitsPolicy = field(default=LimitsPolicy())
    """How much may be asked of a deployment or an account: rates, concurrency, throttles. By default
    nothing is limited."""
    spend: SpendPolicy | None = field(default=None)
    """A hard cap on what a request and a day may cost; None: no cap."""
    queue: QueuePolicy | None = field(default=None)
    """Where requests wait in line: for a place in the Router, for the end of a rate limit; None: nowhere."""
    regions: RegionPolicy = field(default=RegionPolicy())
    """How the region of a request counts."""
    selection: Selection = field(default=Ordered())
    """The order within a tier and, with affinity, within and outside the region."""
    fallbacks: FallbackPolicy | None = field(default=None)
    """Chains of deployments to try after a tier or a deployment, in general and for requests that do not fit
    its context window or its content policy; None: the tiers are all there is."""
    pre_call_checks: bool = setting(False)
    """Pass over deployments whose context window the prompt plus ``max_tokens`` does not fit, where another
    one fits. False as LiteLLM's ``enable_pre_call_checks``."""

    streaming: StreamingPolicy | None = field(default=None)
    """How streams are read. None: ``handle`` sends requests with ``stream`` like any other, and
    `Router.stream` goes by the defaults of the section."""
    cache: CachePolicy | None = field(default=None)
    """When an earlier answer to a question that is alike is given instead of a new one; None: never."""
    classify: Classification | None = field(default=None)
    """How a request without a tier gets one; None: by its complexity, or the default tier."""
    quality: QualityPolicy | None = field(default=None)
    """Which answers are reviewed and checked; None: none."""
    shadow: ShadowPolicy | None = field(default=None)
    """Which requests are also sent to a deployment whose answers nobody gets; None: none."""
    chaos: ChaosPolicy | None = field(default=None)
    """Failures and delays to inject, for drills; None: none."""
    explain: bool = setting(True)
    """Whether replies and errors carry the list of the decisions behind them."""

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], path: str = "routing") -> Self:
        """Read the ``routing`` section; raises `ConfigError` with paths that begin at ``path``."""
        return super().from_dict(mapping, path)

    def verify(self) -> None:
        """No empty or repeating chain, no attempt longer than the whole request."""
        for tier, chain in self.tiers.items():
            if not chain:
                raise ConfigError(f"tiers.{tier}", [], "at least one deployment")
            for index, name in enumerate(chain):
                if name in chain[:index]:
                    raise ConfigError(f"tiers.{tier}.{index}", name, "each deployment once")
        for name, limit_s in self.timeouts.to_dict().items():
            if limit_s is not None and limit_s > self.deadline_s:
                raise ConfigError(f"timeouts.{name}", limit_s, f"at most deadline_s ({self.deadline_s:g})")
        if self.streaming is not None:
            self.streaming.check(self.timeouts.resolve(self.deadline_s))
        resort = self.when_all_open
        if isinstance(resort, WaitWhenOpen) and (resort.max_wait_s or 0.0) > self.deadline_s:
            expected = f"at most deadline_s ({self.deadline_s:g})"
            raise ConfigError("when_all_open.max_wait_s", resort.max_wait_s, expected)
        waits_s = {
            "cache.timeout_s": None if self.cache is None else self.cache.timeout_s,
            "classify.timeout_s": None if self.classify is None else self.classify.limit_s,
        }
        for where, limit_s in waits_s.items():
            if limit_s is not None and limit_s > self.deadline_s:
                raise ConfigError(where, limit_s, f"at most deadline_s ({self.deadline_s:g})")
        if self.queue is not None:
            self.queue.check(self.deadline_s)
        if self.hedge is not None:
            self.hedge.check(self.deadline_s, self.timeouts.resolve(self.deadline_s), self.max_attempts)

        if isinstance(self.selection, ZoneAware) and self.regions.affinity:
            raise ConfigError("regions.affinity", True, "false where selection is zone_aware")

    def check(self, deployments: Iterable[Named], path: str = "routing") -> None:
        """Refuse, with `ConfigError`, the name of a deployment which does not exist, wherever it stands."""
        known = [deployment.name for deployment in deployments]
        for tier, chain in self.tiers.items():
            for index, name in enumerate(chain):
                if name not in known:
                    raise _unknown(f"{path}.tiers.{tier}.{index}", name, known)
        for section, part in (
            ("selection", self.selection),
            ("fallbacks", self.fallbacks),
            ("retry", self.retry),
            ("limits", self.limits),
            ("spend", self.spend),
            ("chaos", self.chaos),
            ("shadow", self.shadow),
        ):
            for where, name in () if part is None else part.named():
                if name not in known:
                    raise _unknown(f"{path}.{section}.{where}", name, known, where == f"chains.{name}")

    def __call__(self, transport: Transport) -> Handler:
        """A Router for this transport, as ``handle(request)``."""
        return Router(self, transport).handle


def _unknown(path: str, name: str, known: Sequence[str], may_be_a_tier: bool = False) -> ConfigError:
    expected = f"a deployment: {', '.join(known) or 'there is none'}"
    if may_be_a_tier:
        expected = f"a tier ({', '.join(TIERS)}) or {expected}"
    return ConfigError(path, name, expected, nearest(name, [*known, *TIERS] if may_be_a_tier else known))
