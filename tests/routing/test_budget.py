from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, copied, deployment, fails, play, policy

from simsla.routing import (
    AllAttemptsFailed,
    ConfigError,
    ContextLengthExceeded,
    RateLimited,
    Reply,
    Request,
    RoutingError,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.retries.budget import AWSBudget, EnvoyBudget, FinagleBudget, GRPCBudget

ERROR = ServerError()


def spend(budget, requests, attempts=4, every_s=0.01):
    """Retries that were allowed to requests that fail for ever."""
    state = budget.build()
    retries = 0
    for number in range(requests):
        now = number * every_s
        lease = state.open(now)
        for _ in range(attempts - 1):
            lease.failed(now, ERROR)
            if not lease.retry(now, ERROR):
                break
            retries += 1
        lease.close(now, answered=False)
    return retries


@pytest.mark.parametrize("ratio", [0.1, 0.2])
def test_finagle_caps_amplification_under_total_failure(ratio):
    retries = spend(FinagleBudget(ratio=ratio, reserve_per_s=0.0), 20_000)
    assert 1.0 + retries / 20_000 == pytest.approx(1.0 + ratio, abs=0.001)
    assert retries <= ratio * 20_000


def test_finagle_keeps_a_reserve_for_little_traffic():
    # 10 requests in 1 s: 10 / s x 10 s of reserve pays for every retry.
    assert spend(FinagleBudget(), 10, attempts=4, every_s=0.1) == 30
    # The reserve pays 100 retries within any 10 s, the deposits 0.2 each.
    assert spend(FinagleBudget(), 1000, attempts=4) == pytest.approx(100 + 0.2 * 1000, abs=1)


def test_finagle_forgets_deposits_after_their_time():
    state = FinagleBudget(reserve_per_s=0.0).build()
    for _ in range(50):
        state.open(0.0)
    assert state.balance(9.9) == 50.0
    assert state.balance(10.0) == 0.0
    assert not state.retry(10.0, ERROR)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=80),
    st.floats(0.05, 2),
    st.floats(0, 3),
)
def test_the_finagle_balance_is_never_negative(steps, ratio, reserve_per_s):
    state = FinagleBudget(ratio=ratio, reserve_per_s=reserve_per_s).build()
    now = 0.0
    for wait_s, retry in steps:
        now += wait_s
        before = state.balance(now)
        if retry:
            paid = state.retry(now, ERROR)
            assert paid == (before >= 1.0 / ratio - 1e-9)
        else:
            state.open(now)
        assert state.balance(now) >= 0.0


def test_envoy_allows_a_share_of_what_is_active():
    state = EnvoyBudget().build()
    leases = [state.open(0.0) for _ in range(50)]
    allowed = [lease.retry(0.0, ERROR) for lease in leases]
    assert sum(allowed) == 10
    leases[0].failed(0.0, ERROR)
    assert leases[20].retry(0.0, ERROR)
    for lease in leases:
        lease.close(0.0, answered=False)
    assert (state.active, state.retrying) == (0, 0)


def test_envoy_always_allows_three():
    state = EnvoyBudget().build()
    assert [state.open(0.0).retry(0.0, ERROR) for _ in range(5)] == [True, True, True, False, False]


@given(st.lists(st.sampled_from(["open", "fail", "close"]), max_size=120), st.data())
def test_no_more_retries_are_active_than_envoy_allows(steps, data):
    state = EnvoyBudget(ratio=0.5, min_retries=1).build()
    out = []
    for step in steps:
        if step == "open":
            out.append(state.open(0.0))
        elif out:
            lease = out.pop(data.draw(st.integers(0, len(out) - 1)))
            lease.failed(0.0, ERROR)
            before = state.retrying
            if step == "fail" and lease.retry(0.0, ERROR):
                assert state.retrying == before + 1 <= state.limit
                out.append(lease)
            else:
                lease.close(0.0, answered=True)
        assert 0 <= state.retrying <= state.active == len(out)


def test_grpc_stops_at_half_of_its_tokens_and_recovers_by_successes():
    state = GRPCBudget().build()
    allowed = []
    for _ in range(6):
        state.failed(0.0, ERROR)
        allowed.append(state.retry(0.0, ERROR))
    assert allowed == [True] * 4 + [False] * 2
    for _ in range(9):
        state.close(0.0, answered=True)
    assert not state.retry(0.0, ERROR)
    for _ in range(2):
        state.close(0.0, answered=True)
    assert state.retry(0.0, ERROR)


@given(st.lists(st.booleans(), max_size=200))
def test_grpc_tokens_stay_within_their_bounds(successes):
    state = GRPCBudget().build()
    for success in successes:
        if success:
            state.close(0.0, answered=True)
        else:
            state.failed(0.0, ERROR)
        assert 0.0 <= state.tokens <= 10.0


