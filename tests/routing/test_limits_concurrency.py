from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from routing.fakes import deployment

from simsla.routing import AttemptTimeout, RateLimited, Reply, Request, ServerError
from simsla.routing.limits.envoy import EnvoyGradient
from simsla.routing.limits.netflix import AimdLimit, Gradient2Limit
from simsla.routing.limits.policy import LimitsPolicy
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
WORLD = [deployment("a"), deployment("b")]
KINDS = [AimdLimit, Gradient2Limit, EnvoyGradient]


def reply(total_s, first_token_s=0.5, tokens=100):
    return Reply("", "a", "model", 10, tokens, first_token_s, total_s)


def answer(tokens, first_token_s=0.5, token_s=0.02):
    """An answer at a steady speed."""
    return reply(first_token_s + (tokens - 1) * token_s, first_token_s, tokens)


class Bulkheads(RuleBasedStateMachine):
    """Two deployments of an account: two at a time each, three together."""

    def __init__(self):
        super().__init__()
        policy = LimitsPolicy.from_dict(
            {
                "each": {"max_concurrent": 2},
                "accounts": {"x": {"deployments": ["a", "b"], "max_concurrent": 3}},
            }
        )
        self.parts = policy.build(WORLD, random.Random(1))
        self.flying = {"a": [], "b": []}

    @rule(name=st.sampled_from("ab"))
    def begin(self, name):
        own, account = self.parts[name]
        there = len(self.flying[name])
        together = sum(map(len, self.flying.values()))
        ticket = own.admit(NOBODY, 0.0)
        assert (ticket is not None) == (there < 2)
        assert own.available_at(5.0) == (math.inf if there >= 1 else 5.0)
        if ticket is None:
            assert own.refusal == "concurrency limit"
            return
        shared = account.admit(NOBODY, 0.0)
        assert (shared is not None) == (together < 3)
        if shared is None:
            assert account.refusal == "concurrency limit of account x"
            own.released(ticket, 0.0)
        else:
            self.flying[name].append((ticket, shared))

    @precondition(lambda self: any(self.flying.values()))
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "released"]))
    def end(self, data, how):
        name = data.draw(st.sampled_from([name for name, out in self.flying.items() if out]))
        more = {"succeeded": (reply(1.0),), "failed": (ServerError(),), "released": ()}[how]
        for part, ticket in zip(self.parts[name], self.flying[name].pop(), strict=True):
            getattr(part, how)(ticket, 0.0, *more)

    @invariant()
    def no_more_in_flight_than_allowed(self):
        for name, out in self.flying.items():
            own, account = self.parts[name]
            assert own.in_flight == len(out) <= 2
            assert account.in_flight == sum(map(len, self.flying.values())) <= 3


TestBulkheads = Bulkheads.TestCase
TestBulkheads.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


class Load:
    """Keeps a limit saturated: all its attempts begin together and are answered together."""

    def __init__(self, policy):
        self.part = policy.build(random.Random(1))
        self.now = 0.0

    def round(self, made):
        tickets = []
        while (ticket := self.part.admit(NOBODY, self.now)) is not None:
            tickets.append(ticket)
        self.now += made.total_s
        for ticket in tickets:
            self.part.succeeded(ticket, self.now, made)
        assert self.part.in_flight == 0
        return self.part.limit

    def one(self, made, in_flight):
        """One sample while so many are in flight."""
        tickets = [self.part.admit(NOBODY, self.now) for _ in range(in_flight)]
        for ticket in tickets[:-1]:
            self.part.released(ticket, self.now)
        self.part.succeeded(tickets[-1], self.now, made)

    def fail(self, error):
        self.part.failed(self.part.admit(NOBODY, self.now), self.now, error)


def test_aimd_adds_one_and_takes_a_tenth():
    load = Load(AimdLimit(min_limit=2))
    for _ in range(20):
        load.one(answer(100), in_flight=20)
    assert load.part.limit == 40
    load.one(answer(100), in_flight=19)  # less than half in use
    assert load.part.limit == 40
    load.fail(RateLimited())
    assert load.part.limit == 36
    load.fail(AttemptTimeout(phase="total"))
    assert load.part.limit == 32
    load.fail(ServerError())
    assert load.part.limit == 32
    for _ in range(50):
        load.fail(RateLimited())
    assert load.part.limit == 2


