from __future__ import annotations

import asyncio

import numpy as np
import pytest
from routing.fakes import HANG, Answer, ScriptedTransport, deployment, fails, play, policy
from simulation.scenarios import varied

from simsla.records.names import ATTEMPT_OUTCOMES
from simsla.routing import (
    AllAttemptsFailed,
    BadRequest,
    NoDeployment,
    RateLimited,
    Reply,
    Request,
    Router,
    RoutingError,
    ServerError,
)
from simsla.simulation import run_one

AB = [deployment("a"), deployment("b")]
PRICED = [deployment(name, usd_per_mtok_in=10.0, usd_per_mtok_out=100.0) for name in "ab"]


class Recording(ScriptedTransport):
    """Keeps the output limit of each attempt."""

    def __init__(self, *args):
        super().__init__(*args)
        self.max_tokens = []

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        self.max_tokens.append(max_tokens)
        return await super().send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)


def flood(routing, transport, requests, every_s=0.0):
    """What became of requests that come one after the other."""

    async def one(handle, number, request):
        await asyncio.sleep(number * every_s)
        try:
            return await handle(request)
        except RoutingError as error:
            return error

    async def main():
        handle = routing(transport)
        return await asyncio.gather(*(one(handle, *each) for each in enumerate(requests)))

    return play(main())


def test_no_more_attempts_are_in_flight_than_the_bulkhead_allows():
    transport = ScriptedTransport(AB)
    routing = policy(limits={"each": {"max_concurrent": 3}, "deployments": {"b": {"max_concurrent": 2}}})
    outcomes = flood(routing, transport, map(Request, range(10)))
    assert transport.peak == {"a": 3, "b": 2}
    assert [type(each) for each in outcomes] == [Reply] * 5 + [NoDeployment] * 5
    assert "concurrency limit" in str(outcomes[-1])


def test_a_cancelled_attempt_leaves_its_place():
    transport = ScriptedTransport(AB[:1], {"a": [HANG, Answer()]})

    async def main():
        handle = policy(limits={"each": {"max_concurrent": 1}}, timeouts={"total_s": 60})(transport)
        task = asyncio.create_task(handle(Request(1)))
        await asyncio.sleep(1.0)
        with pytest.raises(NoDeployment):
            await handle(Request(2))
        task.cancel()
        await asyncio.wait([task])
        return await handle(Request(3))

    assert play(main()).deployment == "a"


def test_what_is_over_the_rate_goes_elsewhere():
    transport = ScriptedTransport(AB)
    routing = policy(limits={"deployments": {"a": {"rpm": 60}}, "burst_s": 5})
    outcomes = flood(routing, transport, map(Request, range(200)), every_s=0.1)
    assert all(isinstance(each, Reply) for each in outcomes)
    # A burst of 5 and one a second in 20 s.
    assert transport.called.count("a") == pytest.approx(5 + 20, abs=1)


def test_an_account_limits_its_deployments_together():
    transport = ScriptedTransport([*AB, deployment("c")])
    routing = policy(limits={"accounts": {"team": {"deployments": ["a", "b"], "rpm": 4}}})
    flood(routing, transport, map(Request, range(10)))
    assert sorted(transport.called) == ["a"] * 4 + ["c"] * 6


def test_an_attempt_that_the_spend_cap_refuses_takes_nothing_of_the_rate():
    transport = ScriptedTransport(PRICED[:1])
    routing = policy(limits={"each": {"rpm": 1}}, spend={"per_request_usd": 0.01})
    dear = [Request(number, prompt_tokens=2000) for number in range(5)]
    outcomes = flood(routing, transport, [*dear, Request(6, prompt_tokens=10)])
    assert [type(each) for each in outcomes] == [NoDeployment] * 5 + [Reply]
    assert "spend cap per request" in str(outcomes[0])


def test_a_throttled_deployment_is_asked_little():
    transport = ScriptedTransport(AB, {"a": [fails(RateLimited)]})
    routing = policy(breaker=None, limits={"throttle": {"kind": "sre"}})
    outcomes = flood(routing, transport, map(Request, range(1000)), every_s=0.01)
    assert all(isinstance(each, Reply) for each in outcomes)
    # The first hundred, then ever less: about the sum of 1 / n from 100 to 1000.
    assert 100 <= transport.called.count("a") <= 115


def test_the_output_is_cut_to_what_a_request_may_cost():
    transport = Recording(PRICED)
    routing = policy(spend={"per_request_usd": 0.011})
    flood(routing, transport, [Request(1, prompt_tokens=100), Request(2, prompt_tokens=100, max_tokens=50)])
    assert transport.max_tokens == [100, None]


