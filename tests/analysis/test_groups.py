"""Tiers and regions: classes, or deployments, counted together."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.logs import log_of
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, traffic

import simsla
from simsla.analysis import METRICS, Metrics, summarise

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


@pytest.fixture(scope="module")
def result():
    world = scenario(
        {
            "a": deployment(region="east", tier="premium", errors={503: 0.1}),
            "b": deployment(region="west", tier="economy"),
            "c": deployment(region="west", tier="premium", latency={"total": exp(2)}),
        },
        {
            "chat": traffic(1, tier="premium", region={"east": 3, "west": 1}),
            "batch": traffic(0.5, tier="economy", region="south"),
            "tools": traffic(0.5, tier="premium", deadline=1),
            "mail": traffic(0.2),
        },
        horizon=1000,
        warmup=20,
        regions={"east": {}, "west": {}, "south": {}},
    )
    return simsla.simulate(world, patient, seed=2, replications=3)


def table(result, dimension):
    return result.by(dimension).set_index([dimension, "metric"])["value"]


def test_tiers_and_regions_of_deployments_are_those_of_their_attempts(result):
    attempts, days = result.attempts, 3 * 980 / 86_400
    for dimension, names in (
        ("tier", {"premium": ["a", "c"], "economy": ["b"]}),
        ("region", {"east": ["a"], "west": ["b", "c"]}),
    ):
        found = table(result, dimension)
        assert set(found.index.get_level_values(0)) == set(names)
        for name, deployments in names.items():
            mine = attempts[attempts["deployment"].isin(deployments)]
            if not len(mine):
                continue
            assert found[name, "attempts_per_day"] == pytest.approx(len(mine) / days)
            assert found[name, "cost_usd_per_day"] == pytest.approx(mine["cost_usd"].sum() / days)
            assert found[name, "unavailable_share"] == pytest.approx(
                (mine["outcome"] == "unavailable").mean()
            )
            ok = mine[mine["outcome"] == "ok"]
            if len(ok):
                latency = (ok["end_s"] - ok["start_s"]).quantile(0.95, interpolation="lower")
                assert found[name, "latency_p95_s"] == pytest.approx(latency, rel=0.05)


def test_asked_tiers_are_those_of_classes(result):
    requests, found = result.requests, table(result, "asked_tier")
    names = {"premium": ["chat", "tools"], "economy": ["batch"], "none": ["mail"]}
    assert set(found.index.get_level_values(0)) == set(names)
    assert set(found.index.get_level_values(1)) == set(METRICS)
    for name, classes in names.items():
        mine = requests[requests["request_class"].isin(classes)]
        good = mine["outcome"].isin(["ok", "degraded", "cached"])
        assert found[name, "availability"] == pytest.approx(good.mean())
        latency = (mine["end_s"] - mine["arrival_s"])[good]
        assert found[name, "latency_mean_s"] == pytest.approx(latency.mean())
        exact = np.quantile(latency, 0.99, method="inverted_cdf")
        assert found[name, "latency_p99_s"] == pytest.approx(exact, rel=1e-6)
        assert found[name, "cost_useful_usd_per_day"] <= found[name, "cost_usd_per_day"] + 1e-9


def test_regions_of_clients_are_where_the_world_drew_them():
    """A policy sees where each request comes from; metrics are told by the number of the request alone."""
    seen = {}

    def factory(transport):
        handle = patient(transport)

        async def watched(request):
            seen[request.id] = request.region
            return await handle(request)

        return watched

    world = scenario(
        classes={
            "chat": traffic(1, region={"east": 3, "west": 1}),
            "batch": traffic(0.5, region={"west": 1, "south": 1}),
            "mail": traffic(0.5),
        },
        horizon=3000,
        regions={"east": {}, "west": {}, "south": {}},
    )
    result = simsla.simulate(world, factory, seed=9, replications=1)
    found = table(result, "client_region")
    counts = {name: sum(region == name for region in seen.values()) for name in ("east", "west", "south")}
    assert set(found.index.get_level_values(0)) == set(counts)
    for name, count in counts.items():
        assert round(found[name, "requests_per_day"] * 3000 / 86_400) == count > 300


def test_what_goes_badly_in_one_region_is_told_of_that_region():
    def factory(transport):
        handle = patient(transport)

        async def fails_in_the_west(request):
            if request.region == "west":
                raise RuntimeError
            return await handle(request)

        return fails_in_the_west

    world = scenario(
        classes={"chat": traffic(1, region={"east": 1, "west": 1})},
        horizon=500,
        regions={"east": {}, "west": {}},
    )
    found = table(simsla.simulate(world, factory, replications=2), "client_region")
    assert found["east", "availability"] == 1
    assert found["west", "availability"] == 0


def test_dimensions_that_are_unknown_or_untold(result):
    with pytest.raises(
        ValueError, match=r"expected one of request_class, .* got 'regoin'; did you mean 'region'\?"
    ):
        result.by("regoin")
    with pytest.raises(ValueError, match="does not say where requests come from"):
        simsla.simulate(scenario(horizon=10), patient, replications=1).by("client_region")
    with pytest.raises(ValueError, match="tier: these metrics are not told of the scenario"):
        Metrics([summarise(log_of([{}]), start_s=0, end_s=10)]).by("tier")


def test_plain_data_has_every_dimension_that_tells_something_apart(result):
    by = result.to_dict()["by"]
    assert list(by) == ["request_class", "deployment", "tier", "region", "asked_tier", "client_region"]
    assert by["tier"]["premium"]["attempts_per_day"]["value"] > 0
    plain = simsla.simulate(scenario(horizon=10), patient, replications=1).to_dict()["by"]
    assert list(plain) == ["request_class", "deployment"]
