from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from routing.fakes import ScriptedTransport, copied, deployment, play, policy

from simsla.routing import (
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectError,
    MalformedReply,
    NotFound,
    RateLimited,
    Reply,
    Request,
    Router,
    RoutingPolicy,
    ServerError,
    StreamInterrupted,
)
from simsla.routing.limits.spend import SpendPolicy
from simsla.routing.progress import Progress

HOUR_S = 3600.0
WORLD = [
    deployment("dear", usd_per_mtok_in=10.0, usd_per_mtok_out=100.0),
    deployment("cheap", usd_per_mtok_in=1.0, usd_per_mtok_out=10.0),
    deployment("free"),
    deployment("prompt_only", usd_per_mtok_in=10.0),
]


def caps(**values):
    return SpendPolicy(**values).build(WORLD)


def ask(tokens_in=0, max_tokens=None):
    return Progress(Request(1, prompt_tokens=tokens_in, max_tokens=max_tokens))


def begin(cap, progress, now=0.0):
    ticket = cap.admit(progress, now)
    progress.attempts += ticket is not None
    return ticket


def reply(tokens_in, tokens_out):
    return Reply("", "a", "model", tokens_in, tokens_out, 0.1, 1.0)


def test_the_worst_case_of_an_attempt_must_fit_its_request():
    cap = caps(per_request_usd=0.011)["dear"]
    progress = ask(tokens_in=100, max_tokens=100)  # 0.001 + 0.01
    assert begin(cap, progress) is not None
    assert progress.max_tokens is None
    assert progress.committed_usd == pytest.approx(0.011)
    assert begin(cap, progress) is None
    assert cap.refusal == "spend cap per request"
    assert begin(cap, ask(100, 100)) is not None


def test_the_output_is_cut_to_what_fits():
    cap = caps(per_request_usd=0.011)["dear"]
    progress = ask(tokens_in=100, max_tokens=500)
    assert begin(cap, progress) is not None
    assert progress.max_tokens == 100
    # The prompt alone takes all but 15 tokens.
    assert begin(cap, ask(tokens_in=950, max_tokens=500)) is None
    progress = ask(tokens_in=940, max_tokens=500)
    assert begin(cap, progress) is not None
    assert progress.max_tokens == 16


def test_an_answer_that_wants_little_may_have_little():
    cap = caps(per_request_usd=0.011)["dear"]
    progress = ask(tokens_in=950, max_tokens=15)
    assert begin(cap, progress) is not None
    assert progress.max_tokens is None
    assert begin(cap, ask(tokens_in=1100, max_tokens=1)) is None


def test_a_request_without_a_limit_gets_one_so_that_the_cap_holds():
    parts = caps(per_request_usd=100.0, assumed_output_tokens=300)
    progress = ask(tokens_in=10)
    begin(parts["cheap"], progress)
    assert progress.max_tokens == 300
    assert progress.committed_usd == pytest.approx(10e-6 + 0.003)
    begin(parts["free"], progress)
    assert progress.max_tokens is None
    begin(parts["prompt_only"], progress)
    assert progress.max_tokens is None


def test_a_free_deployment_is_never_refused():
    parts = caps(per_request_usd=0.001, per_day_usd=0.001)
    begin(parts["cheap"], ask(1000, 0))
    assert begin(parts["cheap"], ask(100, 0)) is None
    assert begin(parts["free"], ask(10**9, 10**9)) is not None
    assert parts["free"].available_at(5.0) == 5.0


@pytest.mark.parametrize(
    ("end", "spent"),
    [
        (reply(100, 20), 0.001 + 0.002),
        (ConnectError(), 0.0),
        (RateLimited(), 0.0),
        (ServerError(), 0.0),
        (NotFound(), 0.0),
        (AuthenticationFailed(), 0.0),
        (AttemptTimeout(phase="connect"), 0.0),
        (AttemptTimeout(phase="first_token"), 0.011),
        (AttemptTimeout(phase="total"), 0.011),
        (StreamInterrupted(), 0.011),
        (MalformedReply(), 0.011),
        ("released", 0.011),
        (BadRequest(), 0.0),
    ],
)
def test_what_an_attempt_counts_when_it_has_ended(end, spent):
    cap = caps(per_request_usd=1.0, per_day_usd=1.0)["dear"]
    progress = ask(100, 100)
    ticket = begin(cap, progress)
    if isinstance(end, Reply):
        cap.succeeded(ticket, 1.0, end)
    elif end == "released":
        cap.released(ticket, 1.0)
    elif isinstance(end, BadRequest):
        cap.released(ticket, 1.0, end)
    else:
        cap.failed(ticket, 1.0, end)
    assert progress.committed_usd == pytest.approx(spent)
    # The day counts the same: what is left is exactly the rest.
    rest = 1.0 - spent
    exact = ask(0, round(rest / 100e-6))
    assert begin(cap, exact, 2.0) is not None
    assert exact.max_tokens is None
    assert begin(cap, ask(0, 16), 2.0) is None


