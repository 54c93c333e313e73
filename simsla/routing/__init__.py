"""The router, deployable on its own: nothing here needs more than the standard library."""

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
from simsla.routing.health.breaker import BreakerPolicy, CircuitBreaker
from simsla.routing.policy import AttemptTimeouts, RegionPolicy, RoutingPolicy
from simsla.routing.retries.backoff import FullJitter
from simsla.routing.retries.rule import RetryPolicy
from simsla.routing.router import Router
from simsla.routing.selection.tiers import ComplexityCuts
from simsla.routing.transport import Handler, PolicyFactory, Transport
from simsla.routing.types import TIERS, Chunk, Deployment, Reply, Request, RequestId, Timeouts

__all__ = [
    "ATTEMPT_ERRORS",
    "TIERS",
    "AllAttemptsFailed",
    "AttemptError",
    "AttemptTimeout",
    "AttemptTimeouts",
    "AuthenticationFailed",
    "BadRequest",
    "BreakerPolicy",
    "Chunk",
    "CircuitBreaker",
    "ComplexityCuts",
    "ConfigError",
    "ConnectError",
    "ContentFiltered",
    "ContextLengthExceeded",
    "DeadlineExceeded",
    "Deployment",
    "FullJitter",
    "Handler",
    "MalformedReply",
    "NoDeployment",
    "NotFound",
    "PolicyFactory",
    "RateLimited",
    "RegionPolicy",
    "Reply",
    "Request",
    "RequestId",
    "RetryPolicy",
    "Router",
    "RoutingError",
    "RoutingPolicy",
    "ServerError",
    "ServiceUnavailable",
    "Shed",
    "StreamInterrupted",
    "Timeouts",
    "Transport",
]
