from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from routing.fakes import copied

from simsla.routing import (
    AttemptTimeout,
    ConfigError,
    ConnectError,
    MalformedReply,
    NotFound,
    RateLimited,
    Reply,
    Request,
    RoutingPolicy,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
)
from simsla.routing.health.outlier import OutlierPolicy
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
REPLY = Reply("", "a", "m", 1, 1, 0.1, 0.2)
ERROR = ServerError()


class Bench:
    """Deployments under one detector, the first look at time 0."""

    def __init__(self, count=10, seed=1, **values):
        self.names = [f"d{number}" for number in range(count)]
        self.detector = OutlierPolicy(**values).build(self.names, random.Random(seed))
        self.health = {name: self.detector.health(name) for name in self.names}
        self.health["d0"].available_at(0.0)

    def fail(self, name, now, times=1, error=ERROR):
        for _ in range(times):
            self.health[name].failed(True, now, error)

    def succeed(self, name, now, times=1):
        for _ in range(times):
            self.health[name].succeeded(True, now, REPLY)

    def admits(self, name, now):
        return self.health[name].admit(NOBODY, now) is not None

    def eject(self, name, now):
        """By failures in a row; how long it is out."""
        self.fail(name, now, 5)
        assert self.detector.ejected == (name,)
        return self.health[name].available_at(now) - now


def test_five_failures_in_a_row_eject():
    bench = Bench()
    bench.fail("d0", 1.0, 4)
    bench.succeed("d0", 1.0)
    bench.fail("d0", 1.0, 4)
    assert bench.admits("d0", 1.0)
    bench.fail("d0", 1.0)
    assert not bench.admits("d0", 1.0)
    view = bench.health["d0"]
    assert (view.state, view.ejections, view.refusal) == ("ejected", 1, "ejected as an outlier")
    assert bench.admits("d1", 1.0)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ServerError, True),
        (ServiceUnavailable, True),
        (AttemptTimeout, True),
        (ConnectError, True),
        (StreamInterrupted, True),
        (MalformedReply, True),
        (RateLimited, False),
        (NotFound, False),
    ],
)
def test_what_counts_as_a_failure(error, counts):
    bench = Bench()
    bench.fail("d0", 1.0, 5, error())
    assert bench.admits("d0", 1.0) != counts


def test_it_is_out_for_30_s_and_returns_at_the_next_interval():
    bench = Bench()
    bench.fail("d0", 1.0, 5)
    assert bench.health["d0"].available_at(1.0) == 40.0  # 31 s, seen at 40 s
    assert not bench.admits("d0", 39.9)
    assert bench.admits("d0", 40.0)
    bench.fail("d0", 40.0, 4)
    assert bench.admits("d0", 40.0)  # the row began anew


def test_each_ejection_is_30_s_longer_up_to_300():
    bench = Bench()
    now, times = 0.0, []
    for _ in range(13):
        times.append(bench.eject("d0", now))
        now += times[-1]
        assert bench.admits("d0", now)
    assert times == [30.0 * min(number, 10) for number in range(1, 14)]
    assert bench.health["d0"].ejections == 13


def test_the_time_shrinks_by_one_ejection_for_each_interval_that_is_healthy():
    bench = Bench()
    now = 0.0
    for _ in range(4):
        now += bench.eject("d0", now)
        assert bench.admits("d0", now)
    # 4 ejections so far; back at `now`. Two whole intervals later they count as 2, and a third makes 90 s.
    assert bench.eject("d0", now + 20.0) == 90.0


def test_work_left_for_long_is_done_as_the_timer_would_have():
    def play(moments):
        bench = Bench()
        bench.fail("d0", 3.0, 5)
        for now in moments:
            bench.admits("d1", now)
        bench.fail("d0", 60.0, 5)
        return bench.health["d0"].available_at(60.0)

    # Ejected at 3, back at 40, one ejection forgotten at 50.
    assert play([]) == play([10.0 * tick for tick in range(1, 7)]) == play([45.0]) == 90.0


def interleave(bench, name, now, successes, failures):
    """Never five failures in a row."""
    while successes or failures:
        took = min(4, failures)
        bench.fail(name, now, took)
        failures -= took
        if successes:
            bench.succeed(name, now)
            successes -= 1
    bench.succeed(name, now, successes)


