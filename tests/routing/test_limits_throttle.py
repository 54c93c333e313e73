from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsla.routing import RateLimited, Reply, Request, ServerError
from simsla.routing.limits.cubic import AWSRate
from simsla.routing.limits.throttle import EnvoyThrottle, SreThrottle
from simsla.routing.limits.windows import SlidingSum
from simsla.routing.progress import Progress

REPLY = Reply("", "a", "model", 1, 1, 0.1, 0.2)


def attempt(part, now, good):
    """Whether it was sent."""
    progress = Progress(Request(1))
    ticket = part.admit(progress, now)
    if ticket is None:
        return False
    progress.attempts += 1
    if good:
        part.succeeded(ticket, now, REPLY)
    else:
        part.failed(ticket, now, RateLimited())
    return True


class Never(random.Random):
    """Chance that admits everything."""

    def random(self):
        return 1.0


def test_sre_rejects_as_the_book_says():
    throttle = SreThrottle(min_requests=0).build(Never())
    for number in range(100):
        attempt(throttle, 0.0, good=number < 40)
    assert throttle.probability(0.0) == pytest.approx((100 - 2 * 40) / 101)
    assert SreThrottle().build(Never()).probability(0.0) == 0.0


@pytest.mark.parametrize(("accepted", "probability"), [(100, 0.0), (50, 0.0), (49, 2 / 101), (0, 100 / 101)])
def test_half_of_what_google_sends_may_fail(accepted, probability):
    throttle = SreThrottle().build(Never())
    for number in range(100):
        attempt(throttle, 0.0, good=number < accepted)
    assert throttle.probability(0.0) == pytest.approx(probability)


def test_sre_counts_before_sending_and_what_it_refuses():
    throttle = SreThrottle(min_requests=0).build(Never())
    for number in range(1, 6):
        throttle.admit(Progress(Request(1)), 0.0)  # in flight
        assert throttle.probability(0.0) == pytest.approx(number / (number + 1))
    refusing = SreThrottle(min_requests=0).build(random.Random(1))
    sent = sum(attempt(refusing, 0.0, good=False) for _ in range(1000))
    assert 1 <= sent < 50
    assert refusing.refusal == "throttled"
    assert refusing.probability(0.0) == pytest.approx(1000 / 1001)


def test_what_is_released_was_no_request():
    throttle = SreThrottle(min_requests=0).build(Never())
    for _ in range(9):
        ticket = throttle.admit(Progress(Request(1)), 0.0)
        throttle.released(ticket, 50.0)
    assert throttle.probability(50.0) == 0.0
    ticket = throttle.admit(Progress(Request(1)), 50.0)
    attempt(throttle, 500.0, good=False)
    throttle.released(ticket, 500.0)  # forgotten by then
    assert throttle.probability(500.0) == 0.5


def test_sre_waits_for_enough_requests_and_forgets():
    throttle = SreThrottle().build(Never())
    for number in range(1, 102):
        attempt(throttle, 10.0, good=False)
        assert (throttle.probability(10.0) > 0.0) == (number >= 100)
    assert throttle.probability(128.0) > 0.0
    assert throttle.probability(131.0) == 0.0


def test_sre_sends_k_times_what_is_accepted():
    throttle = SreThrottle().build(random.Random(1))
    sent = 0
    for second in range(2000):
        accepts = 10  # per second, of 100 offered
        for _ in range(100):
            if attempt(throttle, float(second), good=accepts > 0):
                accepts -= 1
                sent += second >= 500
    assert sent / 1500 == pytest.approx(20.0, rel=0.05)


@pytest.mark.parametrize(
    ("successes", "aggression", "probability"),
    [
        (1000, 1.0, 0.0),
        (950, 1.0, 0.0),
        (500, 1.0, (1000 - 500 / 0.95) / 1001),
        (500, 2.0, ((1000 - 500 / 0.95) / 1001) ** 0.5),
        (0, 1.0, 0.8),
        (0, 3.0, 0.8),
    ],
)
def test_envoy_rejects_by_its_formula(successes, aggression, probability):
    throttle = EnvoyThrottle(aggression=aggression).build(Never())
    for number in range(1000):
        attempt(throttle, number / 10.0, good=number < successes)
    assert throttle.probability(100.0) == pytest.approx(probability)


def test_envoy_rejects_nothing_below_its_rate():
    throttle = EnvoyThrottle().build(Never())
    for number in range(400):
        attempt(throttle, number / 4.0, good=False)
    assert throttle.probability(100.0) == 0.0
    # Within the first second five are enough.
    new = EnvoyThrottle().build(Never())
    for number in range(1, 8):
        attempt(new, 0.5, good=False)
        assert (new.probability(0.5) > 0.0) == (number >= 5)


def test_envoy_counts_only_what_has_ended():
    throttle = EnvoyThrottle(min_rps=0.0).build(Never())
    tickets = [throttle.admit(Progress(Request(1)), 0.0) for _ in range(10)]
    assert throttle.probability(0.0) == 0.0
    throttle.released(tickets[0], 0.0)
    assert throttle.probability(0.0) == 0.0
    throttle.failed(tickets[1], 0.0, ServerError())
    assert throttle.probability(0.0) == pytest.approx(0.5)


