from __future__ import annotations

import asyncio
import contextlib
import heapq
import pickle
import random
from collections import Counter, deque
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import Answer, ScriptedTransport, deployment, fails, play, policy
from routing.ranked import ABC, NOBODY, Bench

from simsla.routing import (
    AttemptTimeout,
    ConfigError,
    Reply,
    Request,
    Router,
    RoutingError,
    RoutingPolicy,
    ServerError,
)
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.priority import level_loads
from simsla.routing.selection.ranking import PreCallSelector

KINDS = [
    {"kind": "weighted_random", "weights": {"a": 3}},
    {"kind": "round_robin"},
    {"kind": "least_outstanding"},
    {"kind": "power_of_d"},
    {"kind": "peak_ewma"},
    {"kind": "latency"},
    {"kind": "cost"},
    {"kind": "usage"},
    {"kind": "priority", "levels": {"b": 1}},
    {"kind": "p99_shift", "threshold_s": 0.15},
    {"kind": "price_weighted"},
    {"kind": "adaptive_weights"},
]


@pytest.mark.parametrize("selection", KINDS, ids=lambda each: each["kind"])
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    script=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0.001, 30.0)), max_size=30),
)
def test_each_plan_has_every_candidate_once_and_the_seed_decides_it(selection, seed, script):
    def plans():
        bench = Bench(seed=seed, **selection)
        now = 0.0
        for name, good, took_s in script:
            if good:
                bench.answer(name, now, took_s)
            else:
                bench.fail(name, now, took_s, AttemptTimeout(phase="total"))
            now += took_s
            yield bench.order(now)

    first = list(plans())
    assert all(sorted(plan) == ["a", "b", "c"] for plan in first)
    assert first == list(plans())


@pytest.mark.parametrize("selection", KINDS, ids=lambda each: each["kind"])
def test_tiers_and_regions_keep_their_places(selection):
    world = [
        deployment("a", "premium", "us"),
        deployment("b", "premium", "eu"),
        deployment("c", "premium", "eu"),
        deployment("d", "standard", "us"),
    ]
    bench = Bench(world, **selection)
    for _ in range(20):
        plan = bench.order(tier="premium", region="eu")
        assert (sorted(plan[:2]), plan[2:]) == (["b", "c"], "ad")


@pytest.mark.parametrize("kind", ["least_outstanding", "power_of_d", "peak_ewma"])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    patience=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12),
)
def test_nothing_stays_in_flight_after_answers_failures_and_cancellation(kind, seed, patience):
    async def scenario():
        script = {
            "a": [Answer(0.1), fails(ServerError, 0.3)],
            "b": [Answer(0.5)],
            "c": [Answer(float("inf"))],
        }
        transport = ScriptedTransport(ABC, script, seed)
        settings = policy(selection={"kind": kind})
        build, built = type(settings.selection).build, []

        def build_and_keep(*args):
            built.append(build(*args))
            return built[0]

        with mock.patch.object(type(settings.selection), "build", build_and_keep):
            router = Router(settings, transport)

        async def ask(after_s):
            async with asyncio.timeout(after_s):
                await router.handle(Request(1))

        await asyncio.gather(*(ask(each) for each in patience), return_exceptions=True)
        assert transport.called
        return built[0].pending

    assert not any(play(scenario()).values())


def test_weights_are_respected():
    bench = Bench(kind="weighted_random", weights={"a": 3, "c": 0})
    first = Counter(bench.order()[0] for _ in range(4000))
    assert first["c"] == 0
    assert abs(first["a"] - 3000) < 5 * (4000 * 0.75 * 0.25) ** 0.5
    # Without replacement: of equal weights every order is equally likely.
    equal = Bench(kind="weighted_random")
    orders = Counter(equal.order() for _ in range(6000))
    assert len(orders) == 6
    assert all(abs(count - 1000) < 5 * (6000 / 6 * 5 / 6) ** 0.5 for count in orders.values())


