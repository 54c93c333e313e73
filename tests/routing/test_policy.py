from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import ScriptedTransport, copied, deployment

from simsla.routing import TIERS, AttemptTimeouts, BreakerPolicy, ConfigError, Router, RoutingPolicy, Timeouts
from simsla.routing.retries.rule import RETRYABLE


@pytest.mark.parametrize(
    ("values", "path", "suggestion"),
    [
        ({"retri": {}}, "routing.retri", "retry"),
        ({"retry": {"max_attempts": 0}}, "routing.retry.max_attempts", None),
        ({"retry": {"max_attempts": True}}, "routing.retry.max_attempts", None),
        ({"retry": {"max_atempts": 2}}, "routing.retry.max_atempts", "max_attempts"),
        ({"retry": {"on_errors": ["time_out"]}}, "routing.retry.on_errors.0", "timeout"),
        ({"retry": {"on_errors": ["connect", "bad_request"]}}, "routing.retry.on_errors.1", None),
        ({"retry": {"backoff": {"kind": "ful"}}}, "routing.retry.backoff.kind", "full"),
        ({"retry": {"backoff": {"base_s": -1}}}, "routing.retry.backoff.base_s", None),
        ({"tiers": {"premum": ["a"]}}, "routing.tiers.premum", "premium"),
        ({"tiers": {"premium": []}}, "routing.tiers.premium", None),
        ({"tiers": {"premium": ["a", "b", "a"]}}, "routing.tiers.premium.2", None),
        ({"default_tier": "standart"}, "routing.default_tier", "standard"),
        ({"complexity": {"standard": 0.8, "premium": 0.7}}, "routing.complexity.premium", None),
        ({"complexity": {"premium": 1.1}}, "routing.complexity.premium", None),
        ({"deadline_s": 0}, "routing.deadline_s", None),
        ({"deadline_s": 10, "timeouts": {"total_s": "11s"}}, "routing.timeouts.total_s", None),
        ({"deadline_s": 10, "timeouts": {"connect_s": 11}}, "routing.timeouts.connect_s", None),
        ({"max_attempts": 0}, "routing.max_attempts", None),
        ({"breaker": False}, "routing.breaker", None),
        ({"breaker": {"open_s": 0}}, "routing.breaker.open_s", None),
        ({"breaker": {"half_open_probes": 0}}, "routing.breaker.half_open_probes", None),
        ({"regions": {"affinity": False, "failover": False}}, "routing.regions.failover", None),
        ({"degrade": "no"}, "routing.degrade", None),
    ],
)
def test_impossible_policies_are_refused_when_read(values, path, suggestion):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict(values)
    assert (caught.value.path, caught.value.suggestion) == (path, suggestion)


def test_the_path_begins_where_the_section_stands():
    with pytest.raises(ConfigError, match=r"^production\.max_attempts: expected an integer >= 1, got -1"):
        RoutingPolicy.from_dict({"max_attempts": -1}, path="production")


def test_a_deployment_that_does_not_exist_is_refused_with_the_nearest():
    policy = RoutingPolicy(tiers={"standard": ["flash", "prro"]})
    known = [deployment("flash"), deployment("pro")]
    with pytest.raises(ConfigError, match=r"^routing\.tiers\.standard\.1: .*got 'prro'; did you mean 'pro'"):
        policy.check(known)
    with pytest.raises(ConfigError, match=r"^file\.tiers\.standard\.1: "):
        policy.check(known, path="file")
    with pytest.raises(ConfigError, match="prro"):
        Router(policy, ScriptedTransport(known))
    RoutingPolicy(tiers={"standard": ["flash", "pro"]}).check(known)


def test_timeouts_left_out_adapt_to_the_deadline():
    assert AttemptTimeouts().resolve(60.0) == Timeouts(5.0, 30.0, 30.0, 30.0)
    assert AttemptTimeouts().resolve(2.0) == Timeouts(2.0, 1.0, 1.0, 1.0)
    assert AttemptTimeouts(1, 2, 3, 4).resolve(60.0) == Timeouts(1.0, 2.0, 3.0, 4.0)
    RoutingPolicy(deadline_s=0.1)


names = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4, unique=True)
policies = st.fixed_dictionaries(
    {},
    optional={
        "tiers": st.dictionaries(st.sampled_from(TIERS), names),
        "default_tier": st.sampled_from(TIERS),
        "degrade": st.booleans(),
        "deadline_s": st.floats(10, 1e6),
        "timeouts": st.fixed_dictionaries(
            {}, optional={"connect_s": st.floats(0.1, 10), "total_s": st.just("5s")}
        ),
        "max_attempts": st.integers(1, 100),
        "retry": st.fixed_dictionaries(
            {},
            optional={
                "max_attempts": st.integers(1, 9),
                "on_errors": st.lists(st.sampled_from(RETRYABLE)),
                "backoff": st.fixed_dictionaries(
                    {"kind": st.just("full")}, optional={"cap_s": st.floats(0, 60)}
                ),
            },
        ),
        "breaker": st.none() | st.fixed_dictionaries({}, optional={"failures": st.integers(1, 9)}),
    },
)


@given(policies)
def test_a_policy_survives_files_processes_and_sets(values):
    policy = RoutingPolicy.from_dict(values)
    assert RoutingPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert copied(policy) == policy
    assert hash(RoutingPolicy.from_dict(values)) == hash(policy)


def test_a_policy_made_in_python_is_the_one_from_the_file():
    written = {"tiers": {"economy": ["a"]}, "breaker": {"failures": 2}, "deadline_s": "2m"}
    made = RoutingPolicy(tiers={"economy": ("a",)}, breaker=BreakerPolicy(failures=2), deadline_s=120)
    assert RoutingPolicy.from_dict(written) == made