def test_aimd_takes_a_slow_round_trip_for_an_overload():
    load = Load(AimdLimit(min_limit=1, signal="round_trip"))
    load.one(reply(5.1), in_flight=20)
    assert load.part.limit == 18
    load.one(reply(5.0), in_flight=18)
    assert load.part.limit == 19


def test_gradient2_follows_its_formula():
    load = Load(Gradient2Limit(min_limit=1, signal="round_trip"))
    limit = 20.0
    for _ in range(10):  # steady: g = 1
        load.one(reply(1.0), in_flight=20)
        limit = 0.8 * limit + 0.2 * (limit + 4)
    assert limit == pytest.approx(28.0)
    assert load.part.limit == 28
    # Ten samples are in: the long average is exponential over 600 from now on.
    long_s = 1.0 + (2.0 - 1.0) * 2 / 601
    load.one(reply(2.0), in_flight=28)
    limit = 0.8 * limit + 0.2 * (1.5 * long_s / 2.0 * limit + 4)
    assert load.part.limit == int(limit) == 27
    # No more than half at a time.
    load.one(reply(100.0), in_flight=27)
    limit = 0.8 * limit + 0.2 * (0.5 * limit + 4)
    assert load.part.limit == int(limit) == 25


def test_gradient2_does_not_change_while_less_than_half_is_in_use():
    load = Load(Gradient2Limit(initial_limit=40, min_limit=1))
    for in_flight, limit in ((19, 40), (25, 44)):
        for _ in range(6):
            load.one(answer(100), in_flight)
        assert load.part.limit == limit


def test_gradient2_forgets_a_slow_time_quickly():
    load = Load(Gradient2Limit(min_limit=1, signal="round_trip"))
    for _ in range(10):
        load.one(reply(10.0), in_flight=1)
    # x 0.9 for each sample while the average is over twice the latest, so 2 and not 9.4 after twenty.
    for _ in range(20):
        load.one(reply(1.0), in_flight=1)
    load.one(reply(4.0), in_flight=20)
    assert load.part.limit == int(20 * 0.8 + 0.2 * (1.5 * 2.0 / 4.0 * 20 + 4)) == 19


def test_envoy_measures_its_ideal_at_the_lowest_limit():
    load = Load(EnvoyGradient(signal="round_trip"))
    assert load.part.limit == 3
    for _ in range(17):  # 51 answers
        assert load.round(reply(1.0)) == 3
    # g = 1.25, limit = 3 x 1.25 + sqrt(3 x 1.25), rounded down.
    assert load.round(reply(1.0)) == int(3.75 + math.sqrt(3.75)) == 5
    assert load.round(reply(1.0)) == int(6.25 + math.sqrt(6.25)) == 8


@pytest.mark.parametrize(
    ("samples", "gradient"),
    [((50.0, 0.001, 50.0), 0.5), ((50.0, 1.0, 1.0), 1.25), ((50.0, 0.001, 0.001), 2.0)],
)
def test_envoy_clamps_its_gradient_and_takes_the_median(samples, gradient):
    load = Load(EnvoyGradient(signal="round_trip", requests=1, interval_s=1e9))
    for _ in range(6):
        load.round(reply(1.0))
    load.now += 1.0
    load.part.available_at(load.now)
    limit = load.part.limit
    assert 10 < limit < 100
    tickets = [load.part.admit(NOBODY, load.now) for _ in samples]
    load.now += 0.05
    for ticket, took_s in zip(tickets, samples, strict=True):
        load.part.succeeded(ticket, load.now, reply(took_s))
    load.part.available_at(load.now + 0.1)
    assert load.part.limit == int(limit * gradient + math.sqrt(limit * gradient))


def test_envoy_measures_again_when_it_stays_at_the_lowest_limit():
    load = Load(EnvoyGradient(signal="round_trip", requests=10, interval_s=1e9))
    for _ in range(40):
        load.round(reply(1.0))
    assert load.part.limit > 20
    limits = [load.round(reply(10.0)) for _ in range(60)]
    assert 3 in limits
    # Ten seconds are the new ideal.
    assert limits[-1] > 20