def test_round_robin_takes_turns_in_each_group():
    bench = Bench([*ABC, deployment("d", "economy"), deployment("e", "economy")], kind="round_robin")
    assert [bench.order() for _ in range(4)] == ["abcde", "bcaed", "cabde", "abced"]


def test_the_least_outstanding_comes_first_and_ties_are_random():
    bench = Bench(kind="least_outstanding")
    assert {bench.order()[0] for _ in range(50)} == {"a", "b", "c"}
    ticket = bench.health["a"].admit(NOBODY, 0.0)
    bench.health["c"].admit(NOBODY, 0.0)
    bench.health["c"].admit(NOBODY, 0.0)
    assert bench.order() == "bac"
    bench.health["a"].released(ticket, 1.0)
    assert {bench.order() for _ in range(50)} == {"abc", "bac"}


def test_peak_ewma_formula():
    bench = Bench(kind="peak_ewma")
    load = bench.ranking.load
    ticket = bench.health["a"].admit(NOBODY, 0.0)
    assert load("a", 0.0) > 1e9  # no history while in flight: the penalty
    assert load("b", 0.0) == 0.0
    bench.health["a"].released(ticket, 0.0)
    bench.answer("a", 0.0, 1.0)
    assert load("a", 1.0) == pytest.approx(1.0)
    bench.health["a"].admit(NOBODY, 1.0)
    assert load("a", 1.0) == pytest.approx(2.0)
    bench.answer("a", 9.5, 1.5)  # higher: reset to it
    assert load("a", 11.0) == pytest.approx(1.5 * 2)
    bench.answer("a", 20.5, 0.5)  # 10 s later: w = 1/e
    w = 0.36787944
    assert load("a", 21.0) == pytest.approx((0.5 * (1 - w) + 1.5 * w) * 2)
    bench.fail("a", 21.0, 0.0, ServerError())  # a fast failure does not make it attractive
    assert load("a", 21.0) == pytest.approx((0.5 * (1 - w) + 1.5 * w) * 2)


def mean_sojourn(choices, servers, jobs, seed):
    """FIFO queues with exponential service at rate 1 and arrivals at .9 a server."""
    rng = random.Random(seed)
    world = [deployment(str(index)) for index in range(servers)]
    bench = Bench(world, seed, kind="power_of_d", choices=choices)
    names = {each.name: deque() for each in world}
    ends, now, total, counted, arrival, begun = [], 0.0, 0.0, 0, 0.0, 0
    group = tuple(bench.selector._inner.candidates(Request(1), 0.0))
    reply = Reply("", "", "model", 0, 1, 0.0, 0.0)
    while begun < jobs:
        if ends and ends[0][0] < arrival:
            now, name = heapq.heappop(ends)
            queue = names[name]
            since, ticket, number = queue.popleft()
            bench.health[name].succeeded(ticket, now, reply)
            if number > jobs // 10:
                total += now - since
                counted += 1
            if queue:
                heapq.heappush(ends, (now + rng.expovariate(1.0), name))
            continue
        now = arrival
        name = bench.ranking.order(Request(1), group, now)[0].deployment.name
        names[name].append((now, bench.health[name].admit(NOBODY, now), begun))
        begun += 1
        if len(names[name]) == 1:
            heapq.heappush(ends, (now + rng.expovariate(1.0), name))
        arrival = now + rng.expovariate(0.9 * servers)
    return total / counted


def closed_form(choices, load=0.9):
    if choices == 1:
        return 1 / (1 - load)
    return sum(load ** ((choices**i - choices) / (choices - 1)) for i in range(1, 20))


def test_the_closed_form_of_power_of_d_is_the_published_one():
    assert [closed_form(d) for d in (1, 2, 3)] == pytest.approx([10, 2.6141, 2.0279], rel=1e-4)