def test_an_attempt_that_another_limit_refused_costs_nothing():
    cap = caps(per_request_usd=0.011)["dear"]
    progress = ask(100, 100)
    cap.released(cap.admit(progress, 0.0), 0.0)
    assert progress.committed_usd == pytest.approx(0.0)
    assert begin(cap, progress) is not None


def test_subordinate_calls_are_paid_by_their_request():
    parts = caps(per_request_usd=0.011)
    parent = ask(100, 100)
    child = ask(100, 50)
    child.account = parent
    ticket = begin(parts["dear"], child)
    assert (child.committed_usd, parent.committed_usd) == (0.0, pytest.approx(0.006))
    assert begin(parts["dear"], parent) is not None
    assert parent.max_tokens == 40
    parts["dear"].succeeded(ticket, 1.0, reply(0, 0))
    assert parent.committed_usd == pytest.approx(0.005)


def test_the_day_is_shared_by_deployments_and_ends_a_day_after_the_spending():
    parts = caps(per_day_usd=1.0)
    ticket = begin(parts["dear"], ask(0, 6000), 0.0)
    assert begin(parts["cheap"], ask(0, 40_001), 0.0) is not None
    assert begin(parts["cheap"], ask(0, 16), 0.0) is None
    assert parts["cheap"].refusal == "spend cap per day"
    # All of it is in flight: nobody knows what comes back.
    assert parts["cheap"].available_at(10.0) == math.inf
    parts["dear"].failed(ticket, 2.5 * HOUR_S, AttemptTimeout())
    assert begin(parts["cheap"], ask(0, 16), 26.9 * HOUR_S) is None
    assert parts["cheap"].available_at(2.5 * HOUR_S) == 27.0 * HOUR_S
    assert begin(parts["cheap"], ask(0, 60_000), 27.0 * HOUR_S) is not None


def test_half_of_the_days_cap_leaves_the_other_half():
    parts = caps(per_day_usd=1.0)
    parts["dear"].succeeded(begin(parts["dear"], ask(0, 10_000)), 0.0, reply(0, 5000))
    assert parts["dear"].available_at(1.0) == 1.0
    progress = ask(0, 10_000)
    assert begin(parts["dear"], progress, 1.0) is not None
    assert progress.max_tokens == 5000


class SpendMachine(RuleBasedStateMachine):
    """Requests with several attempts and subordinates; the model keeps every possible dollar itself."""

    REQUEST_USD, DAY_USD = 0.05, 0.2

    def __init__(self):
        super().__init__()
        self.parts = caps(
            per_request_usd=self.REQUEST_USD, per_day_usd=self.DAY_USD, assumed_output_tokens=200
        )
        self.now = 0.0
        self.requests = []
        self.flying = []
        self.costs = []  # request, when, USD

    @rule(seconds=st.sampled_from([0.0, 1.0, 1800.0, HOUR_S, 5 * HOUR_S, 23 * HOUR_S]))
    def wait(self, seconds):
        self.now += seconds

    @rule(tokens_in=st.integers(0, 2000), max_tokens=st.none() | st.integers(0, 2000))
    def new(self, tokens_in, max_tokens):
        self.requests.append(ask(tokens_in, max_tokens))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), tokens_in=st.integers(0, 500))
    def subordinate(self, data, tokens_in):
        parent = data.draw(st.sampled_from(self.requests))
        child = ask(tokens_in, 50)
        child.account = parent.account or parent
        self.requests.append(child)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), name=st.sampled_from(["dear", "cheap", "free"]))
    def begin(self, data, name):
        progress = data.draw(st.sampled_from(self.requests))
        cap = self.parts[name]
        ticket = begin(cap, progress, self.now)
        if ticket is None:
            assert name != "free"
            return
        request, most = progress.request, progress.max_tokens
        if most is None:
            most = 200 if request.max_tokens is None else request.max_tokens
        assert request.max_tokens is None or most <= request.max_tokens
        assert name == "free" or most <= 200 or request.max_tokens is not None
        prices = next(each for each in WORLD if each.name == name)
        usd_in, usd_out = prices.usd_per_mtok_in * 1e-6, prices.usd_per_mtok_out * 1e-6
        payer = progress.account or progress
        self.flying.append((cap, ticket, payer, request.prompt_tokens, most, usd_in, usd_out))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), how=st.sampled_from(["answer", "refused", "timeout", "cancel"]))
    def end(self, data, how):
        index = data.draw(st.integers(0, len(self.flying) - 1))
        cap, ticket, payer, tokens_in, most, usd_in, usd_out = self.flying.pop(index)
        made = most
        if how == "answer":
            made = data.draw(st.integers(0, most))
            cap.succeeded(ticket, self.now, reply(tokens_in, made))
        elif how == "refused":
            tokens_in = made = 0
            cap.failed(ticket, self.now, RateLimited())
        elif how == "timeout":
            cap.failed(ticket, self.now, AttemptTimeout())
        else:
            cap.released(ticket, self.now)
        self.costs.append((payer, self.now, tokens_in * usd_in + made * usd_out))

    def possible(self):
        for _, _, payer, tokens_in, most, usd_in, usd_out in self.flying:
            yield payer, self.now, tokens_in * usd_in + most * usd_out

    @invariant()
    def no_cap_is_ever_exceeded(self):
        every = [*self.costs, *self.possible()]
        day = sum(usd for _, at, usd in every if at > self.now - 24 * HOUR_S)
        assert day <= self.DAY_USD + 1e-7
        for progress in self.requests:
            spent = sum(usd for payer, _, usd in every if payer is progress)
            assert spent <= self.REQUEST_USD + 1e-7
            assert progress.committed_usd == pytest.approx(spent, abs=1e-9)


