"""One rate-limited deployment: how many it is let, and who goes first."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simsla.routing import RateLimited, Reply, Request, ServerError
from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.admission.sluice import POLL_S, Sluice, Standing, expire
from simsla.routing.progress import Progress

REPLY = Reply("text", "a", "model", 1, 1, 0.1, 0.1)


def limited(retry_after_s=None):
    return RateLimited(retry_after_s=retry_after_s)


def sluice(alarms=None, **settings):
    alarms = [] if alarms is None else alarms
    return Sluice(QueuePolicy(on_rate_limit=True, **settings), alarms.append)


def progress(deadline=math.inf):
    return Progress(Request(0), deadline)


class Counting(Standing):
    """Counts how often it is told."""

    times_told = 0


def stand(sluices, now, number, *, importance=0.0, deadline=math.inf, latest=None):
    standing = Counting((importance, -number), progress(deadline), deadline if latest is None else latest)

    def told():
        standing.times_told += 1

    standing.told = told
    Sluice.join(standing, sluices, now)
    return standing


def closed(retry_after_s=10.0, in_flight=1, now=0.0, **settings):
    """A sluice after a 429, beside so many others in flight, and its alarms."""
    alarms = []
    one = sluice(alarms, **settings)
    tickets = [one.admit(progress(), now) for _ in range(in_flight + 1)]
    one.failed(tickets.pop(), now, limited(retry_after_s))
    for ticket in tickets:
        one.succeeded(ticket, now, REPLY)
    return one, alarms


def admitted(one, now, most=1000):
    """Tickets until it refuses."""
    tickets = []
    while len(tickets) < most:
        ticket = one.admit(progress(), now)
        if ticket is None:
            break
        tickets.append(ticket)
    return tickets


def test_before_a_429_everything_flows():
    one = sluice()
    tickets = admitted(one, 0.0)
    one.failed(tickets.pop(), 0.0, ServerError())
    assert len(admitted(one, 0.0)) == 1000
    assert one.available_at(5.0) == 5.0
    assert not one.limits(5.0)


@pytest.mark.parametrize(
    ("retry_after_s", "closed_s"), [(10.0, 10.0), (None, 1.0), (0.0, 0.0), (86400.0, 60.0)]
)
def test_a_429_closes_it_for_the_retry_after(retry_after_s, closed_s):
    one, _ = closed(retry_after_s, now=100.0)
    assert one.limits(100.0 + closed_s)
    assert one.available_at(100.0) == 100.0 + closed_s
    if closed_s:
        assert one.admit(progress(), 100.0 + closed_s - 0.001) is None
    assert one.admit(progress(), 100.0 + closed_s) is not None


def test_then_one_probe_and_twice_as_many_a_round_up_to_what_was_borne():
    one, _ = closed(in_flight=16)
    rounds = []
    for number in range(6):
        now = 10.0 + number
        tickets = admitted(one, now)
        rounds.append(len(tickets))
        for ticket in tickets:
            one.succeeded(ticket, now, REPLY)
    assert rounds == [1, 2, 4, 8, 16, 16]
    # 5 % more a round from there on: doubled after 14 or 15 rounds.
    before = one.window
    answered, in_flight = 0, admitted(one, 20.0)
    while one.window < 2 * before:
        one.succeeded(in_flight.pop(0), 20.0, REPLY)
        in_flight += admitted(one, 20.0)
        answered += 1
    assert answered == pytest.approx(before / 0.05, abs=1)


def test_a_failed_probe_closes_it_again_and_forgets_nothing():
    one, _ = closed(in_flight=16)
    one.failed(one.admit(progress(), 10.0), 10.5, limited(10.0))
    assert one.available_at(11.0) == 20.5
    for number in range(4):
        for ticket in admitted(one, 21.0 + number):
            one.succeeded(ticket, 21.0 + number, REPLY)
    assert one.window == 16.0


def test_the_429s_of_one_round_count_as_one_and_the_latest_time_holds():
    one = sluice()
    tickets = admitted(one, 0.0, most=10)
    for number, ticket in enumerate(tickets):
        one.failed(ticket, 0.1 * number, limited(5.0))
    assert one.available_at(1.0) == pytest.approx(5.9)
    for number in range(4):
        now = 10.0 + number
        for ticket in admitted(one, now):
            one.succeeded(ticket, now, REPLY)
    # 1, 2, 4, 8: the first saw nine others in flight.
    assert one.window >= 9.0


def test_a_late_429_of_an_earlier_round_closes_it_but_leaves_the_window():
    one = sluice()
    slow, refused, *_ = admitted(one, 0.0, most=5)
    one.failed(refused, 0.0, limited(1.0))
    one.succeeded(one.admit(progress(), 1.0), 2.0, REPLY)
    one.failed(slow, 2.0, limited(3.0))
    assert (one.available_at(2.0), one.window) == (5.0, 2.0)


def test_what_was_sent_before_the_429_says_nothing_afterwards():
    one = sluice()
    old, refused = admitted(one, 0.0, most=2)
    one.failed(refused, 0.0, limited(1.0))
    one.succeeded(old, 2.0, REPLY)
    assert (one.window, one.in_flight) == (1.0, 0)
    assert one.limits(2.0)


def test_a_window_that_is_not_used_does_not_grow():
    one, _ = closed(in_flight=100)
    for number in range(300):
        one.succeeded(one.admit(progress(), 10.0 + number), 10.5 + number, REPLY)
    assert one.window == 100.0, "what was borne, and no more"


def test_those_in_line_are_called_one_by_one_as_the_window_allows():
    one, alarms = closed(in_flight=4)
    waiting = [stand([one], 1.0, number) for number in range(4)]
    assert alarms[-1] == 10.0
    one.advance(9.0)
    assert [each.state for each in waiting] == ["waiting"] * 4
    one.advance(10.0)
    assert [each.state for each in waiting] == ["in"] + ["waiting"] * 3
    assert one.admit(progress(), 10.0) is None, "a newcomer goes in line"
    ticket = one.admit(waiting[0].progress, 10.0)
    one.settle(10.0)
    assert [each.state for each in waiting] == ["in"] + ["waiting"] * 3
    one.succeeded(ticket, 11.0, REPLY)
    assert waiting[1].state == "in"
    assert waiting[2].state == "waiting", "the second is told when the first has asked"
    one.admit(waiting[1].progress, 11.0)
    one.settle(11.0)
    assert waiting[2].state == "in"
    assert [each.times_told for each in waiting] == [1, 1, 1, 0]


def test_the_line_has_the_order_of_the_queue():
    one, _ = closed()
    low, high = stand([one], 1.0, 1), stand([one], 1.0, 2, importance=1.0)
    one.advance(10.0)
    assert (low.state, high.state) == ("waiting", "in")


def test_the_first_asks_again_later_where_another_part_refuses():
    alarms = []
    one = sluice(alarms)
    first = stand([one], 0.0, 1)
    assert first.state == "in", "nothing closes it"
    one.settle(0.0, again_at=7.0)
    Sluice.join(first, [one], 0.0)
    second = stand([one], 0.0, 2)
    assert (first.state, alarms[-1]) == ("waiting", 7.0)
    one.advance(7.0)
    assert (first.state, second.state) == ("in", "waiting")
    one.settle(7.0, again_at=math.inf)
    assert alarms[-1] == 7.0 + POLL_S


def test_an_attempt_that_ends_may_have_made_room():
    one = sluice()
    ticket = one.admit(progress(), 0.0)
    first = stand([one], 0.0, 1)
    one.settle(0.0, again_at=math.inf)
    Sluice.join(first, [one], 0.0)
    one.released(ticket, 0.01)
    assert first.state == "in"


def test_a_full_line_sheds_its_last():
    one, _ = closed(max_waiting=2)
    first, second, third = (stand([one], 1.0, number) for number in range(3))
    assert (third.state, third.times_told) == ("shed", 0)
    high = stand([one], 1.0, 3, importance=1.0)
    assert [each.state for each in (first, second, high)] == ["waiting", "shed", "waiting"]
    assert second.times_told == 1
    assert one.waiting == 2


def test_who_stands_in_several_lines_goes_where_it_is_called_first():
    one, _ = closed(10.0)
    other, _ = closed(5.0)
    both = stand([one, other], 1.0, 1)
    other.advance(5.0)
    assert both.called_by is other
    assert (one.waiting, other.waiting) == (0, 0)
    one.advance(10.0)
    assert both.times_told == 1


def test_one_full_line_sheds_nobody_who_stands_in_another():
    one, _ = closed(max_waiting=1)
    other, _ = closed(max_waiting=1)
    both = stand([one, other], 1.0, 1)
    stand([one], 1.0, 2, importance=1.0)
    assert (both.state, one.waiting, other.waiting) == ("waiting", 1, 1)
    stand([other], 1.0, 3, importance=1.0)
    assert (both.state, both.times_told) == ("shed", 1)


def test_hopeless_ones_are_shed_at_once_and_late_ones_at_their_turn():
    one, _ = closed(10.0)
    assert stand([one], 1.0, 1, latest=9.9).state == "shed"
    late = stand([one], 1.0, 2, latest=10.0)
    next_one = stand([one], 1.0, 3)
    one.advance(10.1)
    assert (late.state, next_one.state) == ("shed", "in")
    assert late.times_told == 1


def test_a_long_line_is_hopeless_at_the_pace_of_the_deployment():
    one = sluice()
    for number in range(100):
        one.succeeded(one.admit(progress(), float(number)), number + 2.0, REPLY)
    tickets = admitted(one, 200.0, most=5)
    one.failed(tickets[0], 200.0, limited(10.0))
    # 4 were borne, of 2 s each: one every 0.5 s.
    for number in range(20):
        stand([one], 200.0, number)
    assert one.expected_turn_at((0.0, -20), 200.0) == pytest.approx(220.0)
    assert stand([one], 200.0, 20, latest=219.9).state == "shed"
    assert stand([one], 200.0, 21, latest=220.1).state == "waiting"


def test_who_gives_up_leaves_no_trace_and_hands_a_turn_on():
    one, _ = closed()
    first, second, third = (stand([one], 1.0, number) for number in range(3))
    Sluice.leave(first, 2.0)
    assert (first.state, one.waiting) == ("left", 2)
    one.advance(10.0)
    assert second.state == "in"
    Sluice.leave(second, 10.0)
    assert third.state == "in"
    expire(third)
    assert third.state == "in"


class Sluices(RuleBasedStateMachine):
    """Two deployments, whatever happens."""

    def __init__(self):
        super().__init__()
        self.alarms = {}
        policy = QueuePolicy(on_rate_limit=True, max_waiting=3)
        self.sluices = [Sluice(policy, lambda at, name=name: self.alarms.update({name: at})) for name in "ab"]
        self.now = 0.0
        self.numbers = iter(range(10**6))
        self.standing = []
        self.tickets = []

    def inside(self, state):
        return [each for each in self.standing if each.state == state]

    @rule(
        which=st.sampled_from([(0,), (1,), (0, 1)]),
        importance=st.integers(0, 2),
        left_s=st.sampled_from([0.5, 2.0, math.inf]),
    )
    def join(self, which, importance, left_s):
        sluices = [self.sluices[each] for each in which]
        latest = self.now + left_s
        self.standing.append(
            stand(sluices, self.now, next(self.numbers), importance=importance, latest=latest)
        )

    @rule(which=st.integers(0, 1))
    def newcomer(self, which):
        one = self.sluices[which]
        ticket = one.admit(progress(), self.now)
        if ticket is not None:
            assert one.waiting == 0
            assert not any(each.called_by is one for each in self.standing)
            self.tickets.append((one, ticket))

    @precondition(lambda self: self.inside("in"))
    @rule(data=st.data(), refused=st.booleans())
    def take_turn(self, data, refused):
        standing = data.draw(st.sampled_from(self.inside("in")))
        one = standing.called_by
        ticket = one.admit(standing.progress, self.now)
        assert ticket is not None
        if refused:
            one.released(ticket, self.now)
            one.settle(self.now, math.inf)
            standing.times_told -= 1
            Sluice.join(standing, [one], self.now)
            if standing.state == "shed":
                standing.times_told += 1
        else:
            one.settle(self.now)
            self.tickets.append((one, ticket))
            Sluice.leave(standing, self.now)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), how=st.sampled_from(["ok", "429", "500", "cancelled"]))
    def end(self, data, how):
        one, ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        if how == "ok":
            one.succeeded(ticket, self.now, REPLY)
        elif how == "cancelled":
            one.released(ticket, self.now)
        else:
            one.failed(ticket, self.now, limited(2.0) if how == "429" else ServerError())

    @rule(seconds=st.sampled_from([0.0, POLL_S, 0.5, 2.0]))
    def time_passes(self, seconds):
        self.now += seconds
        for each in self.inside("waiting"):
            if each.latest <= self.now:
                expire(each)
        for name, one in zip("ab", self.sluices, strict=True):
            if self.alarms.get(name, math.inf) <= self.now:
                del self.alarms[name]
                one.advance(self.now)

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def leave(self, data):
        Sluice.leave(data.draw(st.sampled_from(self.standing)), self.now)

    @invariant()
    def limits_hold(self):
        for one in self.sluices:
            assert one.waiting == sum(one in each.lines for each in self.standing) <= 3
            assert one.in_flight <= max(one.window, 1.0) or math.isinf(one.window)
            assert sum(each.called_by is one for each in self.standing) <= 1

    @invariant()
    def nobody_is_forgotten(self):
        for name, one in zip("ab", self.sluices, strict=True):
            if one.waiting:
                called = any(each.called_by is one for each in self.standing)
                full = one.in_flight + 1 > one.window
                assert called or full or name in self.alarms

    @invariant()
    def each_has_exactly_one_end(self):
        for each in self.standing:
            assert each.times_told <= 1
            assert (each.state == "waiting") == bool(each.lines)
            assert (each.state == "in") == (each.called_by is not None)
            if each.state == "waiting":
                assert each.times_told == 0


TestSluices = Sluices.TestCase
TestSluices.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
