"""Mistakes in a configuration: each is refused when read, with its path and the nearest name."""

from __future__ import annotations

import re

import pytest
from routing.fakes import ScriptedTransport, deployment

from simsla.routing import ConfigError, Router, RoutingPolicy
from simsla.scenario import Scenario, ScenarioError

NAMES = ("fast", "main", "spare")
WORLD = [deployment(name) for name in NAMES]
SCENARIO = {
    "horizon": "1h",
    "deployments": {name: {"model": "m", "latency": {"total": 1}} for name in NAMES},
    "traffic": {"chat": {"arrivals": {"kind": "poisson", "rate": 1}, "prompt_tokens": 9, "output_tokens": 9}},
}

LOOP = {"chains": {"fast": ["main"], "main": ["spare"], "spare": ["fast"]}}
RPM = {"rpm": 1}
HEDGE = {"budget": {"ratio": 0.1}}

UNKNOWN = [
    ({"tiers": {"standard": ["fast", "spares"]}}, "tiers.standard.1"),
    ({"selection": {"kind": "weighted_random", "weights": {"spares": 1}}}, "selection.weights.spares"),
    ({"selection": {"kind": "usage", "limits": {"spares": {"rpm": 1}}}}, "selection.limits.spares"),
    ({"selection": {"kind": "priority", "levels": {"spares": 1}}}, "selection.levels.spares"),
    ({"fallbacks": {"chains": {"spares": ["fast"]}}}, "fallbacks.chains.spares"),
    ({"fallbacks": {"chains": {"fast": ["spares"]}}}, "fallbacks.chains.fast.0"),
    ({"fallbacks": {"chains": {"premium": ["spares"]}}}, "fallbacks.chains.premium.0"),
    ({"fallbacks": {"default": ["main", "spares"]}}, "fallbacks.default.1"),
    ({"fallbacks": {"context_window": {"fast": ["spares"]}}}, "fallbacks.context_window.fast.0"),
    ({"fallbacks": {"context_window": {"spares": ["fast"]}}}, "fallbacks.context_window.spares"),
    ({"fallbacks": {"content_policy": {"spares": ["fast"]}}}, "fallbacks.content_policy.spares"),
    ({"retry": {"per_deployment": {"spares": {"max_attempts": 1}}}}, "retry.per_deployment.spares"),
    ({"limits": {"deployments": {"spares": {"rpm": 1}}}}, "limits.deployments.spares"),
    ({"limits": {"accounts": {"a": {"deployments": ["spares"]} | RPM}}}, "limits.accounts.a.deployments.0"),
    ({"shadow": {"deployment": "spares"}}, "shadow.deployment"),
]

