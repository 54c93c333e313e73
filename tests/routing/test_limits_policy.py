from __future__ import annotations

import random

import pytest
from routing.fakes import copied, deployment

from simsla.routing import ConfigError, RoutingPolicy
from simsla.routing.limits.adaptive import AdaptiveLimit
from simsla.routing.limits.bulkhead import Bulkhead
from simsla.routing.limits.cubic import CubicRate
from simsla.routing.limits.rate import RateLimit

WORLD = [deployment("flash"), deployment("pro")]
EVERYTHING = {
    "deployments": {"flash": {"rpm": 100, "max_concurrent": 5}},
    "each": {"tpm": 1000},
    "accounts": {"team": {"deployments": ["flash", "pro"], "rpm": 50, "max_concurrent": 8}},
    "adaptive": {"kind": "gradient2", "signal": "first_token"},
    "throttle": {"kind": "sre"},
    "adaptive_rate": {"kind": "aws"},
}


def build(**limits):
    policy = RoutingPolicy.from_dict({"limits": limits})
    return policy.limits.build(WORLD, random.Random(1))


def test_nothing_is_limited_and_nothing_is_built_by_default():
    assert build() == {"flash": (), "pro": ()}
    assert build(each={}, deployments={"pro": {}}) == {"flash": (), "pro": ()}


def test_every_limit_has_its_place():
    parts = build(**EVERYTHING)
    assert [type(each) for each in parts["flash"]][1:] == [
        Bulkhead,
        Bulkhead,
        AdaptiveLimit,
        CubicRate,
        RateLimit,
    ]
    assert parts["flash"][0].refusal == parts["pro"][0].refusal == "throttled"
    shared = [each for each in parts["flash"] if any(each is other for other in parts["pro"])]
    assert [each.refusal for each in shared] == ["concurrency limit of account team"]


@pytest.mark.parametrize(
    "limits",
    [
        EVERYTHING,
        {"adaptive": {"kind": "aimd"}},
        {"adaptive": {"kind": "envoy_gradient"}},
        {"throttle": {"kind": "envoy"}},
    ],
)
def test_limits_round_trip(limits):
    policy = RoutingPolicy.from_dict({"limits": limits})
    assert RoutingPolicy.from_dict(policy.to_dict()) == copied(policy) == policy


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"each": {"rpm": 0}}, "each.rpm"),
        ({"each": {"rpm": True}}, "each.rpm"),
        ({"each": {"max_concurrent": 2.5}}, "each.max_concurrent"),
        ({"deployments": {"flash": {"tmp": 5}}}, "deployments.flash.tmp"),
        ({"accounts": {"x": {"rpm": 5}}}, "accounts.x.deployments"),
        ({"accounts": {"x": {"deployments": [], "rpm": 5}}}, "accounts.x.deployments"),
        ({"accounts": {"x": {"deployments": ["pro"]}}}, "accounts.x.rpm"),
        ({"accounts": {"x": {"deployments": ["pro", "pro"], "rpm": 5}}}, "accounts.x.deployments.1"),
        ({"burst_s": 0}, "burst_s"),
        ({"adaptive": {"kind": "vegas"}}, "adaptive.kind"),
        ({"adaptive": {"signal": "rtt"}}, "adaptive.signal"),
        ({"adaptive": {"max_limit": 10}}, "adaptive.max_limit"),
        ({"adaptive": {"kind": "gradient2", "initial_limit": 500}}, "adaptive.initial_limit"),
        ({"adaptive": {"backoff_ratio": 1.0}}, "adaptive.backoff_ratio"),
        ({"adaptive": {"kind": "envoy_gradient", "max_concurrency": 2}}, "adaptive.max_concurrency"),
        ({"adaptive": {"kind": "envoy_gradient", "percentile": 0}}, "adaptive.percentile"),
        ({"throttle": {"k": 0.5}}, "throttle.k"),
        ({"throttle": {"kind": "envoy", "threshold": 95}}, "throttle.threshold"),
        ({"adaptive_rate": {"beta": 1.0}}, "adaptive_rate.beta"),
    ],
)
def test_impossible_limits_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"limits": values})
    assert caught.value.path == f"routing.limits.{path}"


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        ({"deployments": {"flsh": {"rpm": 1}}}, "deployments.flsh"),
        ({"accounts": {"x": {"deployments": ["pro", "flsh"], "rpm": 1}}}, "accounts.x.deployments.1"),
    ],
)
def test_unknown_deployments_are_refused_with_the_nearest(limits, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"limits": limits}).check(WORLD)
    assert (caught.value.path, caught.value.suggestion) == (f"routing.limits.{path}", "flash")
