"""The router, deployable on its own: nothing here needs more than the standard library."""

from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.caching.backend import CacheBackend, CacheEntry
from simsla.routing.caching.embedding import HashedWords
from simsla.routing.caching.index import MemoryIndex
from simsla.routing.caching.semantic import CachePolicy
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
from simsla.routing.explanation import Explanation
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
from simsla.routing.limits.policy import AccountQuota, LimitsPolicy, Quota
from simsla.routing.limits.spend import SpendPolicy
from simsla.routing.policy import AttemptTimeouts, RegionPolicy, RoutingPolicy
from simsla.routing.production.openai_transport import OpenAITransport
from simsla.routing.progress import Progress
from simsla.routing.retries.backoff import FullJitter
from simsla.routing.retries.budget import AWSBudget, EnvoyBudget, FinagleBudget, GRPCBudget
from simsla.routing.retries.rule import ErrorRetry, RetryPolicy
from simsla.routing.router import Router
from simsla.routing.router.backends import Backends
from simsla.routing.router.reply_stream import ReplyStream
from simsla.routing.sampling.quality import QualityPolicy
from simsla.routing.sampling.shadow import ShadowPolicy
from simsla.routing.selection.fallback_selector import Step
from simsla.routing.selection.fallbacks import FallbackPolicy
from simsla.routing.selection.tiers import ComplexityCuts
from simsla.routing.streaming.guard import ThroughputGuard
from simsla.routing.streaming.policy import StreamingPolicy
from simsla.routing.transport import Handler, PolicyFactory, Transport
from simsla.routing.types import TIERS, Chunk, Deployment, Reply, Request, RequestId, Timeouts

__all__ = [
    "ATTEMPT_ERRORS",
    "TIERS",
    "AWSBudget",
    "AccountQuota",
    "AllAttemptsFailed",
    "AttemptError",
    "AttemptTimeout",
    "AttemptTimeouts",
    "AuthenticationFailed",
    "Backends",
    "BadRequest",
    "BreakerPolicy",
    "CacheBackend",
    "CacheEntry",
    "CachePolicy",
    "CallClassifier",
    "Chunk",
    "CircuitBreaker",
    "ComplexityCuts",
    "ConfigError",
    "ConnectError",
    "ContentFiltered",
    "ContextLengthExceeded",
    "DeadlineExceeded",
    "Deployment",
    "EnvoyBudget",
    "ErrorRetry",
    "Explanation",
    "FailWhenOpen",
    "FallbackPolicy",
    "FinagleBreaker",
    "FinagleBudget",
    "FixedHedge",
    "FullJitter",
    "GRPCBudget",
    "Handler",
    "HashedWords",
    "HedgeBudget",
    "LeastBadWhenOpen",
    "LimitsPolicy",
    "LinearRamp",
    "LiteLLMCooldown",
    "MalformedReply",
    "MemoryIndex",
    "NoDeployment",
    "NotFound",
    "OpenAITransport",
    "OutlierPolicy",
    "PercentileHedge",
    "PolicyFactory",
    "PollyBreaker",
    "PortkeyBreaker",
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
    "Step",
    "StepRamp",
    "StreamInterrupted",
    "StreamingPolicy",
    "ThroughputGuard",
    "Timeouts",
    "Transport",
    "WaitWhenOpen",
]