TestSpendMachine = SpendMachine.TestCase
TestSpendMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(1e-5, 1.0))
def test_what_is_admitted_costs_no_more_than_the_cap(tokens_in, max_tokens, usd):
    progress = ask(tokens_in, max_tokens)
    ticket = begin(caps(per_request_usd=usd)["dear"], progress)
    most = max_tokens if progress.max_tokens is None else progress.max_tokens
    worst_usd = tokens_in * 10e-6 + most * 100e-6
    if ticket is not None:
        assert worst_usd <= usd + 1e-8
        # Not one token could have been added.
        assert most == max_tokens or worst_usd + 100e-6 > usd
    else:
        assert tokens_in * 10e-6 + min(max_tokens, 16) * 100e-6 > usd


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "routing.spend.per_request_usd"),
        ({"per_day_usd": 0}, "routing.spend.per_day_usd"),
        ({"per_day_usd": "5"}, "routing.spend.per_day_usd"),
        ({"per_request_usd": 2, "per_day_usd": 1}, "routing.spend.per_request_usd"),
        ({"per_day_usd": 1, "min_output_tokens": 5000}, "routing.spend.min_output_tokens"),
        ({"per_dau_usd": 1}, "routing.spend.per_dau_usd"),
        (5, "routing.spend"),
    ],
)
def test_impossible_caps_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"spend": values})
    assert caught.value.path == path


def test_a_cap_round_trips():
    policy = RoutingPolicy.from_dict({"spend": {"per_request_usd": 0.05, "per_day_usd": 50}})
    assert RoutingPolicy.from_dict(policy.to_dict()) == copied(policy) == policy
    assert RoutingPolicy().spend is None


def test_a_deployment_whose_account_is_used_up_is_passed_over():
    """A budget per provider: the others go on, and the cap holds for its deployments together."""
    priced = [deployment(name, usd_per_mtok_in=0.0, usd_per_mtok_out=1000.0) for name in "abc"]
    transport = ScriptedTransport(priced)  # 10 tokens an answer: a cent
    spend = {"accounts": {"dear": {"deployments": ["a", "b"], "per_day_usd": 0.055}}}
    router = Router(policy(spend=spend, selection={"kind": "round_robin"}), transport)

    async def main():
        for number in range(30):
            await router.handle(Request(number, max_tokens=10))

    play(main())
    called = Counter(transport.called)
    assert called["a"] + called["b"] == 5
    assert called["c"] == 25


@pytest.mark.parametrize("deployments", [[], ["a", "a"], ["z"]])
def test_accounts_with_impossible_deployments_are_refused(deployments):
    spend = {"accounts": {"x": {"deployments": deployments, "per_day_usd": 1}}}
    with pytest.raises(ConfigError, match=r"spend\.accounts\.x\.deployments"):
        Router(policy(spend=spend), ScriptedTransport([deployment("a")]))
