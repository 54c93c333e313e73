"""Whole policies at random: every section and kind of `RoutingPolicy`, in every combination."""

from __future__ import annotations

from hypothesis import strategies as st

from simsla.routing import TIERS
from simsla.routing.retries.rule import RETRYABLE

NAMES = ("d0", "d1", "d2", "d3")
REGIONS = ("us", "eu", None)

names = st.sampled_from(NAMES)
several = st.lists(names, min_size=1, max_size=3, unique=True)


def shares(least=0.0, most=1.0):
    return st.floats(least, most)


def some(mapping):
    """Each of the settings or its default."""
    return st.fixed_dictionaries({}, optional=mapping)


def kind(name, required=None, **optional):
    """One kind of section; what is optional may be left to its default."""
    return st.fixed_dictionaries({"kind": st.just(name), **(required or {})}, optional=optional)


def maybe(section):
    """Off as often as on."""
    return st.none() | section


selections = st.one_of(
    kind("ordered"),
    kind("weighted_random", weights=st.dictionaries(names, shares(0, 5))),
    kind("round_robin"),
    kind("least_outstanding"),
    kind("power_of_d", choices=st.integers(1, 3)),
    kind("peak_ewma", decay_s=shares(1, 20)),
    kind("latency", samples=st.integers(1, 10), buffer=shares()),
    kind("cost"),
    kind("usage", limits=st.dictionaries(names, some({"tpm": st.integers(1, 99), "rpm": st.integers(1, 9)}))),
    kind("priority", levels=st.dictionaries(names, st.integers(0, 2)), panic_threshold=shares()),
    kind("p99_shift", {"threshold_s": shares(0.01, 5)}, interval_s=shares(0.5, 10)),
    kind("price_weighted", outage_failures=st.integers(1, 3)),
    kind("adaptive_weights", interval_s=shares(0.5, 5)),
)
zone_aware = kind("zone_aware", min_deployments=st.integers(1, 3))

backoffs = st.one_of(
    *(kind(name, base_s=shares(0, 2), cap_s=shares(2, 5)) for name in ("full", "equal", "exponential")),
    *(kind(name, base_s=shares(0, 2), cap_s=shares(2, 5)) for name in ("decorrelated", "openai", "aws")),
    *(kind(name, base_s=shares(0, 2)) for name in ("litellm", "grpc", "bifrost", "polly", "stamina")),
    kind("envoy"),
    kind("constant", interval_s=shares(0, 2)),
)
error_retries = some({"max_attempts": st.integers(1, 3), "retry_after_cap_s": shares(0, 9)})
retries = some(
    {
        "max_attempts": st.integers(1, 3),
        "on_errors": st.lists(st.sampled_from(RETRYABLE), unique=True),
        "backoff": backoffs,
        "retry_after_cap_s": shares(0, 9),
        "per_error": st.dictionaries(st.sampled_from(RETRYABLE), error_retries, max_size=2),
        "per_deployment": st.dictionaries(names, error_retries, max_size=2),
    }
)
budgets = st.one_of(
    kind("finagle", ratio=shares(0.1, 1), reserve_per_s=shares(0, 1)),
    kind("envoy", ratio=shares(), min_retries=st.integers(0, 2)),
    kind("grpc", max_tokens=shares(1, 10)),
    kind("aws", capacity=shares(14, 50)),
)
ramps = kind("steps", over_s=shares(1, 30)) | kind("linear", over_s=shares(1, 30))
opening = {
    "open_s": shares(0.1, 20),
    "half_open_probes": st.integers(1, 2),
    "open_growth": shares(1, 2),
    "jitter": shares(),
    "ramp": maybe(ramps),
}
breakers = st.one_of(
    kind("consecutive", failures=st.integers(1, 3), **opening),
    kind("ratio", window_calls=st.integers(1, 5), min_calls=st.integers(1, 5), **opening),
    kind("ratio", window=st.just("time"), min_calls=st.integers(1, 5), slow_call_s=shares(0.1, 2), **opening),
    kind("polly", minimum_throughput=st.integers(2, 4), **opening),
    kind("finagle", failures=st.integers(1, 3), open_s=shares(0.1, 20), ramp=maybe(ramps)),
    kind("litellm", allowed_fails=st.none() | st.integers(0, 2), ramp=maybe(ramps), extend=st.booleans()),
    kind("portkey", failure_threshold=st.integers(1, 3), ramp=maybe(ramps)),
)
outliers = some(
    {
        "consecutive_5xx": st.integers(1, 3),
        "interval_s": shares(0.5, 10),
        "base_ejection_s": shares(0.5, 20),
        "max_ejection_percent": shares(0, 100),
        "max_ejection_jitter_s": shares(0, 2),
        "panic_threshold": shares(),
    }
)
resorts = kind("fail") | kind("wait", max_wait_s=shares(0.1, 3)) | kind("least_bad")

