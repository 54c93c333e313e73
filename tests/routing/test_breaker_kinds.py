from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, copied, deployment, fails, play, policy

from simsla.routing import (
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    BreakerPolicy,
    ConfigError,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    NotFound,
    RateLimited,
    Reply,
    Request,
    RoutingError,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.health.accrual import FinagleBreaker
from simsla.routing.health.cooldown import LiteLLMCooldown, PortkeyBreaker
from simsla.routing.health.ratio import PollyBreaker, RatioBreaker
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
ERROR = ServerError()


def reply(first_token_s=0.1):
    return Reply("", "a", "m", 1, 1, first_token_s, 0.2)


def succeed(breaker, now, times=1, took_s=0.0, first_token_s=0.1):
    for _ in range(times):
        breaker.succeeded(breaker.admit(NOBODY, now - took_s), now, reply(first_token_s))


def fail(breaker, now, times=1, error=ERROR, took_s=0.0):
    for _ in range(times):
        breaker.failed(breaker.admit(NOBODY, now - took_s), now, error)


def open_time(breaker, now, error=ERROR, limit=10_000):
    """Seconds until it admits again, once failures have opened it."""
    for _ in range(limit):
        fail(breaker, now, error=error)
        if breaker.state == "open":
            return breaker.available_at(now) - now
    raise AssertionError("it never opened")


# resilience4j


def test_ratio_opens_at_half_of_100_calls_and_not_before_100():
    breaker = RatioBreaker().build()
    fail(breaker, 0.0, 99)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert (breaker.state, breaker.opened) == ("open", 1)
    assert breaker.available_at(0.0) == 60.0

    breaker = RatioBreaker().build()
    succeed(breaker, 0.0, 51)
    fail(breaker, 0.0, 49)
    assert breaker.state == "closed"
    fail(breaker, 0.0)  # the first success leaves the window: 50 of 100
    assert breaker.state == "open"


def test_a_success_can_be_the_call_that_completes_the_least_number():
    breaker = RatioBreaker(min_calls=4).build()
    fail(breaker, 0.0, 3)
    succeed(breaker, 0.0)
    assert breaker.state == "open"


def test_the_count_window_caps_the_least_number_of_calls():
    breaker = RatioBreaker(window_calls=10).build()
    fail(breaker, 0.0, 9)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"


def test_slow_calls_open_it_though_they_succeed():
    breaker = RatioBreaker(window_calls=10).build()
    succeed(breaker, 100.0, 9, took_s=60.001)
    succeed(breaker, 100.0, took_s=60.0)
    assert breaker.state == "closed"
    succeed(breaker, 100.0, 9, took_s=60.001)
    assert breaker.state == "closed"
    succeed(breaker, 100.0, took_s=60.001)
    assert breaker.state == "open"


def test_a_slow_failure_is_both():
    breaker = RatioBreaker(window_calls=2, failure_ratio=1.0).build()
    succeed(breaker, 100.0, took_s=61.0)
    fail(breaker, 100.0, took_s=61.0)
    assert breaker.state == "open"


def test_a_late_first_token_is_slow_where_that_is_asked_for():
    plain = RatioBreaker(window_calls=4).build()
    succeed(plain, 0.0, 8, first_token_s=5.0)
    assert plain.state == "closed"
    breaker = RatioBreaker(window_calls=4, slow_ratio=0.5, slow_first_token_s=2.0).build()
    succeed(breaker, 0.0, 3, first_token_s=2.0)
    succeed(breaker, 0.0, first_token_s=2.1)
    assert breaker.state == "closed"
    succeed(breaker, 0.0, first_token_s=2.1)
    assert breaker.state == "open"


def half_open(breaker, now):
    """All ten probes out."""
    fail(breaker, 0.0, 100)
    assert breaker.state == "open"
    return [breaker.admit(NOBODY, now) for _ in range(10)]


@pytest.mark.parametrize(("failures", "state"), [(0, "closed"), (4, "closed"), (5, "open"), (10, "open")])
def test_half_open_the_share_of_ten_probes_decides(failures, state):
    breaker = RatioBreaker().build()
    probes = half_open(breaker, 60.0)
    assert None not in probes
    assert breaker.admit(NOBODY, 60.0) is None
    for index, probe in enumerate(probes):
        assert breaker.state == "half_open"
        if index < failures:
            breaker.failed(probe, 61.0, ERROR)
        else:
            breaker.succeeded(probe, 61.0, reply())
    assert breaker.state == state


def test_half_open_slow_probes_open_it_again():
    breaker = RatioBreaker().build()
    for probe in half_open(breaker, 60.0):
        breaker.succeeded(probe, 121.0, reply())
    assert (breaker.state, breaker.opened) == ("open", 2)


def test_the_time_window_forgets():
    breaker = RatioBreaker(window="time", window_s=10.0, min_calls=10).build()
    fail(breaker, 0.5, 9)
    succeed(breaker, 9.9)  # the tenth call
    assert breaker.state == "open"

    breaker = RatioBreaker(window="time", window_s=10.0, min_calls=10).build()
    fail(breaker, 0.5, 9)
    fail(breaker, 10.5)  # the nine have left
    assert breaker.state == "closed"
    fail(breaker, 11.5, 9)
    assert breaker.state == "open"


def test_probes_that_end_after_the_verdict_change_nothing():
    breaker = RatioBreaker(min_calls=1, window_calls=1, half_open_probes=3).build()
    fail(breaker, 0.0)
    first, second, third = (breaker.admit(NOBODY, 60.0) for _ in range(3))
    breaker.succeeded(first, 61.0, reply())
    assert breaker.state == "closed"
    breaker.failed(second, 62.0, ERROR)
    breaker.released(third, 62.0)
    assert breaker.state == "closed"


@pytest.mark.parametrize("window", ["count", "time"])
def test_once_closed_it_counts_from_nothing(window):
    breaker = RatioBreaker(window=window, window_calls=4, min_calls=4, half_open_probes=1).build()
    fail(breaker, 0.0, 4)
    succeed(breaker, 60.0)
    assert breaker.state == "closed"
    fail(breaker, 60.0, 3)
    assert breaker.state == "closed"
    fail(breaker, 60.0)
    assert breaker.state == "open"


# Polly


def test_polly_opens_at_a_tenth_of_a_hundred_calls_for_5_s():
    breaker = PollyBreaker().build()
    succeed(breaker, 0.0, 90)
    fail(breaker, 1.0, 9)
    assert breaker.state == "closed"
    assert open_time(breaker, 1.0, limit=1) == 5.0


def test_polly_stays_closed_below_a_tenth():
    breaker = PollyBreaker().build()
    succeed(breaker, 0.0, 95)
    fail(breaker, 1.0, 10)  # 10 of 105
    assert breaker.state == "closed"
    fail(breaker, 1.0)
    assert breaker.state == "open"


def test_polly_asks_at_failures_only():
    breaker = PollyBreaker(minimum_throughput=2).build()
    fail(breaker, 0.0)
    succeed(breaker, 0.0, 5)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"


def test_polly_samples_30_s_and_sends_one_probe():
    breaker = PollyBreaker().build()
    fail(breaker, 0.0, 99)
    fail(breaker, 30.0)
    assert breaker.state == "closed"
    fail(breaker, 30.0, 99)
    assert breaker.state == "open"
    assert breaker.admit(NOBODY, 34.9) is None
    probe = breaker.admit(NOBODY, 35.0)
    assert breaker.admit(NOBODY, 35.0) is None
    breaker.succeeded(probe, 36.0, reply())
    assert breaker.state == "closed"


# Finagle


def test_finagle_is_dead_after_five_failures_in_a_row_or_below_80_percent():
    breaker = FinagleBreaker().build(random.Random(1))
    succeed(breaker, 0.0, 100)
    fail(breaker, 0.0, 4)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"

    breaker = FinagleBreaker().build(random.Random(1))
    succeed(breaker, 0.0, 4)
    fail(breaker, 0.0)  # 4 of 5 is not below 0.8
    assert breaker.state == "closed"
    succeed(breaker, 0.0)
    fail(breaker, 0.0)  # 5 of 7 is
    assert breaker.state == "open"


def test_finagles_rate_counts_from_the_fifth_request():
    breaker = FinagleBreaker().build(random.Random(1))
    succeed(breaker, 0.0, 2)
    fail(breaker, 0.0)
    succeed(breaker, 0.0)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"


def test_finagles_rate_needs_5_requests_within_30_s():
    breaker = FinagleBreaker().build(random.Random(1))
    succeed(breaker, 0.0)
    fail(breaker, 0.0, 3)
    assert breaker.state == "closed"
    succeed(breaker, 31.0)
    fail(breaker, 31.0)
    assert breaker.state == "closed"


def test_finagles_dead_times_are_equal_jittered_from_5_to_300_s():
    for seed in range(20):
        breaker = FinagleBreaker().build(random.Random(seed))
        now, times = 0.0, []
        for _ in range(10):
            times.append(open_time(breaker, now))
            now = breaker.available_at(now)
        assert times[0] == 5.0
        for index, seconds in enumerate(times[1:7]):
            half = 5.0 * 2**index
            assert half - 1e-9 <= seconds <= min(2 * half, 300.0) + 1e-9
        assert times[8:] == pytest.approx([300.0, 300.0])


def test_a_success_of_finagles_probe_begins_again_at_5_s():
    breaker = FinagleBreaker().build(random.Random(1))
    assert open_time(breaker, 0.0) == 5.0
    assert open_time(breaker, 5.0) > 5.0
    succeed(breaker, 100.0)
    assert breaker.state == "closed"
    assert open_time(breaker, 100.0) == 5.0


# LiteLLM


@pytest.mark.parametrize(
    ("error", "alone", "in_a_group"),
    [
        (RateLimited(), False, True),
        (AuthenticationFailed(), True, True),
        (AuthenticationFailed(status=403), False, False),
        (NotFound(), True, True),
        (ServerError(), False, False),
        (AttemptTimeout(), False, False),
        (ConnectError(), False, False),
    ],
)
def test_litellm_cools_down_at_once_for_some_statuses(error, alone, in_a_group):
    for group, cools in ((1, alone), (2, in_a_group)):
        breaker = LiteLLMCooldown().build(group=group)
        fail(breaker, 0.0, error=error)
        assert (breaker.state == "open") == cools


def test_litellm_cools_down_above_half_of_at_least_five_in_a_minute():
    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, 4)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.available_at(0.0) == 5.0

    breaker = LiteLLMCooldown().build(group=2)
    succeed(breaker, 0.0, 5)
    fail(breaker, 0.0, 5)  # half is not more than half
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"

    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, 4)
    fail(breaker, 60.0, 4)
    assert breaker.state == "closed"