def test_success_rates_are_compared():
    # Envoy's example: 50, 100, 100, 100, 100 % gives a mean of 90, a deviation of 20 and a threshold of 52.
    bench = Bench(5)
    for name in bench.names[1:]:
        bench.succeed(name, 1.0, 100)
    interleave(bench, "d0", 1.0, 50, 50)
    assert bench.admits("d0", 9.9)
    assert not bench.admits("d0", 10.0)
    assert bench.health["d0"].available_at(10.0) == 40.0
    assert bench.detector.ejected == ("d0",)


@pytest.mark.parametrize(
    ("count", "calls", "ejects"), [(5, 100, True), (4, 100, False), (5, 99, False), (20, 100, True)]
)
def test_success_rates_need_5_deployments_with_100_calls(count, calls, ejects):
    bench = Bench(count)
    for name in bench.names[1:]:
        bench.succeed(name, 1.0, calls)
    interleave(bench, "d0", 1.0, calls // 2, calls - calls // 2)
    assert bench.admits("d0", 10.0) != ejects


def test_each_interval_counts_its_own_calls():
    bench = Bench(5)
    for now in (1.0, 11.0):
        for name in bench.names[1:]:
            bench.succeed(name, now, 99)
        interleave(bench, "d0", now, 50, 49)
    assert bench.admits("d0", 20.0)


def test_a_rate_just_within_1_9_deviations_stays():
    # 4 at 100 % and one at x: the threshold is x + 0.8 (1 - x) - 1.9 x 0.4 (1 - x) > x, so x always goes;
    # with two of five at x it is x + 0.6 (1 - x) - 1.9 x 0.49 (1 - x) < x, so both stay.
    bench = Bench(5, max_ejection_percent=100)
    for name in bench.names[2:]:
        bench.succeed(name, 1.0, 100)
    for name in bench.names[:2]:
        interleave(bench, name, 1.0, 50, 50)
    assert bench.admits("d0", 10.0)
    assert bench.detector.ejected == ()


@pytest.mark.parametrize(
    ("failures", "calls", "ejected"),
    [(84, 100, ()), (85, 100, ("d0",)), (49, 49, ()), (50, 50, ("d0",))],
)
def test_the_failure_percentage_ejects_where_it_is_enforced(failures, calls, ejected):
    for enforced, expected in ((0, ()), (100, ejected)):
        bench = Bench(
            5,
            consecutive_5xx=1000,
            enforcing_success_rate=0,
            enforcing_failure_percentage=enforced,
        )
        for name in bench.names:
            bench.succeed(name, 1.0, calls - failures if name == "d0" else 100)
        bench.fail("d0", 1.0, failures)
        bench.admits("d0", 10.0)
        assert bench.detector.ejected == expected


@pytest.mark.parametrize(
    ("count", "percent", "one", "most"),
    [
        (10, 10, True, 1),
        (19, 10, True, 1),
        (20, 10, True, 2),
        (3, 10, True, 1),
        (3, 10, False, 0),
        (4, 50, True, 2),
    ],
)
def test_no_more_are_ejected_than_the_cap_allows(count, percent, one, most):
    bench = Bench(count, max_ejection_percent=percent, always_eject_one=one)
    for name in bench.names:
        bench.fail(name, 1.0, 25)
    assert len(bench.detector.ejected) == most


def test_an_ejection_beyond_the_cap_needs_a_new_row_of_failures():
    bench = Bench()
    bench.fail("d0", 1.0, 5)
    bench.fail("d1", 1.0, 9)
    assert bench.admits("d0", 40.0)
    assert bench.detector.ejected == ()
    bench.fail("d1", 40.0)
    assert bench.detector.ejected == ("d1",)


def test_the_worst_goes_first_where_the_cap_does_not_allow_all():
    bench = Bench(10, consecutive_5xx=1000)
    for name in bench.names[:8]:
        bench.succeed(name, 1.0, 100)
    for name, successes in (("d8", 10), ("d9", 0)):
        bench.succeed(name, 1.0, successes)
        bench.fail(name, 1.0, 100 - successes)
    bench.admits("d0", 10.0)
    assert bench.detector.ejected == ("d9",)


@pytest.mark.parametrize(("panic_threshold", "admitted"), [(0.5, True), (0.3, False), (0.0, False)])
def test_ejections_are_ignored_in_a_panic(panic_threshold, admitted):
    bench = Bench(10, max_ejection_percent=60, panic_threshold=panic_threshold)
    for name in bench.names[:5]:
        bench.fail(name, 1.0, 5)
    assert not bench.admits("d0", 1.0)  # half are healthy: no panic yet
    bench.fail("d5", 1.0, 5)
    assert bench.detector.panicking == admitted
    assert bench.admits("d0", 1.0) == admitted
    assert (bench.health["d0"].available_at(1.0) == 1.0) == admitted
    assert bench.admits("d0", 40.0)


def test_a_lone_deployment_is_used_in_panic():
    bench = Bench(1)
    bench.fail("d0", 1.0, 5)
    assert bench.detector.ejected == ("d0",)
    assert bench.admits("d0", 1.0)


def test_enforcement_and_jitter_are_drawn():
    out = 0
    for seed in range(400):
        bench = Bench(10, seed, enforcing_consecutive_5xx=30, max_ejection_jitter_s=20)
        bench.fail("d0", 1.0, 5)
        if bench.detector.ejected:
            out += 1
            assert bench.health["d0"].available_at(1.0) in (40.0, 50.0, 60.0)
    assert out / 400 == pytest.approx(0.3, abs=0.07)


class Detector(RuleBasedStateMachine):
    """Any outcomes at any deployments, on a clock that only advances."""

    @initialize(
        count=st.integers(1, 12),
        percent=st.sampled_from([0, 10, 34, 100]),
        one=st.booleans(),
        panic=st.sampled_from([0.0, 0.5]),
    )
    def start(self, count, percent, one, panic):
        self.bench = Bench(
            count,
            consecutive_5xx=2,
            max_ejection_percent=percent,
            always_eject_one=one,
            panic_threshold=panic,
            success_rate_minimum_hosts=2,
            success_rate_request_volume=2,
            success_rate_stdev_factor=0.5,
            failure_percentage_minimum_hosts=1,
            failure_percentage_request_volume=1,
            enforcing_failure_percentage=50,
        )
        self.most = max(int(count * percent / 100 + 1e-9), one)
        self.panic = panic
        self.now = 0.0

    @rule(seconds=st.sampled_from([0.0, 0.1, 9.9, 10.0, 35.0, 1000.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(index=st.integers(0, 11), failures=st.integers(0, 5), successes=st.integers(0, 3))
    def call(self, index, failures, successes):
        name = self.bench.names[index % len(self.bench.names)]
        self.bench.fail(name, self.now, failures)
        self.bench.succeed(name, self.now, successes)

    @rule(index=st.integers(0, 11))
    def admit(self, index):
        health = self.bench.health[self.bench.names[index % len(self.bench.names)]]
        at = health.available_at(self.now)
        assert (health.admit(NOBODY, self.now) is not None) == (at <= self.now)
        assert at - self.now <= 310.0
        if at > self.now:
            assert health.state == "ejected"

    @invariant()
    def the_ejected_share_never_exceeds_its_cap(self):
        if getattr(self, "bench", None) is not None:
            detector = self.bench.detector
            ejected = detector.ejected
            assert len(ejected) <= self.most
            assert detector.panicking == (1 - len(ejected) / len(self.bench.names) < self.panic)


Detector.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestDetector = Detector.TestCase


@given(st.floats(0.01, 50), st.floats(0.01, 300), st.floats(0, 1e6))
def test_it_is_out_for_its_time_and_less_than_an_interval_more(interval_s, base_s, at):
    bench = Bench(interval_s=interval_s, base_ejection_s=base_s)
    bench.fail("d0", at, 5)
    out_s = bench.health["d0"].available_at(at) - at
    rounding = 1e-9 * (1.0 + at)
    assert base_s - rounding <= out_s < base_s + interval_s + rounding
    assert bench.admits("d0", bench.health["d0"].available_at(at))


def test_it_is_off_unless_asked_for_and_has_envoys_defaults():
    assert RoutingPolicy().outlier is None
    routing = RoutingPolicy.from_dict({"outlier": {}})
    assert routing.outlier == OutlierPolicy()
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"max_ejection_percent": 101}, "routing.outlier.max_ejection_percent"),
        ({"consecutive_5xx": 0}, "routing.outlier.consecutive_5xx"),
        ({"base_ejection_s": 60, "max_ejection_s": 30}, "routing.outlier.max_ejection_s"),
        ({"panic_threshold": 50}, "routing.outlier.panic_threshold"),
        ({"intervall_s": 5}, "routing.outlier.intervall_s"),
    ],
)
def test_impossible_values_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"outlier": values})
    assert caught.value.path == path
