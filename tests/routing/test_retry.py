from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.routing import ATTEMPT_ERRORS, FullJitter, RateLimited, Request, RetryPolicy, ServerError
from simsla.routing.protocols import NEXT, STOP, Failure
from simsla.routing.retries.rule import RETRYABLE


def decide(policy, error, tries=1, seed=1):
    failure = Failure(Request(1), error, tries, 0.0, 0.0)
    return policy.decide(failure, random.Random(seed))


@given(st.integers(0, 5000), st.floats(0, 100), st.floats(0, 100), st.integers())
def test_full_jitter_stays_within_its_cap(retry, base_s, cap_s, seed):
    delay_s = FullJitter(base_s, cap_s).delay_s(retry, 0.0, random.Random(seed))
    assert 0.0 <= delay_s <= min(cap_s, base_s * 2.0 ** min(retry, 1000))


@pytest.mark.parametrize(("retry", "ceiling_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (4, 8.0), (9, 8.0)])
def test_full_jitter_is_uniform_below_a_ceiling_that_doubles(retry, ceiling_s):
    rng = random.Random(7)
    delays = sorted(FullJitter(0.5, 8.0).delay_s(retry, 0.0, rng) / ceiling_s for _ in range(4000))
    # Kolmogorov-Smirnov: the 0.1 % point of the distance for n = 4000 is 1.95 / sqrt(n) = 0.031.
    assert max(abs(u - (rank + 0.5) / 4000) for rank, u in enumerate(delays)) < 0.031


@pytest.mark.parametrize("kind", ATTEMPT_ERRORS)
def test_each_kind_of_error_leads_where_it_should(kind):
    decision = decide(RetryPolicy(max_attempts=2, on_errors=RETRYABLE), ATTEMPT_ERRORS[kind]())
    if kind in ("bad_request", "content_filter"):
        assert decision == STOP
    elif kind in ("context_length", "authentication", "not_found"):
        assert decision == NEXT
    else:
        assert decision.action == "retry"


def test_only_the_errors_named_are_retried():
    policy = RetryPolicy(on_errors=("rate_limited",))
    assert decide(policy, RateLimited()).action == "retry"
    assert decide(policy, ServerError()) == NEXT


def test_the_last_attempt_at_a_deployment_is_not_followed_by_a_wait():
    policy = RetryPolicy(max_attempts=3)
    assert decide(policy, ServerError(), tries=2).action == "retry"
    assert decide(policy, ServerError(), tries=3) == NEXT


def test_retry_after_is_the_least_wait_up_to_its_cap():
    policy = RetryPolicy(backoff=FullJitter(0.5, 0.5), retry_after_cap_s=4.0)
    assert decide(policy, RateLimited(retry_after_s=4.0)) == ("retry", 4.0)
    assert decide(policy, RateLimited(retry_after_s=4.1)) == NEXT
    jitter = decide(policy, RateLimited()).delay_s
    assert decide(policy, RateLimited(retry_after_s=jitter / 2)).delay_s == jitter