def test_litellm_never_cools_down_a_lone_deployment_below_1000_failures_in_a_minute():
    breaker = LiteLLMCooldown().build(group=1)
    fail(breaker, 0.0, 999)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"

    breaker = LiteLLMCooldown().build(group=1)
    succeed(breaker, 0.0)
    fail(breaker, 0.0, 2000)
    assert breaker.state == "closed"


def test_litellm_never_cools_down_for_failed_connections():
    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, 50, error=ConnectError())
    assert breaker.state == "closed"


def test_litellms_allowed_fails_are_counted_for_the_time_of_a_cooldown():
    breaker = LiteLLMCooldown(allowed_fails=1, cooldown_s=30.0).build(group=1)
    fail(breaker, 0.0)
    fail(breaker, 30.0)  # the first is forgotten
    assert breaker.state == "closed"
    fail(breaker, 59.9)
    assert breaker.state == "open"
    assert breaker.available_at(59.9) == pytest.approx(89.9)
    breaker = LiteLLMCooldown(allowed_fails=0).build(group=1)
    fail(breaker, 0.0)
    assert breaker.state == "open"


def test_litellm_returns_by_its_timer_without_half_open():
    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, error=RateLimited())
    assert breaker.admit(NOBODY, 4.999) is None
    assert None not in [breaker.admit(NOBODY, 5.0) for _ in range(50)]
    assert breaker.state == "closed"


