from __future__ import annotations

import heapq
import math
import random
from itertools import accumulate
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import copied, deployment

from simsla.routing import (
    ConfigError,
    FullJitter,
    NotFound,
    RateLimited,
    Request,
    RetryPolicy,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.protocols import NEXT, Failure
from simsla.routing.retries.backoff import DecorrelatedJitter, EqualJitter, Exponential
from simsla.routing.retries.backoff_libraries import PollyBackoff, StaminaBackoff
from simsla.routing.retries.backoff_sdk import (
    AWSBackoff,
    Backoff,
    BifrostBackoff,
    Constant,
    EnvoyBackoff,
    GRPCBackoff,
    LiteLLMBackoff,
    OpenAIBackoff,
)

KINDS = {each.kind: each for each in get_args(Backoff)}


class Fixed(random.Random):
    """A generator that always draws ``u``."""

    def __init__(self, u):
        super().__init__()
        self.u = u

    def random(self):
        return self.u


def delay_s(backoff, retry, u, waited_s=0.0, error=None):
    return backoff.delay_s(retry, waited_s, Fixed(u), error)


@pytest.mark.parametrize(
    ("backoff", "retry", "least_s", "most_s"),
    [
        (FullJitter(0.5, 8.0), 2, 0.0, 2.0),
        (EqualJitter(0.5, 8.0), 2, 1.0, 2.0),
        (EqualJitter(0.5, 8.0), 9, 4.0, 8.0),
        (DecorrelatedJitter(0.5, 8.0), 0, 0.5, 1.5),
        (Exponential(0.5, 8.0), 3, 4.0, 4.0),
        (Exponential(0.5, 8.0), 4, 8.0, 8.0),
        (Constant(2.0), 7, 2.0, 2.0),
        (OpenAIBackoff(), 0, 0.375, 0.5),
        (OpenAIBackoff(), 5, 6.0, 8.0),
        (LiteLLMBackoff(), 0, 0.5, 1.25),
        (LiteLLMBackoff(), 9, 8.0, 8.75),
        (GRPCBackoff(0.1, 1.0, 3.0), 1, 0.24, 0.36),
        (GRPCBackoff(), 50, 0.8, 1.2),
        (BifrostBackoff(), 4, 4.0, 6.0),
        (EnvoyBackoff(), 0, 0.0, 0.025),
        (EnvoyBackoff(), 1, 0.0, 0.075),
        (EnvoyBackoff(), 2, 0.0, 0.175),
        (EnvoyBackoff(), 3, 0.0, 0.25),
        (AWSBackoff(), 3, 0.0, 0.4),
        (AWSBackoff(), 40, 0.0, 20.0),
        (StaminaBackoff(), 0, 0.1, 1.1),
        (StaminaBackoff(), 3, 0.8, 1.8),
        (StaminaBackoff(0.1, 100.0, 1.0, 3.0), 2, 0.9, 1.9),
        (StaminaBackoff(), 9, 5.0, 5.0),
    ],
)
def test_the_range_of_each_formula(backoff, retry, least_s, most_s):
    ends = sorted(delay_s(backoff, retry, u) for u in (0.0, 1.0))
    assert ends == pytest.approx([least_s, most_s], rel=1e-12)
    assert delay_s(backoff, retry, 0.5) == pytest.approx((least_s + most_s) / 2)


def polly(base_s, retries, rng):
    """The delays of Polly.Contrib.WaitAndRetry: what the curve has risen since the retry before."""
    before = 0.0
    for retry in range(retries):
        t = retry + rng.random()
        risen = 2.0**t * math.tanh(math.sqrt(4.0 * t))
        yield (risen - before) / 1.4 * base_s
        before = risen


def test_polly_rises_along_its_curve():
    # f(1) = 1.9281, f(2) = 3.9722 and f(3) = 7.9843
    backoff = PollyBackoff(1.0, 100.0)
    assert [delay_s(backoff, 0, u) for u in (0.0, 1.0)] == pytest.approx([0.0, 1.9281 / 1.4], abs=1e-4)
    assert delay_s(backoff, 1, 0.0) == pytest.approx(1.9281 / 1.4, abs=1e-4)
    assert delay_s(backoff, 2, 1.0) == pytest.approx((7.9843 - 3.9722) / 1.4, abs=1e-4)
    assert delay_s(PollyBackoff(1.0, 1.5), 2, 1.0) == 1.5


def test_each_delay_has_the_distribution_of_pollys():
    draws = 4000
    rng = random.Random(3)
    published = zip(*(polly(1.0, 4, rng) for _ in range(draws)), strict=True)
    for retry, theirs in enumerate(map(sorted, published)):
        ours = sorted(PollyBackoff(1.0, 1e9).delay_s(retry, 0.0, rng) for _ in range(draws))
        merged = sorted([(delay, 1) for delay in ours] + [(delay, -1) for delay in theirs])
        distance = max(abs(each) for each in accumulate(sign for _, sign in merged)) / draws
        # Kolmogorov-Smirnov for two samples: the 0.1 % point is 1.95 sqrt(2 / n).
        assert distance < 1.95 * math.sqrt(2 / draws)
        assert ours[draws // 2] == pytest.approx((1, 1, 2, 4)[retry], rel=0.15)


def test_decorrelated_jitter_grows_from_the_delay_before():
    backoff = DecorrelatedJitter(0.5, 8.0)
    assert delay_s(backoff, 3, 1.0, waited_s=2.0) == 6.0
    assert delay_s(backoff, 3, 1.0, waited_s=4.0) == 8.0
    assert delay_s(backoff, 3, 0.0, waited_s=4.0) == 0.5


def test_aws_starts_from_one_second_when_throttled():
    assert delay_s(AWSBackoff(), 0, 1.0, error=RateLimited()) == 1.0
    assert delay_s(AWSBackoff(), 0, 1.0, error=ServerError()) == 0.05


@pytest.mark.parametrize(("hint_s", "waits_s"), [(0.1, 0.5), (3.0, 3.0), (9.0, 5.5)])
def test_aws_clamps_the_hint_of_the_server(hint_s, waits_s):
    assert delay_s(AWSBackoff(), 0, 0.5, error=RateLimited(retry_after_s=hint_s)) == waits_s


def test_litellm_cuts_the_hint_to_its_cap():
    policy = RetryPolicy(backoff=LiteLLMBackoff(), retry_after_cap_s=60.0)
    failure = Failure(Request(1), RateLimited(retry_after_s=30.0), 1, 0.0, 0.0)
    assert policy.decide(failure, Fixed(0.0)) == ("retry", 8.0)


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 5000),
    st.floats(0, 100),
    st.none() | st.floats(0, 100),
    st.integers(),
)
def test_no_delay_is_negative_or_endless(kind, retry, waited_s, hint_s, seed):
    wait_s = KINDS[kind]().delay_s(retry, waited_s, random.Random(seed), RateLimited(retry_after_s=hint_s))
    assert 0.0 <= wait_s <= 25.0


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_configured_by_its_name(kind):
    policy = RetryPolicy.from_dict({"backoff": {"kind": kind}})
    assert type(policy.backoff) is KINDS[kind]
    assert RetryPolicy.from_dict(policy.to_dict()) == copied(policy) == policy


