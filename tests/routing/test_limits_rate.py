from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from routing.fakes import deployment

from simsla.routing import (
    AttemptTimeout,
    BadRequest,
    ConnectError,
    RateLimited,
    Reply,
    Request,
    ServerError,
)
from simsla.routing.limits.bucket import Bucket
from simsla.routing.limits.policy import LimitsPolicy
from simsla.routing.progress import Progress

WORLD = [deployment("a"), deployment("b")]


def limit(name="a", **values):
    """The one limit of a deployment."""
    (part,) = LimitsPolicy.from_dict(values).build(WORLD, random.Random(1))[name]
    return part


def ask(tokens_in=0, max_tokens=0):
    return Progress(Request(1, prompt_tokens=tokens_in, max_tokens=max_tokens))


def begin(part, progress, now):
    ticket = part.admit(progress, now)
    progress.attempts += ticket is not None
    return ticket


def reply(tokens_in, tokens_out):
    return Reply("", "a", "model", tokens_in, tokens_out, 0.1, 1.0)


def burst(part, now, tokens_in=0, max_tokens=0):
    """Attempts that are admitted at one moment."""
    count = 0
    while begin(part, ask(tokens_in, max_tokens), now) is not None:
        count += 1
    return count


def test_requests_a_minute_come_in_a_burst_and_then_at_the_rate():
    part = limit(each={"rpm": 30})
    assert burst(part, 0.0) == 30
    assert part.refusal == "rpm limit"
    assert part.available_at(0.0) == pytest.approx(2.0)
    assert burst(part, 1.9) == 0
    assert burst(part, 2.0) == 1
    assert burst(part, 7.0) == 2
    assert burst(part, 1000.0) == 30


def test_a_smaller_burst_holds_at_least_one_request():
    assert burst(limit(each={"rpm": 600}, burst_s=1.0), 5.0) == 10
    assert burst(limit(each={"rpm": 6}, burst_s=1.0), 5.0) == 1


def test_tokens_count_with_the_prompt_and_the_most_output():
    assert burst(limit(each={"tpm": 6000}), 0.0, tokens_in=500, max_tokens=500) == 6
    part = limit(each={"tpm": 6000}, assumed_output_tokens=1500)
    assert burst(part, 0.0, tokens_in=500, max_tokens=None) == 3
    assert part.refusal == "tpm limit"


def test_an_answer_corrects_its_tokens():
    part = limit(each={"tpm": 6000})
    progress = ask(1000, 5000)
    ticket = begin(part, progress, 0.0)
    assert burst(part, 0.0, 100, 0) == 0
    part.succeeded(ticket, 0.0, reply(1000, 2000))
    assert burst(part, 0.0, 100, 0) == 30


def test_an_answer_longer_than_assumed_leaves_a_debt():
    part = limit(each={"tpm": 6000}, assumed_output_tokens=0)
    part.succeeded(begin(part, ask(0, None), 0.0), 0.0, reply(0, 9000))
    # 3000 below 0, at 100 tokens per second.
    assert part.available_at(0.0) == pytest.approx(30.0, abs=0.1)


@pytest.mark.parametrize(
    ("end", "requests", "tokens"),
    [
        (ConnectError(), 1, 1000),
        (AttemptTimeout(phase="connect"), 1, 1000),
        (RateLimited(), 0, 1000),
        (ServerError(), 0, 1000),
        (AttemptTimeout(phase="total"), 0, 0),
        (None, 0, 0),
        (BadRequest(), 0, 1000),
    ],
)
def test_what_comes_back_of_an_attempt_without_an_answer(end, requests, tokens):
    def left(quota, tokens_in):
        part = limit(each=quota)
        ticket = begin(part, ask(500, 500), 0.0)
        if end is None or end.blames_request:
            part.released(ticket, 0.0, end)
        else:
            part.failed(ticket, 0.0, end)
        return burst(part, 0.0, tokens_in)

    assert left({"rpm": 10}, 0) == 9 + requests
    assert left({"tpm": 10_000}, 1) == 9000 + tokens


def test_an_attempt_that_never_began_takes_nothing():
    part = limit(each={"rpm": 1, "tpm": 100})
    for _ in range(5):
        ticket = part.admit(ask(100), 0.0)
        part.released(ticket, 0.0)
    assert burst(part, 0.0, 100) == 1


def test_a_request_larger_than_the_bucket_passes_when_it_is_full():
    part = limit(each={"tpm": 600}, burst_s=10.0)
    small = begin(part, ask(1), 0.0)
    assert small is not None
    assert begin(part, ask(1000), 0.0) is None
    assert begin(part, ask(1000), 1.0) is not None
    # It left 900 of debt, at 10 tokens per second.
    assert part.available_at(1.0) == pytest.approx(91.1)


