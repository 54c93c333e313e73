from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simsla.routing import BreakerPolicy, CircuitBreaker, Reply, Request, ServerError
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
REPLY = Reply("", "a", "m", 1, 1, 0.1, 0.2)
ERROR = ServerError()


def fail(breaker, now, times=1):
    for _ in range(times):
        breaker.failed(breaker.admit(NOBODY, now), now, ERROR)


def opened(**settings):
    breaker = BreakerPolicy(**{"failures": 3, "open_s": 30.0} | settings).build()
    fail(breaker, 0.0, 3)
    assert breaker.state == "open"
    return breaker


def test_failures_in_a_row_open_it():
    breaker = BreakerPolicy(failures=3).build()
    fail(breaker, 0.0, 2)
    breaker.succeeded(breaker.admit(NOBODY, 1.0), 1.0, REPLY)
    fail(breaker, 2.0, 2)
    assert breaker.state == "closed"
    fail(breaker, 2.0)
    assert breaker.state == "open"


def test_open_it_admits_nothing_until_its_time_is_over():
    breaker = opened()
    assert breaker.admit(NOBODY, 29.999) is None
    assert breaker.available_at(10.0) == 30.0
    assert breaker.admit(NOBODY, 30.0) is not None
    assert breaker.state == "half_open"


def test_a_successful_probe_closes_it():
    breaker = opened()
    breaker.succeeded(breaker.admit(NOBODY, 31.0), 32.0, REPLY)
    assert breaker.state == "closed"
    assert breaker.available_at(32.0) == 32.0


def test_a_failed_probe_opens_it_for_the_whole_time_again():
    breaker = opened()
    fail(breaker, 31.0)
    assert breaker.state == "open"
    assert breaker.admit(NOBODY, 60.9) is None
    assert breaker.admit(NOBODY, 61.0) is not None


def test_half_open_it_admits_no_more_than_its_probes():
    breaker = opened(half_open_probes=2)
    tickets = [breaker.admit(NOBODY, 31.0) for _ in range(4)]
    assert [ticket is not None for ticket in tickets] == [True, True, False, False]
    assert breaker.available_at(31.0) == math.inf
    breaker.succeeded(tickets[0], 32.0, REPLY)
    assert breaker.state == "half_open"
    assert breaker.admit(NOBODY, 32.0) is None
    breaker.succeeded(tickets[1], 33.0, REPLY)
    assert breaker.state == "closed"


def test_a_released_probe_can_be_used_again():
    breaker = opened()
    breaker.released(breaker.admit(NOBODY, 31.0), 32.0)
    assert breaker.state == "half_open"
    assert breaker.available_at(32.0) == 32.0
    assert breaker.admit(NOBODY, 32.0) is not None


def test_a_released_attempt_neither_counts_nor_clears():
    breaker = BreakerPolicy(failures=2).build()
    fail(breaker, 0.0)
    breaker.released(breaker.admit(NOBODY, 0.0), 0.0)
    assert breaker.state == "closed"
    fail(breaker, 0.0)
    assert breaker.state == "open"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "released"])
def test_outcomes_of_attempts_from_before_the_outage_change_nothing(outcome):
    breaker = BreakerPolicy(failures=1, open_s=10.0).build()
    late = breaker.admit(NOBODY, 0.0)
    fail(breaker, 0.0)
    probe = breaker.admit(NOBODY, 10.0)
    settle(breaker, late, outcome, 11.0)
    assert breaker.state == "half_open"
    assert breaker.admit(NOBODY, 11.0) is None
    breaker.succeeded(probe, 12.0, REPLY)
    assert breaker.state == "closed"


def test_a_late_failure_does_not_open_it_again_when_its_time_is_over():
    breaker = BreakerPolicy(failures=1, open_s=10.0).build()
    late = breaker.admit(NOBODY, 0.0)
    fail(breaker, 0.0)
    breaker.failed(late, 15.0, ERROR)
    assert breaker.opened == 1
    assert breaker.available_at(15.0) == 15.0


def settle(breaker, ticket, outcome, now):
    if outcome == "released":
        breaker.released(ticket, now)
    else:
        getattr(breaker, outcome)(ticket, now, REPLY if outcome == "succeeded" else ERROR)


class BreakerMachine(RuleBasedStateMachine):
    """Any order of admissions and outcomes, on a clock that only advances."""

    @initialize(failures=st.integers(1, 3), probes=st.integers(1, 3))
    def start(self, failures, probes):
        self.policy = BreakerPolicy(failures=failures, open_s=10.0, half_open_probes=probes)
        self.breaker: CircuitBreaker = self.policy.build()
        self.now = 0.0
        self.out: list[object] = []
        self.current: object = None  # the number of the present episode, once one was given
        self.probes_used = 0
        self.in_a_row = 0
        self.opened_at = -math.inf

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 10.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def admit(self):
        before = self.breaker.state
        promised = self.breaker.available_at(self.now)
        ticket = self.breaker.admit(NOBODY, self.now)
        assert (ticket is not None) == (promised <= self.now)
        if before == "open":
            assert (ticket is not None) == (self.now >= self.opened_at + 10.0)
            if ticket is not None:
                self.probes_used = 0
        if ticket is not None:
            self.probes_used += self.breaker.state == "half_open"
            self.out.append(ticket)
            self.current = ticket[0]

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "released"]))
    def settle(self, data, outcome):
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before, current = self.breaker.state, ticket[0] == self.current
        settle(self.breaker, ticket, outcome, self.now)
        after = self.breaker.state
        if not current:
            assert after == before
            return
        if before == "half_open":
            self.probes_used -= outcome == "released"
            assert after == "open" if outcome == "failed" else after in ("half_open", "closed")
        else:
            self.in_a_row = {"succeeded": 0, "failed": self.in_a_row + 1, "released": self.in_a_row}[outcome]
            assert (after == "open") == (self.in_a_row >= self.policy.failures)
        if after != before:
            self.in_a_row = 0
            self.current = None
            if after == "open":
                self.opened_at = self.now

    @invariant()
    def no_more_probes_than_allowed(self):
        if getattr(self, "breaker", None) is not None and self.breaker.state == "half_open":
            assert 0 <= self.probes_used <= self.policy.half_open_probes


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