def test_two_choices_make_queues_short():
    assert mean_sojourn(2, 40, 30_000, 1) == pytest.approx(closed_form(2), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choices", "servers", "jobs", "tolerance"),
    # One choice is many M/M/1 queues, whose mean is slow to show: two standard deviations of it are 6.5 %.
    [(1, 60, 400_000, 0.065), (2, 150, 250_000, 0.04), (3, 150, 250_000, 0.04)],
)
def test_power_of_d_choices_meets_the_closed_form(choices, servers, jobs, tolerance):
    measured = mean_sojourn(choices, servers, jobs, 2)
    assert measured == pytest.approx(closed_form(choices), rel=tolerance)


def test_latency_is_per_output_token_over_the_last_ten():
    bench = Bench(kind="latency")
    bench.answer("a", 0.0, 4.0, tokens_out=400)
    bench.answer("b", 0.0, 1.0, tokens_out=10)
    assert bench.order() == "cab"  # unused scores 0
    bench.answer("c", 0.0, 1.0, tokens_out=50)
    assert bench.order() == "acb"
    bench.fail("a", 0.0, 1.0, ServerError())
    assert bench.order() == "acb"
    bench.fail("a", 0.0, 1.0, AttemptTimeout(phase="total"))
    assert bench.order() == "cba"
    for _ in range(10):
        bench.answer("a", 0.0, 1.0, tokens_out=100)
    assert bench.order() == "acb"


def test_the_latency_of_a_stream_is_that_to_its_first_token():
    bench = Bench(kind="latency")
    for name, first_s, took_s in (("a", 0.9, 1.0), ("b", 0.1, 9.0), ("c", 0.5, 5.0)):
        # An answer that came as a whole does not show its first token.
        bench.answer(name, 0.0, took_s)
        bench.answer(name, 0.0, took_s, first_token_s=first_s)
    assert bench.order() == "acb"
    assert bench.order(stream=True) == "bca"
    bench.fail("b", 0.0, 1.0, AttemptTimeout(phase="first_token"))
    assert bench.order(stream=True) == "cab"
    whole = Bench(kind="latency")
    for name, took_s in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        whole.answer(name, 0.0, took_s)
    assert whole.order(stream=True) == "bca"


def test_within_the_buffer_of_latency_the_order_is_random():
    bench = Bench(kind="latency", buffer=0.5)
    for name, took_s in (("a", 1.0), ("b", 1.4), ("c", 1.6)):
        bench.answer(name, 0.0, took_s)
    assert {bench.order() for _ in range(50)} == {"abc", "bac"}


def test_the_cheapest_for_this_request_comes_first():
    world = [
        deployment("a", usd_per_mtok_in=1.0, usd_per_mtok_out=1.0),
        deployment("b", usd_per_mtok_in=0.5, usd_per_mtok_out=4.0),
    ]
    bench = Bench(world, kind="cost", output_tokens=1000)
    assert bench.order(prompt_tokens=1000) == "ab"
    assert bench.order(prompt_tokens=10_000) == "ba"
    assert bench.order(prompt_tokens=1000, max_tokens=10) == "ba"


def test_the_most_head_room_of_this_minute_comes_first():
    bench = Bench(
        kind="usage", limits={"a": {"tpm": 1000, "rpm": 100}, "b": {"rpm": 2}, "c": {"tpm": 10_000}}
    )
    bench.answer("a", 0.0, 1.0, tokens_in=390, tokens_out=10)  # 40 %
    bench.answer("b", 0.0, 1.0)  # 50 %
    bench.answer("c", 0.0, 1.0, tokens_in=3000)  # 30 %
    assert bench.order(2.0) == "cab"
    assert {bench.order(60.0) for _ in range(50)} == {"abc", "acb", "bac", "bca", "cab", "cba"}
    unlimited = Bench(kind="usage")
    for name, tokens in (("a", 30), ("b", 20), ("c", 10)):
        unlimited.answer(name, 0.0, 1.0, tokens_in=tokens)
    assert unlimited.order(2.0) == "cba"