def test_an_account_is_shared_and_refuses_before_anything_is_taken():
    policy = LimitsPolicy.from_dict(
        {"each": {"rpm": 100}, "accounts": {"team": {"deployments": ["a", "b"], "rpm": 10}}}
    )
    parts = policy.build(WORLD, random.Random(1))
    (a,), (b,) = parts["a"], parts["b"]
    assert burst(a, 0.0) == 10
    assert begin(b, ask(), 0.0) is None
    assert b.refusal == "rpm limit of account team"
    for _ in range(200):
        assert begin(b, ask(), 0.0) is None
    # b's own bucket was never touched: only the account's is empty.
    assert burst(b, 60.0) == 10


def test_a_deployments_own_limits_go_before_those_of_each():
    values = {"each": {"rpm": 10, "tpm": 100}, "deployments": {"a": {"rpm": 3}}}
    assert burst(limit("a", **values), 0.0) == 3
    assert burst(limit("b", **values), 0.0) == 10
    assert burst(limit("a", **values), 0.0, tokens_in=50) == 2


@given(
    st.floats(0.01, 1e6),
    st.floats(1.0, 1e6),
    st.floats(0.0, 1e9),
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20),
)
def test_after_its_wait_a_bucket_has_enough(per_s, capacity, now, amounts):
    bucket = Bucket(per_s, capacity)
    for amount in amounts:
        wait_s = bucket.wait_s(amount, now)
        now += wait_s
        # A clock as far from 0 as 30 years rounds to 1e-7 s.
        assert bucket.wait_s(amount, now) <= 1e-6
        bucket.take(amount, now)


@given(st.floats(0.0, 1e7), st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
def test_when_the_limit_says_so_the_smallest_request_is_admitted(now, sizes):
    part = limit(each={"rpm": 60, "tpm": 6000})
    for tokens in sizes:
        begin(part, ask(tokens), now)
        at = part.available_at(now)
        assert at >= now
        assert part.admit(ask(1), at) is not None
        now = at


class RateMachine(RuleBasedStateMachine):
    """Two deployments of an account, each with limits of its own; the model counts what was really used."""

    RPM, TPM, BURST_S, LARGEST = 60.0, 6000.0, 10.0, 1500

    def __init__(self):
        super().__init__()
        policy = LimitsPolicy.from_dict(
            {
                "each": {"rpm": self.RPM, "tpm": self.TPM},
                "accounts": {"x": {"deployments": ["a", "b"], "rpm": self.RPM, "tpm": self.TPM}},
                "burst_s": self.BURST_S,
            }
        )
        built = policy.build(WORLD, random.Random(1))
        self.parts = {name: parts[0] for name, parts in built.items()}
        self.now = 0.0
        self.flying = []
        self.requests = {"a": 0, "b": 0}
        self.tokens = {"a": 0.0, "b": 0.0}

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from("ab"), tokens_in=st.integers(0, 750), max_tokens=st.integers(0, 750))
    def ask(self, name, tokens_in, max_tokens):
        progress = ask(tokens_in, max_tokens)
        ticket = begin(self.parts[name], progress, self.now)
        if ticket is not None:
            self.flying.append((name, ticket, progress.request))
            self.requests[name] += 1
            self.tokens[name] += tokens_in + max_tokens

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), how=st.sampled_from(["answer", "connect", "limited", "timeout", "cancel"]))
    def end(self, data, how):
        name, ticket, request = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        part, taken = self.parts[name], request.prompt_tokens + request.max_tokens
        if how == "answer":
            made = data.draw(st.integers(0, request.max_tokens))
            part.succeeded(ticket, self.now, reply(request.prompt_tokens, made))
            self.tokens[name] -= request.max_tokens - made
        elif how == "cancel":
            part.released(ticket, self.now)
        else:
            error = {"connect": ConnectError, "limited": RateLimited, "timeout": AttemptTimeout}[how]()
            part.failed(ticket, self.now, error)
            self.tokens[name] -= 0 if how == "timeout" else taken
            self.requests[name] -= how == "connect"

    @invariant()
    def the_rate_is_never_exceeded(self):
        seconds = self.BURST_S + self.now
        for used in (*self.requests.values(), sum(self.requests.values())):
            assert used <= self.RPM / 60.0 * seconds + 0.01
        # One request larger than the bucket may be beyond.
        beyond = self.LARGEST - self.TPM / 60.0 * self.BURST_S
        for used in (*self.tokens.values(), sum(self.tokens.values())):
            assert used <= self.TPM / 60.0 * seconds + beyond + 0.01


TestRateMachine = RateMachine.TestCase
TestRateMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