def test_envoy_leaves_out_what_began_before_a_measurement():
    load = Load(EnvoyGradient(signal="round_trip", requests=1, interval_s=10.0, jitter=0.0))
    for _ in range(5):
        load.round(reply(1.0))
    before = load.part.limit
    old = load.part.admit(NOBODY, load.now)
    load.now += 11.0
    assert load.part.available_at(load.now) == load.now  # the measurement begins
    assert load.part.limit == 3 < before
    load.part.succeeded(old, load.now, reply(11.0))
    assert load.part.limit == 3
    load.part.succeeded(load.part.admit(NOBODY, load.now), load.now, reply(1.0))
    assert load.part.limit >= before


@pytest.mark.parametrize("policy", KINDS, ids=lambda each: each.kind)
@pytest.mark.parametrize("signal", ["per_token", "round_trip"])
def test_long_answers_collapse_the_limit_only_where_round_trips_are_measured(policy, signal):
    lowest = {"min_limit": 4, "initial_limit": 20} if policy is not EnvoyGradient else {"interval_s": 1e9}
    load = Load(policy(signal=signal, **lowest))
    for _ in range(100):
        load.round(answer(20))
    before = load.part.limit
    assert before >= 100
    limits = [load.round(answer(1000)) for _ in range(30)]
    if signal == "per_token":
        assert min(limits) >= before
    else:
        assert min(limits) <= 0.2 * before


@pytest.mark.parametrize("policy", KINDS, ids=lambda each: each.kind)
def test_the_speed_of_tokens_is_measured_from_whole_answers_too(policy):
    """Nobody sees the first token of an answer that is not streamed."""
    load = Load(policy(**({"interval_s": 1e9} if policy is EnvoyGradient else {})))
    whole = Reply("", "a", "model", 10, 50, 5.0, 5.0)
    for _ in range(100):
        load.round(whole)
    assert load.part.limit > 20


@pytest.mark.parametrize("policy", KINDS, ids=lambda each: each.kind)
def test_a_slower_first_token_is_seen_where_it_is_the_signal(policy):
    more = {"slow_s": 1.0, "min_limit": 4} if policy is AimdLimit else {"min_limit": 4}
    load = Load(policy(signal="first_token", **({"interval_s": 1e9} if policy is EnvoyGradient else more)))
    for _ in range(100):
        load.round(answer(20))
    before = load.part.limit
    limits = [load.round(answer(20, first_token_s=5.0)) for _ in range(30)]
    assert min(limits) <= 0.2 * before


@pytest.mark.parametrize("policy", KINDS, ids=lambda each: each.kind)
@settings(max_examples=40, deadline=None)
@given(
    signal=st.sampled_from(["per_token", "first_token", "round_trip"]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["begin", "answer", "limited", "broken", "cancel"]),
            st.floats(0.0, 100.0),
            st.integers(0, 2000),
        ),
        max_size=150,
    ),
    data=st.data(),
)
def test_the_limit_stays_within_its_bounds_and_is_kept(policy, signal, steps, data):
    bounds = {"min_limit": 2, "max_limit": 12, "initial_limit": 5}
    if policy is EnvoyGradient:
        bounds = {"min_concurrency": 2, "max_concurrency": 12, "requests": 4}
    part = policy(signal=signal, **bounds).build(random.Random(1))
    now, flying = 0.0, []
    for what, seconds, tokens in steps:
        now += seconds / 10.0
        if what == "begin":
            ticket = part.admit(NOBODY, now)
            assert (ticket is None) == (len(flying) >= part.limit)
            if ticket is not None:
                flying.append(ticket)
        elif flying:
            ticket = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            if what == "answer":
                part.succeeded(ticket, now, reply(seconds, seconds / 3.0, tokens))
            elif what == "cancel":
                part.released(ticket, now)
            else:
                part.failed(ticket, now, RateLimited() if what == "limited" else ServerError())
        assert part.in_flight == len(flying) <= 12
        assert 2 <= part.limit <= 12
        assert part.available_at(now) == (now if len(flying) < part.limit else math.inf)