def test_envoy_lets_a_fifth_through_and_recovers():
    throttle = EnvoyThrottle().build(random.Random(1))
    sent = sum(attempt(throttle, second / 100.0, good=False) for second in range(10_000))
    assert sent / 10_000 == pytest.approx(0.2, abs=0.03)
    assert throttle.refusal == "throttled"
    sent = [attempt(throttle, 100.0 + second / 100.0, good=True) for second in range(30_000)]
    assert all(sent[-5000:])


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([SreThrottle(min_requests=3), EnvoyThrottle(min_rps=0.1)]),
    st.lists(st.tuples(st.floats(0.0, 50.0), st.booleans()), max_size=100),
)
def test_the_probability_is_one(policy, steps):
    throttle = policy.build(random.Random(1))
    now = 0.0
    for wait_s, good in steps:
        now += wait_s
        attempt(throttle, now, good)
        assert 0.0 <= throttle.probability(now) < 1.0
        assert throttle.available_at(now) == now


@given(
    st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(0, 40),
)
def test_a_sliding_sum_has_what_is_recent(steps, target):
    window = SlidingSum(1.0, 4)
    added, now = [], 0.0
    for wait_s, amount in steps:
        now += wait_s
        window.add(amount, now)
        added.append((now // 1.0, amount))
        recent = [(number, each) for number, each in added if number > now // 1.0 - 4]
        assert window.total(now) == sum(each for _, each in recent)
        filled = [number for number, each in recent if each]
        assert window.age_s(now) == pytest.approx(now - filled[0] if filled else 0.0)
    at = window.falls_to(target, now)
    assert at >= now
    if at > now:
        assert window.total(at) <= target
        copied = SlidingSum(1.0, 4)
        for number, amount in added:
            copied.add(amount, number + 0.5)
        assert copied.total(at - 0.5) > target


class Cubic:
    """A client of one deployment that is asked at a steady rate."""

    def __init__(self, **policy):
        self.part = AWSRate(**policy).build(random.Random(1))
        self.now = 0.0
        self.sent = []

    def run(self, seconds, rate, throttled=lambda now: False):
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0 / rate
            progress = Progress(Request(1))
            ticket = self.part.admit(progress, self.now)
            if ticket is not None:
                progress.attempts += 1
                self.sent.append(self.now)
                if throttled(self.now):
                    self.part.failed(ticket, self.now, RateLimited())
                else:
                    self.part.succeeded(ticket, self.now, REPLY)


def test_the_aws_rate_is_unlimited_until_the_first_rate_limit():
    client = Cubic()
    client.run(20.0, 10.0)
    assert client.part.rate_per_s == float("inf")
    assert client.part.available_at(client.now) == client.now
    assert len(client.sent) == pytest.approx(200, abs=1)


def test_the_aws_rate_falls_to_seven_tenths_and_grows_as_cubic():
    client = Cubic()
    client.run(20.0, 10.0)
    client.part.failed(client.part.admit(Progress(Request(1)), client.now), client.now, RateLimited())
    assert client.part.refusal == "adaptive send rate"
    w = client.part.rate_per_s / 0.7
    assert w == pytest.approx(10.0, rel=0.05)
    k = (0.3 * w / 0.4) ** (1 / 3)
    failed_at = client.now
    for wait_s in (1.0, k, k + 1.0, k + 2.0):
        client.run(failed_at + wait_s - client.now, 10.0)
        grown = 0.4 * (client.sent[-1] - failed_at - k) ** 3 + w
        assert client.part.rate_per_s == pytest.approx(grown, rel=1e-6)


def test_the_aws_rate_is_at_most_twice_the_measured_one_and_at_least_the_least():
    client = Cubic()
    client.run(10.0, 10.0)
    client.run(0.3, 10.0, throttled=lambda now: True)
    client.run(60.0, 10.0)
    assert client.part.rate_per_s <= 2.0 * 10.0 * 1.1
    for _ in range(10):
        client.run(3.0, 10.0, throttled=lambda now: True)
    assert client.part.rate_per_s == 0.5
    assert client.part.available_at(client.now) <= client.now + 2.0


def test_an_aws_attempt_that_never_began_is_given_back():
    client = Cubic()
    client.run(10.0, 10.0, throttled=lambda now: True)
    client.now += 60.0
    for _ in range(5):
        ticket = client.part.admit(Progress(Request(1)), client.now)
        client.part.released(ticket, client.now)
    begun = Progress(Request(1))
    ticket = client.part.admit(begun, client.now)
    begun.attempts = 1
    client.part.released(ticket, client.now)
    assert client.part.admit(Progress(Request(1)), client.now) is None
    at = client.part.available_at(client.now)
    assert client.part.admit(Progress(Request(1)), at) is not None


def test_the_aws_rate_settles_near_what_the_server_allows():
    allowed_at = [0.0]

    def throttled(now):
        """The server allows 5 per second."""
        if now < allowed_at[0]:
            return True
        allowed_at[0] = max(allowed_at[0], now - 1.0) + 0.2
        return False

    client = Cubic()
    client.run(300.0, 50.0, throttled)
    late = [at for at in client.sent if at > 100.0]
    assert 4.0 <= len(late) / 200.0 <= 8.0