def test_a_late_failure_begins_litellms_next_cooldown():
    breaker = LiteLLMCooldown().build(group=2)
    late = breaker.admit(NOBODY, 0.0)
    fail(breaker, 0.0, error=RateLimited())
    breaker.failed(late, 6.0, RateLimited())
    assert breaker.opened == 2
    assert breaker.available_at(6.0) == 11.0


def test_litellm_remembers_the_failures_of_the_minute_over_a_cooldown():
    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, 5)
    fail(breaker, 5.0)
    assert (breaker.state, breaker.opened) == ("open", 2)


@pytest.mark.parametrize(
    ("settings", "retry_after_s", "expected"),
    [
        ({}, None, 5.0),
        ({}, 20.0, 20.0),
        ({}, 86400.0, 86400.0),
        ({"max_retry_after_s": 60}, 86400.0, 60.0),
        ({"retry_after": False}, 20.0, 5.0),
        ({"cooldown_s": 30}, 2.0, 2.0),
    ],
)
def test_litellm_takes_retry_after_for_the_cooldown(settings, retry_after_s, expected):
    breaker = LiteLLMCooldown(**settings).build(group=2)
    assert open_time(breaker, 0.0, RateLimited(retry_after_s=retry_after_s), limit=1) == expected


def test_litellm_does_not_cool_down_where_retry_after_is_0():
    breaker = LiteLLMCooldown().build(group=2)
    fail(breaker, 0.0, error=RateLimited(retry_after_s=0.0))
    assert breaker.state == "closed"