def test_aws_pays_by_the_kind_of_error_and_gives_the_last_cost_back():
    state = AWSBudget().build()
    lease = state.open(0.0)
    assert lease.retry(0.0, ServerError())
    assert lease.retry(0.0, RateLimited())
    assert state.tokens == 500 - 14 - 5
    lease.close(0.0, answered=True)
    assert state.tokens == 500 - 14
    state.open(0.0).close(0.0, answered=True)
    assert state.tokens == 500 - 14 + 1
    state.open(0.0).close(0.0, answered=False)
    assert state.tokens == 500 - 14 + 1


def test_aws_pays_for_35_transient_retries():
    assert spend(AWSBudget(), 1000) == 500 // 14


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([ServerError, RateLimited]), st.booleans()), max_size=60
    )
)
def test_aws_tokens_stay_within_their_bounds(requests):
    state = AWSBudget(capacity=40).build()
    for retries, error, answered in requests:
        lease = state.open(0.0)
        for _ in range(retries):
            lease.retry(0.0, error())
            assert 0.0 <= state.tokens <= 40.0
        lease.close(0.0, answered=answered)
        assert 0.0 <= state.tokens <= 40.0


@pytest.mark.parametrize("kind", ["finagle", "envoy", "grpc", "aws"])
def test_each_is_configured_by_its_name(kind):
    routing = RoutingPolicy.from_dict({"retry_budget": {"kind": kind}})
    assert routing.retry_budget.kind == kind
    assert RoutingPolicy.from_dict(routing.to_dict()) == copied(routing) == routing


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"kind": "finagel"}, "routing.retry_budget.kind"),
        ({"ratio": 0}, "routing.retry_budget.ratio"),
        ({"ratio": True}, "routing.retry_budget.ratio"),
        ({"kind": "envoy", "ratio": 20}, "routing.retry_budget.ratio"),
        ({"kind": "grpc", "max_tokens": 1001}, "routing.retry_budget.max_tokens"),
        ({"kind": "aws", "capacity": 10}, "routing.retry_budget.transient_cost"),
        (20, "routing.retry_budget"),
    ],
)
def test_impossible_budgets_are_refused_when_read(values, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"retry_budget": values})
    assert caught.value.path == path


def flood(routing, transport, requests, every_s=0.01):
    async def one(handle, number):
        await asyncio.sleep(number * every_s)
        try:
            return await handle(Request(number))
        except RoutingError as error:
            return error

    async def main():
        handle = routing(transport)
        return await asyncio.gather(*(one(handle, number) for number in range(requests)))

    return play(main())


@pytest.mark.parametrize("ratio", [0.1, 0.2])
def test_a_router_in_total_failure_amplifies_no_more_than_its_budget(ratio):
    names = [deployment("a"), deployment("b")]
    transport = ScriptedTransport(names, {name: [fails(ServerError)] for name in "ab"})
    routing = policy(
        retry={"max_attempts": 3, "backoff": {"base_s": 0}},
        breaker=None,
        retry_budget={"kind": "finagle", "ratio": ratio, "reserve_per_s": 0},
    )
    outcomes = flood(routing, transport, 3000)
    assert len(transport.called) / 3000 == pytest.approx(1.0 + ratio, abs=0.01)
    assert len(transport.called) <= (1.0 + ratio) * 3000
    assert all(isinstance(each, AllAttemptsFailed) for each in outcomes)


def test_an_empty_budget_ends_the_request_without_a_wait():
    transport = ScriptedTransport([deployment("a")], {"a": [fails(ServerError)]})
    routing = policy(
        retry={"max_attempts": 3, "backoff": {"kind": "constant", "interval_s": 5}},
        retry_budget={"kind": "finagle", "ratio": 0.1, "reserve_per_s": 0},
    )

    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(AllAttemptsFailed):
            await routing(transport)(Request(1))
        return loop.time() - start

    assert play(main()) == pytest.approx(0.1)
    assert transport.called == ["a"]


def test_a_larger_context_window_costs_no_budget():
    sizes = [deployment("a", context_window=10), deployment("b", context_window=20)]
    transport = ScriptedTransport(sizes, {"a": [fails(ContextLengthExceeded)]})
    routing = policy(retry_budget={"kind": "envoy", "min_retries": 0, "ratio": 0})
    (reply,) = flood(routing, transport, 1)
    assert isinstance(reply, Reply)
    assert transport.called == ["a", "b"]


def test_a_cancelled_request_closes_its_lease():
    transport = ScriptedTransport([deployment("a")], {"a": [fails(ServerError), Answer(after_s=50.0)]})
    routing = policy(
        retry={"max_attempts": 2, "backoff": {"base_s": 0}},
        retry_budget={"kind": "envoy", "min_retries": 1, "ratio": 0},
        timeouts={"total_s": 60},
        breaker=None,
    )

    async def main():
        handle = routing(transport)
        task = asyncio.create_task(handle(Request(1)))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        transport.script["a"] = [fails(ServerError), Answer()]
        return await handle(Request(2))

    assert play(main()).metadata["attempts"] == 2
