from __future__ import annotations

import math
from collections import Counter

import pytest
from routing.fakes import deployment
from routing.ranked import ABC, Bench

from simsla.routing import ConfigError, RoutingPolicy, ServerError
from simsla.routing.selection.zone_aware import kept_and_room

DRAWS = 4000


def shares(bench, now=0.0, **request):
    """How often each comes first."""
    counts = Counter(bench.plan(now, **request)[0] for _ in range(DRAWS))
    return {name: count / DRAWS for name, count in counts.items()}


def near(share):
    """Within five standard deviations."""
    return pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / DRAWS))


PRICED = [
    deployment("a", usd_per_mtok_in=1.0, usd_per_mtok_out=1.0),
    deployment("b", usd_per_mtok_in=2.0, usd_per_mtok_out=2.0),
    deployment("c", usd_per_mtok_in=3.0, usd_per_mtok_out=3.0),
]


def test_openrouter_draws_by_the_inverse_square_of_the_price():
    found = shares(Bench(PRICED, kind="price_weighted"), prompt_tokens=1000)
    total = 1 + 1 / 4 + 1 / 9
    assert found == {"a": near(1 / total), "b": near(1 / 4 / total), "c": near(1 / 9 / total)}


def test_the_price_is_that_of_this_request():
    world = [
        deployment("a", usd_per_mtok_in=1.0, usd_per_mtok_out=10.0),
        deployment("b", usd_per_mtok_in=2.0, usd_per_mtok_out=2.0),
    ]
    bench = Bench(world, kind="price_weighted", output_tokens=500)
    # 1000 in and 500 out: 6 against 3 thousandths of a USD; without output 1 against 2.
    assert shares(bench, prompt_tokens=1000)["a"] == near(0.2)
    assert shares(bench, prompt_tokens=1000, max_tokens=1)["a"] == pytest.approx(0.8, abs=0.04)


def test_what_costs_nothing_comes_first():
    found = shares(Bench([*PRICED, deployment("d"), deployment("e")], kind="price_weighted"), prompt_tokens=9)
    assert found == {"d": near(0.5), "e": near(0.5)}


def test_an_outage_in_the_last_half_minute_comes_last():
    bench = Bench(PRICED, kind="price_weighted")
    for second in (1.0, 2.0):
        bench.fail("a", second, 0.0, ServerError())
    assert shares(bench, 2.0, prompt_tokens=9)["a"] > 0.6  # not yet an outage
    bench.fail("a", 3.0, 0.0, ServerError())
    assert {bench.order(32.9, prompt_tokens=9)[2] for _ in range(50)} == {"a"}
    assert shares(bench, 33.0, prompt_tokens=9)["a"] > 0.6
    # An answer ends the row.
    bench.answer("a", 40.0, 1.0)
    for second in (41.0, 42.0):
        bench.fail("a", second, 0.0, ServerError())
    assert shares(bench, 42.0, prompt_tokens=9)["a"] > 0.6
    for name in "bc":
        for second in (43.0, 44.0, 45.0):
            bench.fail(name, second, 0.0, ServerError())
    assert {bench.order(46.0, prompt_tokens=9)[0] for _ in range(50)} == {"a"}


def test_bifrosts_weight_of_a_deployment_that_fails_half_of_the_time():
    bench = Bench(ABC[:2], kind="adaptive_weights")
    assert bench.ranking.weights == {"a": 1000.0, "b": 1000.0}
    bench.order(0.0)
    for second in range(4):
        bench.answer("a", second, 0.5)
        bench.fail("b", second, 0.5, ServerError())
        bench.answer("b", second, 0.5)
    assert bench.ranking.weights == {"a": 1000.0, "b": 1000.0}  # within the interval
    bench.order(5.0)
    # Errors .5 in all three windows; 4 and 8 of 12 attempts; no slower than ever.
    scores = {"a": 0.05 * 4 / 12, "b": 0.5 * 0.5 + 0.05 * 8 / 12}
    assert bench.ranking.weights == pytest.approx(
        {name: 1000 - 999 * score / 0.75 for name, score in scores.items()}
    )
    weights = bench.ranking.weights
    assert shares(bench, 5.0)["a"] == near(weights["a"] / sum(weights.values()))


def test_momentum_forgives_what_the_longer_window_has_against_a_clean_last_minute():
    bench = Bench(ABC[:2], kind="adaptive_weights")
    bench.order(0.0)
    for second in range(5):
        bench.fail("a", second, 0.0, ServerError())
    for second in range(5):
        bench.answer("a", 100.0 + second, 1.0)
    bench.order(110.0)
    # Errors: none in the last minute, half in the last five and ever. All attempts are its own.
    score = 0.5 * (0.3 * 0.5 + 0.2 * 0.5) + 0.05 - 0.15 * 0.5
    assert bench.ranking.weights["a"] == pytest.approx(1000 - 999 * score / 0.75)
    bench.order(1000.0)  # five quiet minutes later only all time counts
    assert bench.ranking.weights["a"] == pytest.approx(1000 - 999 * 0.5 * 0.2 * 0.5 / 0.75)


