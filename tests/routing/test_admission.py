from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from routing.fakes import copied

from simsla.routing import ConfigError, Request, RoutingPolicy
from simsla.routing.admission.line import Line, Waiter
from simsla.routing.admission.policy import QueuePolicy
from simsla.routing.admission.queue import AdmissionQueue
from simsla.routing.admission.times import ServiceTimes


class Told:
    """Counts how often it is told."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1


def join(queue, now=0.0, deadline=math.inf, priority=0, told=None):
    return queue.join(Request(0, priority=priority), deadline, now, told or Told())


def served(took_s, requests=100, **settings):
    """A queue that has served so many requests, and has no one inside."""
    queue = AdmissionQueue(QueuePolicy(**settings))
    for number in range(requests):
        queue.finished(join(queue, number * took_s), (number + 1) * took_s, answered=True)
    return queue


def test_requests_beyond_the_limit_wait_and_come_in_as_places_become_free():
    queue = AdmissionQueue(QueuePolicy(max_concurrent=2))
    told = [Told() for _ in range(4)]
    visitors = [join(queue, told=each) for each in told]
    assert [each.state for each in visitors] == ["in", "in", "waiting", "waiting"]
    queue.finished(visitors[1], 1.0, answered=True)
    assert [each.state for each in visitors] == ["in", "left", "in", "waiting"]
    assert [each.times for each in told] == [0, 0, 1, 0]
    assert (queue.inside, queue.waiting) == (2, 1)


@pytest.mark.parametrize(
    ("order", "turns"),
    [("fifo", [0, 1, 2, 3, 4]), ("priority", [1, 4, 0, 3, 2]), ("deadline", [2, 4, 3, 0, 1])],
)
def test_the_order_of_turns(order, turns):
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1, order=order))
    inside = join(queue)
    requests = [(1, 40.0), (3, 50.0), (0, 10.0), (1, 30.0), (3, 20.0)]
    waiting = [join(queue, deadline=deadline, priority=priority) for priority, deadline in requests]
    seen = []
    for _ in waiting:
        queue.leave(inside, 1.0)
        inside = next(each for each in waiting if each.state == "in")
        seen.append(waiting.index(inside))
    assert seen == turns


@pytest.mark.parametrize(("priority", "shed"), [(0, "new"), (1, "new"), (2, "other")])
def test_a_full_line_sheds_its_last(priority, shed):
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1, max_waiting=2))
    told = Told()
    join(queue)
    join(queue, priority=5)
    other = join(queue, priority=1, told=told)
    new = join(queue, priority=priority)
    assert (new.state, other.state) == (("shed", "waiting") if shed == "new" else ("waiting", "shed"))
    assert "full" in (new.why or other.why)
    assert told.times == (shed == "other")
    assert queue.waiting == 2


def test_without_room_for_waiting_what_is_over_the_limit_is_shed():
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1, max_waiting=0))
    assert [join(queue).state for _ in range(3)] == ["in", "shed", "shed"]


@pytest.mark.parametrize(("left_s", "state"), [(3.9, "shed"), (4.1, "waiting")])
def test_a_request_is_shed_at_once_where_its_wait_leaves_too_little(left_s, state):
    """Answers take 2 s, 4 at a time: a place every 0.5 s. Behind 3 others it waits 2 s and needs 2 s."""
    queue = served(2.0, max_concurrent=4)
    now = 1000.0
    for _ in range(4 + 3):
        join(queue, now)
    assert queue.expected_wait_s(ahead=3) == pytest.approx(2.0)
    assert join(queue, now, deadline=now + left_s).state == state


def test_it_is_its_own_place_in_line_that_counts():
    queue = served(2.0, max_concurrent=4)
    for _ in range(4 + 30):
        join(queue, 1000.0)
    assert join(queue, 1000.0, deadline=1005.0).state == "shed"
    assert join(queue, 1000.0, deadline=1005.0, priority=1).state == "waiting"


def test_failures_set_the_pace_but_not_what_a_request_needs():
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1))
    for number in range(100):
        queue.finished(join(queue, 10.0 * number), 10.0 * number + (2 if number % 2 else 0), number % 2)
    assert queue.needs_s == 2.0
    assert queue.expected_wait_s(ahead=0) == 1.0


def test_whose_turn_comes_too_late_is_shed_and_the_next_one_has_it():
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1, min_service_s=1.0))
    inside, late, next_one = join(queue), join(queue, deadline=5.0), join(queue)
    queue.finished(inside, 4.5, answered=True)
    assert (late.state, next_one.state) == ("shed", "in")
    assert "in time" in late.why
    assert late.told.times == 1


@pytest.mark.parametrize(("settings", "latest"), [({}, 9.0), ({"max_wait_s": 3.0}, 3.0)])
def test_nobody_waits_beyond_the_latest_useful_turn(settings, latest):
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1, min_service_s=1.0, **settings))
    join(queue)
    visitor = join(queue, deadline=10.0)
    assert visitor.latest == latest
    queue.expire(visitor)
    assert visitor.state == "shed"
    assert (visitor.told.times, queue.waiting) == (1, 0)
    queue.expire(visitor)
    assert visitor.told.times == 1


def test_who_gives_up_leaves_no_trace_and_hands_a_turn_on():
    queue = AdmissionQueue(QueuePolicy(max_concurrent=1))
    inside, first, second = join(queue), join(queue), join(queue)
    queue.leave(first, 1.0)
    assert (first.state, first.told.times, queue.waiting) == ("left", 0, 1)
    third = join(queue)
    queue.finished(inside, 2.0, answered=True)
    assert second.state == "in"
    queue.leave(second, 2.0)
    assert third.state == "in"
    assert queue.expected_wait_s(0) == 2.0
    queue.leave(second, 3.0)
    assert queue.inside == 1


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans())))
def test_a_line_is_sorted_and_counts_who_is_ahead(steps):
    line, model = Line(), []
    for number, (importance, stays) in enumerate(steps):
        waiter = Waiter((importance, -number), math.inf, math.inf, Told())
        assert line.ahead(waiter.rank) == sum(each.rank > waiter.rank for each in model)
        line.add(waiter)
        model.append(waiter)
        if not stays:
            gone = model.pop(len(model) // 2)
            line.remove(gone)
        assert len(line) == len(model)
        if model:
            assert line.first is max(model, key=lambda each: each.rank)
            assert line.last is min(model, key=lambda each: each.rank)


@given(st.lists(st.tuples(st.floats(0, 1e3), st.booleans()), min_size=1, max_size=300))
def test_times_are_those_of_the_last_hundred(samples):
    times = ServiceTimes()
    for number, sample in enumerate(samples):
        times.add(float(number), *sample)
    last = [took_s for took_s, _ in samples][-100:]
    assert times.mean_s == pytest.approx(sum(last) / len(last), abs=1e-6)
    answered = sorted([took_s for took_s, ok in samples if ok][-100:])
    assert times.median_s == (answered[min((len(answered) + 2) // 2, len(answered)) - 1] if answered else 0)


class Admission(RuleBasedStateMachine):
    """Whatever happens, exact coincidences included."""

    def __init__(self):
        super().__init__()
        self.queue = AdmissionQueue(QueuePolicy(max_concurrent=3, max_waiting=4, max_wait_s=8.0))
        self.now = 0.0
        self.visitors = []

    def all_in(self, *states):
        return [each for each in self.visitors if each.state in states]

    @rule(priority=st.integers(0, 2), left_s=st.sampled_from([0.0, 1.0, 3.0, 10.0, math.inf]))
    def join(self, priority, left_s):
        told = Told()
        visitor = join(self.queue, self.now, self.now + left_s, priority, told)
        assert told.times == 0
        told.waited = visitor.state == "waiting"
        self.visitors.append(visitor)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds):
        self.now += seconds
        for each in self.all_in("waiting"):
            if each.latest <= self.now:
                self.queue.expire(each)
                assert each.state == "shed"

    @precondition(lambda self: self.all_in("in"))
    @rule(data=st.data(), answered=st.booleans())
    def finish(self, data, answered):
        visitor = data.draw(st.sampled_from(self.all_in("in")))
        waiting = self.all_in("waiting")
        self.queue.finished(visitor, self.now, answered)
        came_in = [each for each in waiting if each.state == "in"]
        still = [each for each in waiting if each.state == "waiting"]
        assert all(one.rank > other.rank for one in came_in for other in still)

    @precondition(lambda self: self.visitors)
    @rule(data=st.data())
    def leave(self, data):
        visitor = data.draw(st.sampled_from(self.visitors))
        was = visitor.state
        if was == "waiting":
            visitor.told.waited = False
        self.queue.leave(visitor, self.now)
        assert visitor.state == ("shed" if was == "shed" else "left")

    @invariant()
    def limits_hold(self):
        assert self.queue.inside == len(self.all_in("in")) <= 3
        assert self.queue.waiting == len(self.all_in("waiting")) <= 4
        # No place is free while somebody waits.
        assert self.queue.inside == 3 or self.queue.waiting == 0

    @invariant()
    def each_is_told_once_of_what_became_of_its_wait(self):
        for each in self.visitors:
            assert each.told.times == (each.told.waited and each.state != "waiting")


TestAdmission = Admission.TestCase
TestAdmission.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_it_is_configured_in_its_section():
    routing = RoutingPolicy.from_dict(
        {"queue": {"max_concurrent": 40, "max_wait_s": "5s", "order": "deadline", "on_rate_limit": True}}
    )
    assert routing.queue == QueuePolicy(max_concurrent=40, max_wait_s=5, order="deadline", on_rate_limit=True)
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing
    assert RoutingPolicy().queue is None


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "routing.queue.max_concurrent"),
        ({"max_concurrent": 0}, "routing.queue.max_concurrent"),
        ({"max_concurrent": 1, "max_waiting": -1}, "routing.queue.max_waiting"),
        ({"max_concurrent": 1, "max_wait_s": 61}, "routing.queue.max_wait_s"),
        ({"max_concurrent": 1, "min_service_s": 61}, "routing.queue.min_service_s"),
        ({"max_concurrent": 1, "order": "lifo"}, "routing.queue.order"),
        ({"on_rate_limit": True, "retry_after_s": 61}, "routing.queue.retry_after_s"),
        ({"on_rate_limit": True, "retry_after_s": 0}, "routing.queue.retry_after_s"),
    ],
)
def test_impossible_values_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"queue": values})
    assert caught.value.path == path