OTHERS = [
    # A fall-back loop.
    ({"fallbacks": LOOP}, "fallbacks.chains.spare.0", None),
    ({"fallbacks": {"chains": {"fast": ["fast"]}}}, "fallbacks.chains.fast.0", None),
    (
        {"fallbacks": {"context_window": {"fast": ["main"]}, "content_policy": {"main": ["fast"]}}},
        "fallbacks.content_policy.main.0",
        None,
    ),
    # A time above the deadline.
    ({"deadline_s": 10, "timeouts": {"total_s": 11}}, "timeouts.total_s", None),
    ({"deadline_s": 10, "timeouts": {"first_token_s": "11s"}}, "timeouts.first_token_s", None),
    ({"deadline_s": 10, "timeouts": {"idle_s": 11}}, "timeouts.idle_s", None),
    ({"deadline_s": 1, "timeouts": {"connect_s": 2}}, "timeouts.connect_s", None),
    ({"deadline_s": 1, "cache": {"threshold": 0.9, "timeout_s": 2}}, "cache.timeout_s", None),
    ({"deadline_s": 1, "classify": {"kind": "call"}}, "classify.timeout_s", None),
    ({"deadline_s": 1, "queue": {"max_concurrent": 1, "max_wait_s": 2}}, "queue.max_wait_s", None),
    ({"deadline_s": 1, "queue": {"max_concurrent": 1, "min_service_s": 2}}, "queue.min_service_s", None),
    ({"deadline_s": 1, "when_all_open": {"kind": "wait", "max_wait_s": 2}}, "when_all_open.max_wait_s", None),
    ({"deadline_s": 3, "hedge": HEDGE}, "hedge.delay_s", None),
    ({"streaming": {"guard": {"min_tokens_per_s": 1, "over_s": 30}}}, "streaming.guard.over_s", None),
    # Hedges without a budget, or without an attempt to spare.
    ({"hedge": {}}, "hedge.budget", None),
    ({"hedge": {"kind": "percentile", "budget": {}}}, "hedge.budget.ratio", None),
    ({"hedge": HEDGE, "max_attempts": 1}, "hedge.max_hedges", None),
    # Booleans and strings are no numbers.
    ({"max_attempts": True}, "max_attempts", None),
    ({"max_attempts": "3"}, "max_attempts", None),
    ({"max_attempts": 2.0}, "max_attempts", None),
    ({"deadline_s": "sixty"}, "deadline_s", None),
    ({"deadline_s": "60"}, "deadline_s", None),
    ({"deadline_s": False}, "deadline_s", None),
    ({"deadline_s": float("nan")}, "deadline_s", None),
    ({"deadline_s": float("inf")}, "deadline_s", None),
    ({"cache": {"threshold": "0.9"}}, "cache.threshold", None),
    ({"spend": {"per_day_usd": True}}, "spend.per_day_usd", None),
    ({"limits": {"each": {"rpm": "10"}}}, "limits.each.rpm", None),
    ({"selection": {"kind": "weighted_random", "weights": {"fast": True}}}, "selection.weights.fast", None),
    ({"explain": 1}, "explain", None),
    ({"explain": "true"}, "explain", None),
    # A name that is nearly right.
    ({"retrys": {}}, "retrys", "retry"),
    ({"hedge": HEDGE | {"kind": "percentil"}}, "hedge.kind", "percentile"),
    ({"selection": {"kind": "peak_emwa"}}, "selection.kind", "peak_ewma"),
    ({"breaker": {"kind": "polli"}}, "breaker.kind", "polly"),
    ({"retry_budget": {"kind": "finagel"}}, "retry_budget.kind", "finagle"),
    ({"when_all_open": {"kind": "least-bad"}}, "when_all_open.kind", "least_bad"),
    ({"queue": {"max_concurent": 1}}, "queue.max_concurent", "max_concurrent"),
    ({"cache": {"threshold": 0.9, "per": ["cliant"]}}, "cache.per.0", "client"),
    ({"classify": {"kind": "rule"}}, "classify.kind", "rules"),
    ({"quality": {"human_reviw_share": 0.1}}, "quality.human_reviw_share", "human_review_share"),
    ({"fallbacks": {"chains": {"premuim": ["fast"]}}}, "fallbacks.chains.premuim", "premium"),
    ({"limits": {"adaptive": {"kind": "gradient"}}}, "limits.adaptive.kind", "gradient2"),
    # What each section refuses of its own.
    ({"tiers": {"standard": ["fast", "fast"]}}, "tiers.standard.1", None),
    ({"breaker": {"open_s": 10, "max_open_s": 5}}, "breaker.max_open_s", None),
    ({"outlier": {"max_ejection_s": 5}}, "outlier.max_ejection_s", None),
    ({"outlier": {"max_ejection_percent": 101}}, "outlier.max_ejection_percent", None),
    ({"spend": {}}, "spend.per_request_usd", None),
    ({"spend": {"per_request_usd": 2, "per_day_usd": 1}}, "spend.per_request_usd", None),
    ({"queue": {}}, "queue.max_concurrent", None),
    ({"limits": {"accounts": {"a": {"deployments": [], "rpm": 1}}}}, "limits.accounts.a.deployments", None),
    ({"limits": {"accounts": {"a": {"deployments": ["fast"]}}}}, "limits.accounts.a.rpm", None),
    ({"cache": {}}, "cache.threshold", None),
    ({"shadow": {"deployment": "fast", "share": 2}}, "shadow.share", None),
    ({"regions": {"affinity": False, "failover": False}}, "regions.failover", None),
    ({"selection": {"kind": "zone_aware"}}, "regions.affinity", None),
    ({"classify": {"kind": "routellm"}}, "classify.threshold", None),
    ({"retry": {"backoff": {"kind": "decorrelated", "base_s": 9}}}, "retry.backoff.base_s", None),
    ({"retry": None}, "retry", None),
    ({"retry": 3}, "retry", None),
]


def refusal(values):
    with pytest.raises(ConfigError) as caught:
        Router(RoutingPolicy.from_dict(values), ScriptedTransport(WORLD))
    return caught.value


@pytest.mark.parametrize(("values", "path"), UNKNOWN, ids=[path for _, path in UNKNOWN])
def test_an_unknown_deployment_is_refused_wherever_a_name_may_stand(values, path):
    error = refusal(values)
    assert (error.path, error.value) == (f"routing.{path}", "spares")
    assert error.suggestion == "spare"
    assert all(name in error.expected for name in NAMES)


@pytest.mark.parametrize(("values", "path", "nearest"), OTHERS, ids=[path for _, path, _ in OTHERS])
def test_a_mistake_is_refused_with_its_path_its_value_and_what_was_expected(values, path, nearest):
    error = refusal(values)
    assert (error.path, error.suggestion) == (f"routing.{path}", nearest)
    assert error.expected
    assert str(error).startswith(f"routing.{path}: expected {error.expected}, got ")


EVERY = [(values, path) for values, path, *_ in UNKNOWN + OTHERS]


@pytest.mark.parametrize(("values", "path"), EVERY, ids=[path for _, path in EVERY])
def test_the_same_is_refused_in_a_scenario(values, path):
    error = refusal(values)
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(SCENARIO | {"routing": values})
    (problem,) = caught.value.problems
    assert re.sub(r"\[(\d+)\]", r".\1", problem.path) == f"routing.{path}"
    assert (problem.expected, problem.suggestion) == (error.expected, error.suggestion)
    assert f"scenario: {problem.path}: expected {error.expected}" in str(caught.value)
