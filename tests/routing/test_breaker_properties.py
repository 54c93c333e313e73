"""What holds for every kind of breaker, whatever happens."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simsla.routing import (
    AttemptTimeout,
    BreakerPolicy,
    RateLimited,
    Reply,
    Request,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
REPLY = Reply("", "a", "m", 1, 1, 0.1, 0.2)

KINDS = {
    "consecutive": {"failures": 2, "open_s": 10, "half_open_probes": 2, "open_growth": 2, "jitter": 0.5},
    "ratio": {"window_calls": 4, "open_s": 10, "half_open_probes": 3, "slow_call_s": 5},
    "polly": {"minimum_throughput": 2, "half_open_probes": 2},
    "finagle": {"failures": 2, "min_requests": 2},
    "litellm": {"allowed_fails": 1, "extend": True, "max_retry_after_s": 60},
    "portkey": {"failure_threshold": 2},
}
PROBES = {"consecutive": 2, "ratio": 3, "polly": 2, "finagle": 1}
RAMPS = [None, {"over_s": 20}, {"kind": "linear", "over_s": 20}]
ERRORS = [ServerError, AttemptTimeout, RateLimited]


def build(kind, ramp=None, seed=0):
    breaker = {"kind": kind, "ramp": ramp, **KINDS[kind]}
    return RoutingPolicy.from_dict({"breaker": breaker}).breaker.build(random.Random(seed), 2)


class AnyBreaker(RuleBasedStateMachine):
    """Any order of admissions and outcomes at any kind, on a clock that only advances."""

    @initialize(kind=st.sampled_from(sorted(KINDS)), ramp=st.sampled_from(RAMPS), seed=st.integers(0, 99))
    def start(self, kind, ramp, seed):
        self.kind = kind
        self.ramp = ramp
        self.breaker = build(kind, ramp, seed)
        self.now = 0.0
        self.out = []
        self.probes = []  # tickets of the present half-open time that are out
        self.ended = 0  # its probes that ended with a verdict
        self.promised = -math.inf

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.9, 10.0, 61.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def admit(self):
        breaker, before = self.breaker, self.breaker.state
        promised = breaker.available_at(self.now)
        ticket = breaker.admit(NOBODY, self.now)
        if ticket is None:
            assert breaker.refusal
            assert promised > self.now or breaker.state == "ramping"
        else:
            assert promised <= self.now
            self.out.append(ticket)
        if before != "half_open" and breaker.state == "half_open":
            self.probes, self.ended = [], 0
        if breaker.state == "half_open" and ticket is not None:
            self.probes.append(ticket)
        if before == "closed":
            assert ticket is not None

    @precondition(lambda self: self.out)
    @rule(
        index=st.integers(0, 1000),
        outcome=st.sampled_from(["succeeded", "failed", "failed", "released"]),
        error=st.sampled_from(ERRORS),
        retry_after_s=st.sampled_from([None, 0.0, 7.0, 1e5]),
    )
    def settle(self, index, outcome, error, retry_after_s):
        breaker, before = self.breaker, self.breaker.state
        ticket = self.out.pop(index % len(self.out))
        opened, until = breaker.opened, breaker.available_at(self.now)
        if outcome == "released":
            breaker.released(ticket, self.now)
        elif outcome == "succeeded":
            breaker.succeeded(ticket, self.now, REPLY)
        else:
            breaker.failed(ticket, self.now, error(retry_after_s=retry_after_s))
        if ticket in self.probes:
            self.probes.remove(ticket)
            self.ended += outcome != "released"
        if outcome == "released":
            assert breaker.state == before
        after = breaker.available_at(self.now)
        opens = breaker.state == "open" and (before != "open" or until <= self.now < after)
        assert breaker.opened == opened + opens
        if before == "open" and until > self.now:
            # Nothing shortens an open time, and only a cooldown that says so is prolonged.
            assert after >= until
            assert self.kind == "litellm" or after == until

    @invariant()
    def no_more_probes_than_allowed(self):
        if getattr(self, "breaker", None) is None:
            return
        if self.breaker.state == "half_open":
            assert len(self.probes) + self.ended <= PROBES[self.kind]
        if self.kind not in PROBES:
            assert self.breaker.state != "half_open"
        if self.ramp is None:
            assert self.breaker.state != "ramping"

    @invariant()
    def an_open_breaker_returns(self):
        if getattr(self, "breaker", None) is not None and self.breaker.state == "open":
            assert self.breaker.available_at(self.now) - self.now <= 300.0


AnyBreaker.TestCase.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
TestAnyBreaker = AnyBreaker.TestCase


def run(breaker, now, outcome, limit=20):
    """Attempts one after the other until the state changes."""
    before = breaker.state
    for _ in range(limit):
        ticket = breaker.admit(NOBODY, now)
        assert ticket is not None
        if outcome == "fail":
            breaker.failed(ticket, now, ServerError())
        else:
            breaker.succeeded(ticket, now, REPLY)
        if breaker.state != before:
            return
    raise AssertionError(f"{breaker} stays")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_opens_reopens_and_returns(kind):
    breaker = build(kind)
    now = 0.0
    for times in range(1, 4):
        run(breaker, now, "fail")
        assert (breaker.state, breaker.opened) == ("open", times)
        assert breaker.admit(NOBODY, now) is None
        now = breaker.available_at(now)
        breaker.released(breaker.admit(NOBODY, now), now)
        assert breaker.state == ("half_open" if kind in PROBES else "closed")
    if kind in PROBES:
        run(breaker, now, "succeed")
    assert breaker.state == "closed"
    assert None not in [breaker.admit(NOBODY, now) for _ in range(100)]


def returned(ramp, seed=0):
    """A breaker that has just closed, and when."""
    breaker = BreakerPolicy(failures=1, open_s=10.0, ramp=ramp).build(random.Random(seed))
    run(breaker, 0.0, "fail")
    breaker.succeeded(breaker.admit(NOBODY, 10.0), 10.0, REPLY)
    assert breaker.state == "ramping"
    return breaker


@pytest.mark.parametrize(
    ("ramp", "shares"),
    [
        ({"over_s": 60}, {0.0: 0.1, 19.9: 0.1, 20.0: 0.25, 39.9: 0.25, 40.0: 0.5, 59.9: 0.5, 60.0: 1.0}),
        ({"kind": "linear", "over_s": 60}, {0.0: 0.1, 20.0: 0.4, 40.0: 0.7, 60.0: 1.0}),
    ],
)
def test_the_admitted_share_climbs(ramp, shares):
    for elapsed_s, share in shares.items():
        breaker = returned(ramp)
        now = 10.0 + elapsed_s
        admitted = [breaker.admit(NOBODY, now) is not None for _ in range(4000)]
        assert sum(admitted) / 4000 == pytest.approx(share, abs=0.03)
        assert breaker.state == ("closed" if share == 1.0 else "ramping")
        if share < 1.0:
            assert breaker.refusal == "breaker returning step by step"


@given(
    st.sampled_from([{"kind": "linear"}, {"shares": (0.2,)}, {"shares": (0.1, 0.1, 0.9)}, {}]),
    st.lists(st.floats(0, 200), min_size=2, max_size=10),
    st.floats(0.1, 100),
)
def test_the_share_never_falls_and_stays_within_its_bounds(ramp, elapsed, over_s):
    section = RoutingPolicy.from_dict({"breaker": {"ramp": {**ramp, "over_s": over_s}}}).breaker.ramp
    shares = [section.share(each) for each in sorted(elapsed)]
    assert shares == sorted(shares)
    assert all(0.0 < each <= 1.0 for each in shares)
    assert section.share(over_s) == 1.0


def test_a_failure_on_the_way_back_opens_it_again_for_longer():
    breaker = BreakerPolicy(failures=1, open_s=10.0, open_growth=3.0, ramp={"over_s": 60}).build(
        random.Random(1)
    )
    run(breaker, 0.0, "fail")
    run(breaker, 10.0, "succeed")
    late = next(ticket for ticket in (breaker.admit(NOBODY, 20.0) for _ in range(200)) if ticket)
    breaker.failed(late, 20.0, ServerError())
    assert breaker.available_at(20.0) == 50.0
    run(breaker, 50.0, "succeed")
    whole = breaker.admit(NOBODY, 110.0)
    assert breaker.state == "closed"
    breaker.failed(whole, 111.0, ServerError())
    assert breaker.available_at(111.0) == 121.0


def test_what_begins_on_the_way_back_counts_when_it_is_back():
    breaker = returned({"over_s": 60})
    ticket = next(each for each in (breaker.admit(NOBODY, 69.0) for _ in range(200)) if each)
    assert breaker.admit(NOBODY, 70.0) is not None
    assert breaker.state == "closed"
    breaker.failed(ticket, 71.0, ServerError())
    assert breaker.state == "open"


@pytest.mark.parametrize("kind", ["litellm", "portkey"])
def test_a_cooldown_can_return_step_by_step(kind):
    breaker = build(kind, {"shares": [0.25], "over_s": 40})
    run(breaker, 0.0, "fail")
    now = breaker.available_at(0.0)
    admitted = sum(breaker.admit(NOBODY, now) is not None for _ in range(2000))
    assert admitted / 2000 == pytest.approx(0.25, abs=0.04)
    assert None not in [breaker.admit(NOBODY, now + 40.0) for _ in range(100)]