@pytest.mark.parametrize(
    ("healthy", "loads"),
    [
        ([1.0, 1.0], [1.0, 0.0]),
        ([0.72, 1.0], [1.0, 0.0]),
        ([0.71, 1.0], [0.994, 0.006]),
        ([0.5, 1.0], [0.7, 0.3]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.25, 0.25], [0.5, 0.5]),
        ([0.0, 0.0], [1.0, 0.0]),
    ],
)
def test_envoys_loads_of_priority_levels(healthy, loads):
    assert level_loads(healthy) == pytest.approx(loads)


def test_a_level_spills_and_panics():
    world = [deployment(name) for name in "abcd"]
    bench = Bench(world, breaker=True, kind="priority", levels={"c": 1, "d": 1})
    assert {bench.order()[:2] for _ in range(50)} == {"ab", "ba"}

    def break_(name):
        for _ in range(5):
            bench.fail(name, 0.0, 0.1, ServerError())

    break_("a")
    firsts = Counter(bench.order(1.0)[0] for _ in range(2000))
    assert abs(firsts["b"] - 1400) < 5 * (2000 * 0.7 * 0.3) ** 0.5
    assert firsts["a"] == 0
    assert bench.health["a"].admit(NOBODY, 1.0) is None
    break_("b")
    break_("c")
    break_("d")
    assert {bench.order(1.0)[0] for _ in range(50)} == {"a", "b"}  # panic
    ticket = bench.health["a"].admit(NOBODY, 1.0)
    assert ticket is not None
    bench.health["a"].failed(ticket, 2.0, ServerError())
    assert bench.health["a"].available_at(2.0) > 2.0
    assert bench.order(31.0)
    assert bench.health["a"].admit(NOBODY, 31.0) is not None


def test_load_moves_from_a_slow_p99_and_back_gradually():
    bench = Bench(kind="p99_shift", threshold_s=2.0)
    weights = []
    for step in range(40):
        now = 10.0 * step
        bench.order(now)
        weights.append(bench.ranking.weights.get("a", 1.0))
        for index in range(30):
            bench.answer("a", now + index * 0.1, 3.0 if 5 <= step < 20 else 1.0)
            bench.answer("b", now + index * 0.1, 1.0)
    assert weights[:6] == [1.0] * 6
    assert min(weights) == pytest.approx(0.05)
    assert weights[-1] == 1.0
    assert max(abs(a - b) for a, b in pairwise(weights)) <= 0.1 + 1e-9
    assert bench.ranking.weights["b"] == 1.0


@pytest.mark.parametrize("took_s", [3.0, 1.0])
def test_with_too_few_attempts_for_a_p99_load_comes_back_only_while_none_is_slow(took_s):
    bench = Bench(kind="p99_shift", threshold_s=2.0)
    bench.order(0.0)
    bench.ranking.weights["a"] = 0.05
    weights = []
    for step in range(1, 11):
        bench.answer("a", 10.0 * step - 5.0, took_s)
        bench.order(10.0 * step)
        weights.append(bench.ranking.weights["a"])
    assert weights[-1] == (0.05 if took_s > 2.0 else 1.0)
    bench.order(75.0 + 100.0)  # a minute after the last one
    assert bench.ranking.weights["a"] > 0.05


def test_shifted_weight_is_the_share():
    bench = Bench(ABC[:2], kind="p99_shift", threshold_s=2.0)
    bench.order(0.0)
    bench.ranking.weights["a"] = 0.25
    first = Counter(bench.order()[0] for _ in range(4000))
    assert abs(first["a"] - 800) < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_too_small_a_window_is_passed_over_where_another_fits():
    world = [deployment("a", context_window=100), deployment("b", context_window=1000), deployment("c")]
    policy_ = RoutingPolicy()

    def order(world, **request):
        chain = ChainSelector(policy_, world, dict.fromkeys("abc"))
        return "".join(
            each.deployment.name for each in PreCallSelector(chain).candidates(Request(1, **request), 0.0)
        )

    assert order(world, prompt_tokens=100) == "abc"
    assert order(world, prompt_tokens=100, max_tokens=1) == "bc"
    assert order(world, prompt_tokens=1001) == "c"
    assert order(world[:2], prompt_tokens=1001) == "ab"