quota = {"rpm": shares(1, 60), "tpm": shares(10, 5000), "max_concurrent": st.integers(1, 2)}
accounts = st.fixed_dictionaries(
    {"deployments": several, "max_concurrent": st.integers(1, 3)}, optional={"rpm": shares(1, 60)}
)
adaptive = st.one_of(
    kind("aimd", {"min_limit": st.just(1), "initial_limit": st.integers(1, 3)}),
    kind("gradient2", {"min_limit": st.just(1), "initial_limit": st.integers(1, 3)}),
    kind("envoy_gradient", min_concurrency=st.integers(1, 3), requests=st.integers(1, 3)),
)
throttles = kind("sre", min_requests=st.integers(0, 3)) | kind("envoy", min_rps=shares(0, 1))
limits = some(
    {
        "each": some(quota),
        "deployments": st.dictionaries(names, some(quota), max_size=2),
        "accounts": st.dictionaries(st.just("shared"), accounts),
        "burst_s": shares(1, 60),
        "adaptive": maybe(adaptive),
        "throttle": maybe(throttles),
        "adaptive_rate": maybe(kind("aws")),
    }
)
spends = st.fixed_dictionaries({"per_request_usd": shares(1e-5, 2e-3)}) | st.fixed_dictionaries(
    {"per_day_usd": shares(1e-5, 1e-2)}
)
queues = st.fixed_dictionaries(
    {"on_rate_limit": st.booleans(), "max_concurrent": st.integers(1, 3)},
    optional={
        "max_waiting": st.integers(0, 3),
        "max_wait_s": shares(0.1, 3),
        "order": st.sampled_from(("priority", "fifo", "deadline")),
        "retry_after_s": shares(0.1, 3),
    },
) | st.just({"on_rate_limit": True})

hedge_budgets = st.fixed_dictionaries({"ratio": shares()}, optional={"reserve": shares(1, 5)})
hedging = {
    "on": st.sampled_from(("completion", "first_token")),
    "max_hedges": st.integers(1, 2),
    "to": st.sampled_from(("other", "any")),
    "min_headroom_s": shares(0, 1),
}
hedges = st.one_of(
    kind("fixed", {"budget": hedge_budgets, "delay_s": shares(0, 0.4)}, **hedging),
    kind(
        "percentile",
        {"budget": hedge_budgets, "percentile": st.just(0.5)},
        min_samples=st.integers(1, 5),
        initial_delay_s=st.none() | shares(0.01, 0.4),
        per=st.sampled_from(("model", "deployment")),
        **hedging,
    ),
)

# From an earlier to a later deployment, so that there is no loop.
chains = st.fixed_dictionaries({}, optional={"d0": st.just(["d1", "d3"]), "d1": st.just(["d2"])})
fallbacks = some(
    {
        "chains": st.dictionaries(st.sampled_from(TIERS), several) | chains,
        "default": st.lists(names, max_size=2, unique=True),
        "context_window": chains,
        "content_policy": chains,
        "max_fallbacks": st.integers(1, 3),
    }
)
streaming = some({"resume": st.booleans(), "guard": maybe(st.just({"min_tokens_per_s": 5, "over_s": 0.5}))})
caches = st.fixed_dictionaries(
    {"threshold": shares(0.5, 1)},
    optional={
        "ttl_s": shares(0.5, 20),
        "capacity": st.integers(1, 3),
        "timeout_s": st.none() | shares(0.01, 1),
        "serve_lower_tiers": st.booleans(),
    },
)
classifications = st.one_of(
    kind("rules"), kind("call", timeout_s=shares(0.1, 2)), kind("routellm", {"threshold": shares()})
)
qualities = st.fixed_dictionaries(
    {"human_review_share": shares(0, 0.5), "automated_check_share": shares(0, 0.5)},
    optional={"timeout_s": shares(0.1, 9), "max_in_flight": st.integers(1, 3)},
)
shadows = st.fixed_dictionaries(
    {"deployment": names, "timeout_s": shares(0.1, 9)},
    optional={"share": shares(), "max_in_flight": st.integers(1, 3)},
)
regions = st.sampled_from(({}, {"affinity": True, "failover": False}, {"affinity": False, "failover": True}))
distances = st.one_of(
    st.fixed_dictionaries({"regions": regions, "selection": selections}),
    st.fixed_dictionaries({"regions": st.just({"affinity": False}), "selection": zone_aware}),
)
timeouts = some({"total_s": shares(1.5, 4), "first_token_s": shares(0.5, 4), "idle_s": shares(0.5, 4)})
rest = st.fixed_dictionaries(
    {
        "deadline_s": shares(4, 20),
        "timeouts": timeouts,
        "max_attempts": st.integers(3, 8),
        "explain": st.booleans(),
    },
    optional={
        "tiers": st.dictionaries(st.sampled_from(TIERS), several, max_size=2),
        "default_tier": st.sampled_from(TIERS),
        "degrade": st.booleans(),
        "pre_call_checks": st.booleans(),
        "retry": retries,
        "retry_budget": maybe(budgets),
        "breaker": maybe(breakers),
        "outlier": maybe(outliers),
        "when_all_open": resorts,
        "limits": limits,
        "spend": maybe(spends),
        "hedge": maybe(hedges),
        "queue": maybe(queues),
        "fallbacks": maybe(fallbacks),
        "streaming": maybe(streaming),
        "cache": maybe(caches),
        "classify": maybe(classifications),
        "quality": maybe(qualities),
        "shadow": maybe(shadows),
    },
)
policies = st.builds(lambda first, second: first | second, distances, rest)
"""What `RoutingPolicy.from_dict` takes, for the deployments called `NAMES`."""