def test_failed_attempts_use_up_what_a_request_may_cost():
    """Each of 0.002; a timeout may have been billed, a server's error was not."""
    routing = policy(
        retry={"max_attempts": 5, "backoff": {"base_s": 0}, "on_errors": ["timeout", "server_error"]},
        breaker=None,
        max_attempts=10,
        timeouts={"total_s": 1},
        spend={"per_request_usd": 0.006},
    )
    for answer, attempts in ((HANG, 3), (fails(ServerError), 10)):
        transport = ScriptedTransport(PRICED, {name: [answer] for name in "ab"})
        (error,) = flood(routing, transport, [Request(1, prompt_tokens=100, max_tokens=10)])
        assert isinstance(error, AllAttemptsFailed)
        assert len(transport.called) == attempts


def test_the_day_ends_and_another_begins():
    transport = Recording(PRICED[:1])
    # An answer has 10 tokens: 0.001 and a prompt of 0.001, of at most 0.011 while it is in flight.
    request = [Request(number, prompt_tokens=100, max_tokens=100) for number in range(1000)]
    outcomes = flood(policy(spend={"per_day_usd": 0.1}), transport, request, every_s=100.0)
    answered = [number for number, each in enumerate(outcomes) if isinstance(each, Reply)]
    day = [number for number in answered if number * 100.0 < 24 * 3600.0]
    assert len(day) in (49, 50)
    assert "spend cap per day" in str(outcomes[60])
    for first in answered:
        within = [each for each in answered if first <= each < first + 864]
        assert 0.002 * len(within) <= 0.1 + 1e-9
    assert len(answered) > len(day)


def test_the_errors_of_requests_do_not_use_up_the_day():
    transport = ScriptedTransport(PRICED[:1], {"a": [*[fails(BadRequest)] * 100, Answer()]})
    requests = [Request(number, prompt_tokens=100, max_tokens=100) for number in range(101)]
    outcomes = flood(policy(spend={"per_day_usd": 0.1}), transport, requests, every_s=1.0)
    assert isinstance(outcomes[-1], Reply)
    assert all(isinstance(each, BadRequest) for each in outcomes[:-1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bill_of_a_simulated_world_stays_below_both_caps(seed):
    """What counts is what the world bills, for attempts that failed, timed out or were cancelled as well."""
    caps = {"per_request_usd": 0.0012, "per_day_usd": 0.5}
    patient = {"kind": "lognormal", "mean": 3.0, "sigma": 1.0}
    world = varied(
        routing={
            "retry": {"max_attempts": 3, "on_errors": ["server_error", "timeout", "connect"]},
            "timeouts": {"total_s": 2},
            "deadline_s": 20,
            "spend": caps,
        }
    ).with_values({"traffic.chat.patience": patient})
    capped = run_one(world, seed=seed).attempts
    bills = np.bincount(capped["request"], capped["cost_usd"])
    assert bills.max() <= caps["per_request_usd"] + 1e-9
    assert bills.sum() <= caps["per_day_usd"] + 1e-9
    met = {ATTEMPT_OUTCOMES[code] for code in capped["outcome"]}
    assert {"ok", "timeout", "cancelled", "server_error", "rate_limited"} <= met
    # It is the caps that hold: without them the bills are higher.
    free = run_one(world.with_values({"routing.spend": None}), seed=seed).attempts
    bills = np.bincount(free["request"], free["cost_usd"])
    assert bills.max() > caps["per_request_usd"]
    assert bills.sum() > caps["per_day_usd"]


def shadowed(requests, every_s=0.0, **settings):
    """What the shadow was sent, and what the router counted."""
    transport = ScriptedTransport(
        [deployment("a"), deployment("new", "premium", usd_per_mtok_out=100.0)], {"new": [Answer(5.0)]}
    )

    async def main():
        async with Router(policy(shadow={"deployment": "new"}, **settings), transport) as router:
            for number in range(requests):
                assert (await router.handle(Request(number, max_tokens=10))).deployment == "a"
                await asyncio.sleep(every_s)
            await asyncio.sleep(60.0)
            return router.counts["shadow"], router.swallowed

    counts, swallowed = play(main())
    return transport, counts, swallowed


def test_limits_hold_for_copies_too():
    quota = {"deployments": {"new": {"max_concurrent": 2}}}
    transport, counts, swallowed = shadowed(5, limits=quota)
    assert transport.peak["new"] == 2
    assert counts == {"sent": 5, "answered": 2}
    assert swallowed == {"shadow": 3}


@pytest.mark.parametrize(("cap", "copies"), [({"per_request_usd": 9e-4}, 0), ({"per_day_usd": 2.5e-3}, 2)])
def test_the_spend_cap_pays_for_copies_too(cap, copies):
    # A copy costs at most, and here exactly, 0.001 USD.
    transport, counts, swallowed = shadowed(5, every_s=10.0, spend=cap | {"min_output_tokens": 10})
    assert transport.called.count("new") == counts["answered"] == copies
    assert swallowed == {"shadow": 5 - copies}