@pytest.mark.parametrize(("extend", "expected"), [(False, 5.0), (True, 33.0)])
def test_a_running_cooldown_is_prolonged_only_where_asked_for(extend, expected):
    breaker = LiteLLMCooldown(extend=extend).build(group=2)
    first, second, third = (breaker.admit(NOBODY, 0.0) for _ in range(3))
    breaker.failed(first, 0.0, RateLimited())
    breaker.failed(second, 3.0, RateLimited(retry_after_s=30.0))
    breaker.failed(third, 3.0, RateLimited(retry_after_s=1.0))
    assert breaker.available_at(3.0) == expected
    assert breaker.opened == 1


# Portkey


def test_portkey_opens_above_its_threshold_and_a_timer_closes_it():
    breaker = PortkeyBreaker().build()
    fail(breaker, 0.0, 5)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert (breaker.state, breaker.opened) == ("open", 1)
    assert breaker.admit(NOBODY, 29.9) is None
    assert None not in [breaker.admit(NOBODY, 30.0) for _ in range(20)]
    fail(breaker, 30.0, 5)
    assert breaker.state == "closed"


def test_portkey_opens_above_a_percentage_of_at_least_so_many():
    breaker = PortkeyBreaker(
        failure_threshold=None, failure_threshold_percentage=20, minimum_requests=10
    ).build()
    succeed(breaker, 0.0, 7)
    fail(breaker, 0.0, 2)
    assert breaker.state == "closed"  # too few
    fail(breaker, 0.0)
    assert breaker.state == "open"

    breaker = PortkeyBreaker(
        failure_threshold=None, failure_threshold_percentage=20, minimum_requests=10
    ).build()
    succeed(breaker, 0.0, 8)
    fail(breaker, 0.0, 2)  # exactly 20 %
    assert breaker.state == "closed"