def test_a_deployment_slower_per_token_than_its_own_mean_loses_weight():
    bench = Bench(ABC[:2], kind="adaptive_weights", utilization=0.0)
    bench.order(0.0)
    for second in range(5):
        bench.answer("a", second, 1.0, tokens_out=100)
    bench.order(5.0)
    assert bench.ranking.weights["a"] == 1000.0
    for second in range(5):
        bench.answer("a", 100.0 + second, 8.0, tokens_out=400)  # longer, and twice as slow per token
    bench.order(120.0)
    usual_s = (5 * 1.0 + 5 * 8.0) / (5 * 100 + 5 * 400)
    assert bench.ranking.weights["a"] == pytest.approx(1000 - 999 * 0.2 * (0.02 / usual_s - 1) / 0.7)


def test_weights_stay_between_1_and_1000():
    bench = Bench(ABC[:2], kind="adaptive_weights", latency=0.0, utilization=0.0, momentum=0.0)
    bench.order(0.0)
    bench.fail("a", 0.0, 0.0, ServerError())
    bench.order(5.0)
    assert bench.ranking.weights == {"a": 1.0, "b": 1000.0}
    eager = Bench(ABC[:2], kind="adaptive_weights", momentum=1.0)
    eager.order(0.0)
    eager.fail("a", 0.0, 0.0, ServerError())
    eager.answer("a", 100.0, 1.0)
    eager.order(110.0)
    assert eager.ranking.weights["a"] == 1000.0


REGIONS = [
    deployment("us1", region="us"),
    deployment("us2", region="us"),
    deployment("us3", region="us"),
    deployment("eu1", region="eu"),
]


def test_envoys_shares_of_zones():
    kept, room = kept_and_room({"us": 0.75, "eu": 0.25}, {"us": 0.5, "eu": 0.5})
    assert kept == {"us": 1.0, "eu": 0.5}
    assert room == {"us": 0.25, "eu": 0.0}
    kept, room = kept_and_room({"us": 0.2, "eu": 0.3, "asia": 0.5}, {"us": 0.4, "eu": 0.4, "asia": 0.2})
    assert kept == pytest.approx({"us": 0.5, "eu": 0.75, "asia": 1.0})
    assert room == pytest.approx({"us": 0.0, "eu": 0.0, "asia": 0.3})


def test_a_region_with_too_few_deployments_sends_the_rest_where_there_is_room():
    bench = Bench(REGIONS, affinity=False, kind="zone_aware", memory_s=1e9)
    first = Counter()
    for turn in range(2 * DRAWS):
        region = "us" if turn % 2 else "eu"
        first[region, bench.plan(float(turn), region=region)[0]] += 1
    assert first["us", "eu1"] == 0
    assert first["eu", "eu1"] / DRAWS == pytest.approx(0.5, abs=0.05)
    # So each deployment gets a quarter of all.
    for name in ("us1", "us2", "us3", "eu1"):
        got = first["us", name] + first["eu", name]
        assert got / (2 * DRAWS) == pytest.approx(0.25, abs=0.03)


def test_zone_aware_orders_the_own_region_before_the_others_and_the_healthy_first():
    world = [*REGIONS, deployment("eu2", region="eu"), deployment("any")]
    bench = Bench(world, affinity=False, breaker=True, kind="zone_aware")
    for _ in range(5):
        bench.fail("eu1", 0.0, 0.0, ServerError())
    plan = bench.plan(1.0, region="eu")
    assert sorted(plan) == sorted(each.name for each in world)
    assert all(
        {"eu1", "eu2"} & set(plan) == {"eu1", "eu2"} and plan.index("eu2") < plan.index("eu1")
        for plan in (
            bench.plan(1.0, region=region) for region in ("us", "eu", "mars", None) for _ in range(20)
        )
    )
    # One healthy deployment is too few to share: the own region comes first.
    alone = Bench(REGIONS, affinity=False, breaker=True, kind="zone_aware")
    for name in ("us1", "us2", "us3"):
        for _ in range(5):
            alone.fail(name, 0.0, 0.0, ServerError())
    assert alone.plan(1.0, region="us")[3] == "eu1"


def test_zone_aware_wants_the_whole_tier():
    values = {"selection": {"kind": "zone_aware"}}
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict(values)
    assert caught.value.path == "routing.regions.affinity"
    policy = RoutingPolicy.from_dict(values | {"regions": {"affinity": False}})
    assert RoutingPolicy.from_dict(policy.to_dict()) == policy


@pytest.mark.parametrize(
    ("selection", "path"),
    [
        ({"kind": "price_weighted", "outage_failures": 0}, "outage_failures"),
        ({"kind": "adaptive_weights", "interval_s": 0}, "interval_s"),
        ({"kind": "adaptive_weights", "error": 2}, "error"),
        ({"kind": "zone_aware", "memory_s": 0}, "memory_s"),
    ],
)
def test_impossible_weights_are_refused(selection, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"selection": selection})
    assert caught.value.path == f"routing.selection.{path}"
