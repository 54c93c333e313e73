"""The router, deployable on its own: nothing here needs more than the standard library."""

from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.caching.backend import CacheBackend, CacheEntry
from simsla.routing.caching.embedding import HashedWords
from simsla.routing.caching.index import MemoryIndex
from simsla.routing.caching.semantic import CachePolicy
from simsla.routing.chaos.policy import ChaosPolicy
from simsla.routing.classification.model import CallClassifier, RouteLLMThreshold
from simsla.routing.classification.rules import Rules
from simsla.routing.errors import (
    ATTEMPT_ERRORS,
    AllAttemptsFailed,
    AttemptError,
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    DeadlineExceeded,
    MalformedReply,
    NoDeployment,
    NotFound,
    RateLimited,
    RoutingError,
    ServerError,
    ServiceUnavailable,
    Shed,
    StreamInterrupted,
)
from simsla.routing.explanation import Explanation, Step
from simsla.routing.health.accrual import FinagleBreaker
from simsla.routing.health.breaker import BreakerPolicy
from simsla.routing.health.cooldown import LiteLLMCooldown, PortkeyBreaker
from simsla.routing.health.last_resort import FailWhenOpen, LeastBadWhenOpen, WaitWhenOpen
from simsla.routing.health.machine import CircuitBreaker
from simsla.routing.health.outlier import OutlierPolicy
from simsla.routing.health.ramp import LinearRamp, StepRamp
from simsla.routing.health.ratio import PollyBreaker, RatioBreaker
from simsla.routing.hedging.budget import HedgeBudget
from simsla.routing.hedging.policy import FixedHedge, PercentileHedge
from simsla.routing.limits.cubic import AWSRate
from simsla.routing.limits.envoy import EnvoyGradient
from simsla.routing.limits.netflix import AimdLimit, Gradient2Limit
from simsla.routing.limits.policy import AccountQuota, LimitsPolicy, Quota
from simsla.routing.limits.spend import AccountCap, SpendPolicy
from simsla.routing.limits.throttle import EnvoyThrottle, SreThrottle
from simsla.routing.policy import AttemptTimeouts, RegionPolicy, RoutingPolicy
from simsla.routing.production.openai_transport import OpenAITransport
from simsla.routing.progress import Progress
from simsla.routing.retries.backoff import DecorrelatedJitter, EqualJitter, Exponential, FullJitter
from simsla.routing.retries.backoff_libraries import PollyBackoff, StaminaBackoff
from simsla.routing.retries.backoff_sdk import (
    AWSBackoff,
    BifrostBackoff,
    Constant,
    EnvoyBackoff,
    GRPCBackoff,
    LiteLLMBackoff,
    OpenAIBackoff,
)
from simsla.routing.retries.budget import AWSBudget, EnvoyBudget, FinagleBudget, GRPCBudget
from simsla.routing.retries.rule import ErrorRetry, RetryPolicy
from simsla.routing.router import Router
from simsla.routing.router.backends import Backends
from simsla.routing.router.reply_stream import ReplyStream
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
from simsla.routing.selection.measure import CostRanking, LatencyRanking, UsageLimit, UsageRanking
from simsla.routing.selection.price_weighted import PriceWeighted
from simsla.routing.selection.priority import P99Shift, PriorityRanking
from simsla.routing.selection.tiers import ComplexityCuts
from simsla.routing.selection.zone_aware import ZoneAware
from simsla.routing.streaming.guard import ThroughputGuard
from simsla.routing.streaming.policy import StreamingPolicy
from simsla.routing.transport import Handler, PolicyFactory, Transport
from simsla.routing.types import TIERS, Chunk, Deployment, Reply, Request, RequestId, Timeouts

__all__ = [
    "ATTEMPT_ERRORS",
    "TIERS",
    "AWSBackoff",
    "AWSBudget",
    "AWSRate",
    "AccountCap",
    "AccountQuota",
    "AdaptiveWeights",
    "AimdLimit",
    "AllAttemptsFailed",
    "AttemptError",
    "AttemptTimeout",
    "AttemptTimeouts",
    "AuthenticationFailed",
    "Backends",
    "BadRequest",
    "BifrostBackoff",
    "BreakerPolicy",
    "CacheBackend",
    "CacheEntry",
    "CachePolicy",
    "CallClassifier",
    "ChaosPolicy",
    "Chunk",
    "CircuitBreaker",
    "ComplexityCuts",
    "ConfigError",
    "ConnectError",
    "Constant",
    "ContentFiltered",
    "ContextLengthExceeded",
    "CostRanking",
    "DeadlineExceeded",
    "DecorrelatedJitter",
    "Deployment",
    "EnvoyBackoff",
    "EnvoyBudget",
    "EnvoyGradient",
    "EnvoyThrottle",
    "EqualJitter",
    "ErrorRetry",
    "Explanation",
    "Exponential",
    "FailWhenOpen",
    "FallbackPolicy",
    "FinagleBreaker",
    "FinagleBudget",
    "FixedHedge",
    "FullJitter",
    "GRPCBackoff",
    "GRPCBudget",
    "Gradient2Limit",
    "Handler",
    "HashedWords",
    "HedgeBudget",
    "LatencyRanking",
    "LeastBadWhenOpen",
    "LeastOutstanding",
    "LimitsPolicy",
    "LinearRamp",
    "LiteLLMBackoff",
    "LiteLLMCooldown",
    "MalformedReply",
    "MemoryIndex",
    "NoDeployment",
    "NotFound",
    "OpenAIBackoff",
    "OpenAITransport",
    "Ordered",
    "OutlierPolicy",
    "P99Shift",
    "PeakEwma",
    "PercentileHedge",
    "PolicyFactory",
    "PollyBackoff",
    "PollyBreaker",
    "PortkeyBreaker",
    "PowerOfD",
    "PriceWeighted",
    "PriorityRanking",
    "Progress",
    "QualityPolicy",
    "QueuePolicy",
    "Quota",
    "RateLimited",
    "RatioBreaker",
    "RegionPolicy",
    "Reply",
    "ReplyStream",
    "Request",
    "RequestId",
    "RetryPolicy",
    "RoundRobin",
    "RouteLLMThreshold",
    "Router",
    "RoutingError",
    "RoutingPolicy",
    "Rules",
    "ServerError",
    "ServiceUnavailable",
    "ShadowPolicy",
    "Shed",
    "SpendPolicy",
    "SreThrottle",
    "StaminaBackoff",
    "Step",
    "StepRamp",
    "StreamInterrupted",
    "StreamingPolicy",
    "ThroughputGuard",
    "Timeouts",
    "Transport",
    "UsageLimit",
    "UsageRanking",
    "WaitWhenOpen",
    "WeightedRandom",
    "ZoneAware",
]