def test_portkeys_counts_begin_anew():
    breaker = PortkeyBreaker(window_s=60.0).build()
    for minute in range(20):
        fail(breaker, minute * 60.0, 5)
    assert breaker.state == "closed"


def test_failures_during_portkeys_cooldown_do_not_count_after_it():
    breaker = PortkeyBreaker().build()
    late = [breaker.admit(NOBODY, 0.0) for _ in range(5)]
    fail(breaker, 0.0, 6)
    for ticket in late:
        breaker.failed(ticket, 29.0, ERROR)
    fail(breaker, 30.0, 5)
    assert (breaker.state, breaker.opened) == ("closed", 1)


def test_portkeys_failures_are_named_by_status():
    breaker = PortkeyBreaker().build()
    fail(breaker, 0.0, 50, error=RateLimited())
    assert breaker.state == "closed"
    fail(breaker, 0.0, 6, error=ConnectError())
    assert breaker.state == "open"
    breaker = PortkeyBreaker(failure_status_codes=(429,)).build()
    fail(breaker, 0.0, 50)
    assert breaker.state == "closed"
    fail(breaker, 0.0, 6, error=RateLimited())
    assert breaker.state == "open"


# The options that several share


@pytest.mark.parametrize(
    "kind", [BreakerPolicy, lambda **more: RatioBreaker(window_calls=5, half_open_probes=1, **more)]
)
def test_open_times_grow_until_it_has_closed(kind):
    breaker = kind(open_s=10.0, open_growth=2.0, max_open_s=60.0).build()
    now, times = 0.0, []
    for _ in range(5):
        times.append(open_time(breaker, now))
        now = breaker.available_at(now)
    assert times == [10.0, 20.0, 40.0, 60.0, 60.0]
    succeed(breaker, now)
    assert breaker.state == "closed"
    assert open_time(breaker, now) == 10.0


def test_the_longest_open_time_left_out_is_300_s_or_the_first():
    breaker = BreakerPolicy(failures=1, open_growth=100.0).build()
    assert [open_time(breaker, now) for now in (0.0, 30.0)] == [30.0, 300.0]
    assert open_time(BreakerPolicy(failures=1, open_s=1000.0).build(), 0.0) == 1000.0


@given(st.floats(0, 1), st.integers(0, 2**32), st.integers(1, 3000))
def test_jitter_keeps_at_least_its_share(jitter, seed, openings):
    rng = random.Random(seed)
    breaker = BreakerPolicy(failures=1, open_s=8.0, open_growth=1.5, jitter=jitter).build(rng)
    now = 0.0
    for index in range(min(openings, 30)):
        seconds = open_time(breaker, now)
        whole = min(300.0, 8.0 * 1.5**index)
        assert (1.0 - jitter) * whole * (1 - 1e-9) <= seconds <= whole * (1 + 1e-9)
        now = breaker.available_at(now)


def test_growth_without_end_does_not_overflow():
    breaker = BreakerPolicy(failures=1, open_growth=1e6).build()
    now = 0.0
    for _ in range(400):
        assert open_time(breaker, now) <= 300.0
        now = breaker.available_at(now)


def test_jitter_is_uniform():
    breakers = (
        BreakerPolicy(failures=1, open_s=10.0, jitter=0.5).build(random.Random(i)) for i in range(2000)
    )
    times = [open_time(breaker, 0.0) for breaker in breakers]
    assert sum(times) / len(times) == pytest.approx(7.5, abs=0.15)
    assert min(times) < 5.1
    assert max(times) > 9.9


# Configuration