@pytest.mark.parametrize("kind", ["decorrelated", "envoy"])
def test_a_base_above_the_cap_is_refused(kind):
    with pytest.raises(ConfigError, match=r"^retry\.backoff\.base_s: expected at most cap_s"):
        RetryPolicy.from_dict({"backoff": {"kind": kind, "base_s": 2, "cap_s": 1}}, "retry")


def decide(policy, error, tries=1):
    return policy.decide(Failure(Request(1), error, tries, 0.0, 0.0), Fixed(1.0))


def test_a_kind_of_error_has_its_own_retries():
    values = {
        "max_attempts": 2,
        "on_errors": ["server_error"],
        "backoff": {"kind": "constant", "interval_s": 0.1},
        "per_error": {
            "rate_limited": {
                "max_attempts": 4,
                "backoff": {"kind": "constant", "interval_s": 2},
                "retry_after_cap_s": 30,
            },
            "timeout": {"max_attempts": 1},
        },
    }
    policy = RetryPolicy.from_dict(values)
    assert decide(policy, RateLimited(), tries=3) == ("retry", 2.0)
    assert decide(policy, RateLimited(), tries=4) == NEXT
    assert decide(policy, RateLimited(retry_after_s=29.0)) == ("retry", 29.0)
    assert decide(policy, ServerError()) == ("retry", 0.1)
    assert decide(policy, ServerError(), tries=2) == NEXT
    assert decide(policy, ServerError(retry_after_s=29.0)) == NEXT
    assert RetryPolicy.from_dict(policy.to_dict()) == copied(policy) == policy