def test_pre_call_checks_are_asked_for_by_the_policy():
    world = [deployment("a", context_window=100), deployment("b", context_window=1000)]
    for asked, called in ((False, ["a"]), (True, ["b"])):
        transport = ScriptedTransport(world)
        play(Router(policy(pre_call_checks=asked), transport).handle(Request(1, prompt_tokens=500)))
        assert transport.called == called


@pytest.mark.parametrize(
    ("selection", "path"),
    [
        ({"kind": "weighted"}, "routing.selection.kind"),
        ({"kind": "weighted_random", "weights": {"a": -1}}, "routing.selection.weights.a"),
        ({"kind": "power_of_d", "choices": 0}, "routing.selection.choices"),
        ({"kind": "peak_ewma", "decay": 3}, "routing.selection.decay"),
        ({"kind": "p99_shift"}, "routing.selection.threshold_s"),
        ({"kind": "usage", "limits": {"a": {"tpm": True}}}, "routing.selection.limits.a.tpm"),
        ({"kind": "priority", "overprovisioning": 0.9}, "routing.selection.overprovisioning"),
    ],
)
def test_impossible_selections_are_refused(selection, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"selection": selection})
    assert caught.value.path == path


@pytest.mark.parametrize(
    "selection",
    [
        {"kind": "weighted_random", "weights": {"flsh": 1}},
        {"kind": "usage", "limits": {"flsh": {}}},
        {"kind": "priority", "levels": {"flsh": 1}},
    ],
)
def test_unknown_deployments_are_refused(selection):
    with pytest.raises(ConfigError, match=r"routing\.selection\.\w+\.flsh: .*did you mean 'flash'"):
        RoutingPolicy.from_dict({"selection": selection}).check([deployment("flash")])


@pytest.mark.parametrize("selection", KINDS, ids=lambda each: each["kind"])
def test_selections_round_trip(selection):
    policy_ = RoutingPolicy.from_dict({"selection": selection})
    assert RoutingPolicy.from_dict(policy_.to_dict()) == policy_


def test_least_bad_works_under_any_ranking():
    """The health that a ranking watches can be overridden as well."""
    script = {name: [fails(ServerError)] * 2 + [Answer()] for name in "ab"}
    transport = ScriptedTransport([deployment("a"), deployment("b")], script)
    chosen = policy(
        selection={"kind": "round_robin"}, breaker={"failures": 1}, when_all_open={"kind": "least_bad"}
    )
    router = Router(chosen, transport)

    async def main():
        for _ in range(2):
            with contextlib.suppress(RoutingError):
                await router.handle(Request(1))
        return await router.handle(Request(2))

    assert isinstance(play(main()), Reply)


def test_panic_does_not_override_limits():
    """Envoy's panic ignores health; a limit of ours holds all the same."""
    one = deployment("a")
    transport = ScriptedTransport([one], {"a": [Answer(after_s=1.0)]})
    chosen = policy(
        selection={"kind": "priority", "panic_threshold": 1.0},
        breaker={"failures": 1},
        limits={"each": {"max_concurrent": 2}},
    )
    router = Router(chosen, transport)

    async def main():
        await asyncio.gather(*(router.handle(Request(i)) for i in range(5)), return_exceptions=True)

    play(main())
    assert transport.peak["a"] == 2


@pytest.mark.parametrize("selection", KINDS, ids=[kind["kind"] for kind in KINDS])
def test_what_a_ranking_remembers_has_a_bound_even_where_there_is_nothing_to_order(selection):
    bench = Bench([deployment("a")], **selection)
    sizes = []
    for second in range(1200):
        assert bench.order(second) == "a"
        if second % 3:
            bench.answer("a", float(second), 0.5)
        else:
            bench.fail("a", float(second), 0.5, AttemptTimeout())
        sizes.append(len(pickle.dumps(bench.ranking)))
    assert max(sizes) <= 1.05 * max(sizes[:600])