KINDS = ["consecutive", "ratio", "polly", "finagle", "litellm", "portkey"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_configured_by_its_name(kind):
    ramp = {"kind": "linear", "over_s": "30s"}
    routing = RoutingPolicy.from_dict({"breaker": {"kind": kind, "ramp": ramp}})
    assert routing.breaker.kind == kind
    assert routing.breaker.ramp.over_s == 30.0
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing
    breaker = routing.breaker.build(random.Random(1), 2)
    assert (breaker.state, breaker.opened) == ("closed", 0)


def test_the_first_kind_is_meant_where_none_is_given():
    assert RoutingPolicy.from_dict({"breaker": {"failures": 2}}).breaker == BreakerPolicy(failures=2)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"kind": "finagel"}, "routing.breaker.kind"),
        ({"open_growth": 0.5}, "routing.breaker.open_growth"),
        ({"open_s": 30, "max_open_s": 10}, "routing.breaker.max_open_s"),
        ({"jitter": 2}, "routing.breaker.jitter"),
        ({"ramp": {"shares": []}}, "routing.breaker.ramp.shares"),
        ({"ramp": {"shares": [0.5, 0.1]}}, "routing.breaker.ramp.shares.1"),
        ({"ramp": {"kind": "linear", "from_share": 0}}, "routing.breaker.ramp.from_share"),
        ({"kind": "ratio", "failure_ratio": 50}, "routing.breaker.failure_ratio"),
        ({"kind": "ratio", "window": "calls"}, "routing.breaker.window"),
        ({"kind": "ratio", "half_open_probes": 0}, "routing.breaker.half_open_probes"),
        ({"kind": "polly", "minimum_throughput": 1}, "routing.breaker.minimum_throughput"),
        ({"kind": "finagle", "open_s": 400}, "routing.breaker.max_open_s"),
        ({"kind": "litellm", "allowed_fails": -1}, "routing.breaker.allowed_fails"),
        ({"kind": "portkey", "cooldown_s": 10}, "routing.breaker.cooldown_s"),
        ({"kind": "portkey", "failure_threshold": None}, "routing.breaker.failure_threshold"),
        ({"kind": "portkey", "failure_status_codes": [200]}, "routing.breaker.failure_status_codes.0"),
    ],
)
def test_impossible_breakers_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"breaker": values})
    assert caught.value.path == path


# Through the Router

SENSITIVE = {
    "consecutive": {"failures": 1},
    "ratio": {"window_calls": 1},
    "polly": {"minimum_throughput": 2},
    "finagle": {"failures": 1},
    "litellm": {"allowed_fails": 0},
    "portkey": {"failure_threshold": 1},
}


def series(routing, transport, requests):
    async def one(handle, number):
        try:
            return await handle(Request(number, prompt_tokens=10))
        except RoutingError as error:
            return error

    async def main():
        handle = routing(transport)
        return [await one(handle, number) for number in range(requests)]

    return play(main())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_a_broken_deployment_out_of_the_plan(kind):
    transport = ScriptedTransport(
        [deployment("a"), deployment("b")], {"a": [fails(ServerError)], "b": [Answer()]}
    )
    series(policy(breaker={"kind": kind, **SENSITIVE[kind]}), transport, 10)
    assert transport.called.count("a") <= 2
    assert transport.called.count("b") == 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [BadRequest, ContentFiltered, ContextLengthExceeded])
def test_a_malformed_request_never_counts_against_a_deployment(kind, error):
    transport = ScriptedTransport([deployment("a")], {"a": [fails(error)] * 20 + [Answer()]})
    outcomes = series(policy(breaker={"kind": kind, **SENSITIVE[kind]}), transport, 21)
    assert [type(each) for each in outcomes[:20]] == [error] * 20
    assert isinstance(outcomes[20], Reply)
    assert transport.called == ["a"] * 21


def test_litellm_knows_from_the_transport_whether_a_deployment_is_alone():
    for names, calls in ((["a"], 10), (["a", "b"], 1)):
        transport = ScriptedTransport([deployment(name) for name in names], {"a": [fails(RateLimited)]})
        series(policy(breaker={"kind": "litellm"}), transport, 10)
        assert transport.called.count("a") == calls