def test_a_deployment_has_its_own_retries_unless_the_kind_of_error_has():
    values = {
        "max_attempts": 2,
        "backoff": {"kind": "constant", "interval_s": 0.1},
        "per_error": {"rate_limited": {"max_attempts": 1}},
        "per_deployment": {"a": {"max_attempts": 3, "backoff": {"kind": "constant", "interval_s": 2}}},
    }
    policy = RetryPolicy.from_dict(values)
    assert decide(policy, ServerError(deployment="a"), tries=2) == ("retry", 2.0)
    assert decide(policy, ServerError(deployment="a"), tries=3) == NEXT
    assert decide(policy, ServerError(deployment="b")) == ("retry", 0.1)
    assert decide(policy, ServerError(deployment="b"), tries=2) == NEXT
    assert decide(policy, RateLimited(deployment="a")) == NEXT
    assert decide(policy, NotFound(deployment="a")) == NEXT
    assert RetryPolicy.from_dict(policy.to_dict()) == copied(policy) == policy


def test_a_deployment_with_retries_of_its_own_must_exist():
    policy = RoutingPolicy.from_dict({"retry": {"per_deployment": {"flsh": {}}}})
    with pytest.raises(ConfigError, match=r"^routing\.retry\.per_deployment\.flsh: .*did you mean 'flash'"):
        policy.check([deployment("flash")])


@pytest.mark.parametrize(
    ("values", "path", "suggestion"),
    [
        ({"rate_limit": {}}, "retry.per_error.rate_limit", "rate_limited"),
        ({"bad_request": {"max_attempts": 2}}, "retry.per_error.bad_request", None),
        ({"connect": {"max_attempts": 0}}, "retry.per_error.connect.max_attempts", None),
        ({"connect": {"backoff": {"kind": "equl"}}}, "retry.per_error.connect.backoff.kind", "equal"),
    ],
)
def test_impossible_retries_per_error_are_refused(values, path, suggestion):
    with pytest.raises(ConfigError) as caught:
        RetryPolicy.from_dict({"per_error": values}, "retry")
    assert caught.value.path == path
    assert suggestion is None or caught.value.suggestion == suggestion


def contend(backoff, rng, clients=100):
    """Write calls and milliseconds until every client has written once.

    The model of the reference: each client reads a version and writes with it; the write fails where another
    was faster, and the client backs off and reads again. A message takes |N(10, 2)| ms.
    """
    version = calls = 0
    now_ms = 0.0
    waited = [0.0] * clients
    attempt = [0] * clients
    order = iter(range(10**9))

    def travel_ms():
        return abs(rng.gauss(10.0, 2.0))

    events = [(travel_ms(), next(order), client, None) for client in range(clients)]
    heapq.heapify(events)
    while events:
        now_ms, _, client, seen = heapq.heappop(events)
        if seen is None:  # the read reaches the server; its answer, and then the write, travel
            heapq.heappush(events, (now_ms + travel_ms() + travel_ms(), next(order), client, version))
            continue
        calls += 1
        if seen == version:
            version += 1
            done_ms = now_ms + travel_ms()
            continue
        attempt[client] += 1
        if backoff is not None:
            waited[client] = backoff.delay_s(attempt[client], waited[client], rng)
        again_ms = now_ms + travel_ms() + 1000.0 * waited[client] + travel_ms()
        heapq.heappush(events, (again_ms, next(order), client, None))
    return calls, done_ms


PUBLISHED = {
    "none": (None, 2424, 2029),
    "exponential": (Exponential(0.005, 2.0), 1862, 64_035),
    "equal": (EqualJitter(0.005, 2.0), 812, 6669),
    "full": (FullJitter(0.005, 2.0), 795, 4891),
    "decorrelated": (DecorrelatedJitter(0.005, 2.0), 1006, 4560),
}


def contended(kind, runs):
    backoff, calls, done_ms = PUBLISHED[kind]
    rng = random.Random(20)
    results = [contend(backoff, rng) for _ in range(runs)]
    means = [math.fsum(column) / runs for column in zip(*results, strict=True)]
    return means, (calls, done_ms)


@pytest.mark.parametrize("kind", ["equal", "full", "decorrelated"])
def test_the_published_contention_is_met_roughly_by_few_runs(kind):
    means, published = contended(kind, 15)
    assert means == pytest.approx(published, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_contention_is_met(kind):
    means, published = contended(kind, 200)
    assert means == pytest.approx(published, rel=0.05)
