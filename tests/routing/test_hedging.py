"""The decisions about hedges: delays, head-room, budget and their configuration."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from routing.fakes import copied, deployment

from simsla.routing import ConfigError, Request, RoutingPolicy, Timeouts
from simsla.routing.hedging.budget import HedgeBudget
from simsla.routing.hedging.policy import FixedHedge, PercentileHedge
from simsla.routing.hedging.window import Window
from simsla.routing.progress import Progress
from simsla.routing.selection.chains import Candidate

AMPLE = {"ratio": 1.0, "reserve": 1000.0}


def candidate(name, **more):
    return Candidate(
        deployment(name, **more), asked="standard", chain="standard", timeouts=Timeouts(), health=None
    )


A, B = candidate("a"), candidate("b")


def progress(deadline=1000.0, **request):
    return Progress(Request(1, **request), deadline)


# Budget


class Budgets(RuleBasedStateMachine):
    """Requests and hedges in any order."""

    def __init__(self):
        super().__init__()
        self.policy = HedgeBudget(ratio=0.1, reserve=3.0)
        self.bucket = self.policy.build()
        self.requests = self.hedges = 0

    @rule(count=st.integers(1, 30))
    def requests_come(self, count):
        for _ in range(count):
            self.bucket.deposit()
        self.requests += count

    @precondition(lambda self: self.bucket.affords)
    @rule()
    def hedge(self):
        self.bucket.pay()
        self.hedges += 1

    @invariant()
    def never_negative_and_never_more_than_its_reserve(self):
        assert 0.0 <= self.bucket.tokens <= self.policy.reserve

    @invariant()
    def hedges_are_a_share_of_the_requests(self):
        assert self.hedges <= self.policy.reserve + self.policy.ratio * self.requests + 1e-6


TestBudgets = Budgets.TestCase


def test_ten_deposits_of_a_tenth_pay_one_hedge():
    bucket = HedgeBudget(ratio=0.1, reserve=1.0).build()
    bucket.pay()
    for _ in range(9):
        bucket.deposit()
        assert not bucket.affords
    bucket.deposit()
    assert bucket.affords


# The percentile


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 100)), min_size=1, max_size=60),
    st.integers(1, 20),
    st.floats(0.01, 1.0),
)
def test_a_quantile_is_exact_for_the_samples_in_the_window(steps, most, share):
    window = Window(most, window_s=10.0)
    now = 0.0
    samples = []
    for wait_s, value in steps:
        now += wait_s
        window.add(now, value)
        samples = [(at, each) for at, each in samples if at >= now - 10.0][-(most - 1) or len(samples) :]
        samples.append((now, value))
        values = sorted(each for _, each in samples)
        assert len(window) == len(values)
        rank = min(math.ceil(share * (len(values) + 1)), len(values))
        assert window.quantile(share) == values[rank - 1]


def test_the_next_sample_exceeds_the_percentile_as_often_as_it_says():
    rng = random.Random(3)
    window = Window(200, math.inf)
    above = 0
    for _ in range(200):
        window.add(0.0, rng.expovariate(1.0))
    for _ in range(20_000):
        value = rng.expovariate(1.0)
        above += value > window.quantile(0.95)
        window.add(0.0, value)
    # 200 samples tell 5 % to within 1.5 points; 20,000 draws take them 100 times anew.
    assert above / 20_000 == pytest.approx(0.05, abs=0.006)


def learnt(hedges, seconds, *, at=A, now=0.0, tokens=10):
    for each in seconds:
        hedges.took(at, Request(0), now, each, tokens)


def test_there_is_no_hedge_until_the_percentile_is_known():
    hedges = PercentileHedge(budget=AMPLE, min_samples=19).build()
    learnt(hedges, range(1, 19))
    assert hedges.begin(progress(), A, 0.0) is None
    learnt(hedges, [19])
    assert hedges.begin(progress(), A, 0.0) == pytest.approx(19.0)
    learnt(hedges, [20])
    assert hedges.begin(progress(), A, 0.0) == pytest.approx(20.0)


def test_until_then_the_initial_delay_holds():
    hedges = PercentileHedge(budget=AMPLE, initial_delay_s="3s").build()
    assert hedges.begin(progress(), A, 0.0) == 3.0
    learnt(hedges, [0.5] * 100)
    assert hedges.begin(progress(), A, 0.0) == pytest.approx(0.5, abs=1e-5)


def test_samples_are_forgotten_with_time():
    hedges = PercentileHedge(budget=AMPLE, window_s=60).build()
    learnt(hedges, [0.5] * 100)
    assert hedges.begin(progress(), A, 60.0) == pytest.approx(0.5, abs=1e-5)
    assert hedges.begin(progress(), A, 61.0) is None


@pytest.mark.parametrize(("per", "delay_s"), [("model", 1.0), ("deployment", 9.0)])
def test_a_deployment_is_late_by_the_measure_of_its_model_or_by_its_own(per, delay_s):
    hedges = PercentileHedge(budget=AMPLE, percentile=0.5, per=per).build()
    learnt(hedges, [1.0] * 300, at=A)
    learnt(hedges, [9.0] * 100, at=B)
    assert hedges.begin(progress(), B, 0.0) == pytest.approx(delay_s, abs=1e-5)


def test_instant_answers_are_not_hedged_along_with_their_sending():
    hedges = PercentileHedge(budget=AMPLE).build()
    learnt(hedges, [0.0] * 100)
    assert hedges.begin(progress(), A, 0.0) == 0.001


def test_per_token_an_answer_is_not_late_for_being_long():
    hedges = PercentileHedge(budget=AMPLE, per_token=True).build()
    learnt(hedges, [2.0] * 100, tokens=100)
    assert hedges.begin(progress(max_tokens=500), A, 0.0) == pytest.approx(10.0)
    # Without a limit: as long as the longest seen.
    assert hedges.begin(progress(), A, 0.0) == pytest.approx(2.0)
    # What was cut off was late for an answer of its length, and is above the percentile.
    before = hedges.begin(progress(max_tokens=500), A, 0.0)
    hedges.took(A, Request(0, max_tokens=500), 0.0, 11.0, None)
    assert hedges.begin(progress(max_tokens=500), A, 0.0) == before


# Head-room


def test_no_hedge_where_too_little_of_the_deadline_would_be_left():
    hedges = FixedHedge(budget=AMPLE, delay_s=2, min_headroom_s=3).build()
    assert hedges.begin(progress(5.1), A, 0.0) == 2.0
    assert hedges.begin(progress(5.0), A, 0.0) is None
    assert hedges.in_time(progress(5.0), A, 2.0)
    assert not hedges.in_time(progress(5.0), A, 2.1)


def test_a_hedge_needs_the_live_median():
    hedges = PercentileHedge(budget=AMPLE).build()
    assert hedges.in_time(progress(1.0), A, 0.0)
    learnt(hedges, [4.0] * 60 + [8.0] * 59)
    assert hedges.in_time(progress(10.0), A, 6.0)
    assert not hedges.in_time(progress(10.0), A, 6.1)


def test_with_ample_headroom_the_hedge_waits_until_it_is_thin():
    hedges = FixedHedge(budget=AMPLE, delay_s=1, when_headroom_below_s=4).build()
    assert hedges.begin(progress(10.0), A, 0.0) == 6.0
    assert hedges.begin(progress(4.5), A, 0.0) == 1.0
    # The next hedge of the same attempt comes the plain delay later.
    assert hedges.further(progress(10.0), A, 6.0) == 1.0


def test_each_request_deposits_once():
    hedges = FixedHedge(budget={"ratio": 0.5, "reserve": 4}).build()
    for _ in range(4):
        hedges.pay()
    one = progress()
    hedges.begin(one, A, 0.0)
    one.attempts = 1
    hedges.begin(one, B, 1.0)
    assert hedges.tokens == 0.5


# Configuration


@pytest.mark.parametrize("kind", ["fixed", "percentile"])
def test_each_kind_is_configured_by_its_name(kind):
    routing = RoutingPolicy.from_dict({"hedge": {"kind": kind, "budget": {"ratio": 0.05}}})
    assert routing.hedge.kind == kind
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing


def test_fixed_is_meant_where_no_kind_is_given():
    assert RoutingPolicy.from_dict({"hedge": {"budget": {"ratio": 0.05}}}).hedge.delay_s == 2.0


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "hedge.budget"),
        ({"kind": "percentile"}, "hedge.budget"),
        ({"budget": None}, "hedge.budget"),
        ({"budget": 0.05}, "hedge.budget"),
        ({"budget": {}}, "hedge.budget.ratio"),
        ({"budget": {"ratio": 1.1}}, "hedge.budget.ratio"),
        ({"budget": {"ratio": 0.1, "reserve": 0.5}}, "hedge.budget.reserve"),
        ({"budget": AMPLE, "kind": "percentil"}, "hedge.kind"),
        ({"budget": AMPLE, "on": "first_chunk"}, "hedge.on"),
        ({"budget": AMPLE, "max_hedges": 5}, "hedge.max_hedges"),
        ({"budget": AMPLE, "min_headroom_s": 2, "when_headroom_below_s": 2}, "hedge.when_headroom_below_s"),
        ({"budget": AMPLE, "min_headroom_s": 60}, "hedge.min_headroom_s"),
        ({"budget": AMPLE, "delay_s": 30}, "hedge.delay_s"),
        ({"budget": AMPLE, "kind": "percentile", "initial_delay_s": 30}, "hedge.initial_delay_s"),
        ({"budget": AMPLE, "kind": "percentile", "percentile": 1}, "hedge.percentile"),
        ({"budget": AMPLE, "kind": "percentile", "percentile": 0.999}, "hedge.min_samples"),
        ({"budget": AMPLE, "kind": "percentile", "samples": 99}, "hedge.samples"),
        ({"budget": AMPLE, "kind": "percentile", "per_token": True, "on": "first_token"}, "hedge.per_token"),
    ],
)
def test_impossible_hedges_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"hedge": values})
    assert caught.value.path == f"routing.{path}"


def test_hedges_that_max_attempts_never_allows_are_refused():
    with pytest.raises(ConfigError, match=r"hedge\.max_hedges"):
        RoutingPolicy.from_dict({"max_attempts": 2, "hedge": {"budget": AMPLE, "max_hedges": 2}})


def test_the_limit_of_the_first_token_counts_where_that_is_raced_for():
    values = {"timeouts": {"first_token_s": 1}, "hedge": {"budget": AMPLE, "delay_s": 1}}
    assert RoutingPolicy.from_dict(values).hedge.delay_s == 1.0
    values["hedge"]["on"] = "first_token"
    with pytest.raises(ConfigError, match=r"hedge\.delay_s"):
        RoutingPolicy.from_dict(values)
