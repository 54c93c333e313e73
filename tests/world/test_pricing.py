"""What an attempt costs by date, by hour, and by what the provider has cached."""

from __future__ import annotations

import asyncio
from datetime import date

import numpy as np
import pytest
from simulation.policies import patient
from simulation.runs import digest, play
from simulation.scenarios import deployment, scenario, traffic
from world.scripts import NONE

from simsla.routing.production.policy_file import read_policy
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one

BASE = {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 2.0}
FULL = (1000 * 1.0 + 100 * 2.0) / 1e6
DAY = 86_400.0


def world(price, *, start="2026-01-05", horizon=100.0, rate=2.0, **changes):
    return scenario(
        {"a": deployment(price=price, latency={"total": 1.0}, **changes)},
        {"chat": traffic(rate)},
        horizon=horizon,
        start=start,
    )


def costs(spec, **options):
    """The end of each attempt in absolute time, and its cost."""
    run = run_one(spec, patient, **options)
    return run.epoch_s + run.attempts["end_s"], run.attempts["cost_usd"]


# By the hour


def test_off_peak_hours_cost_less():
    """DeepSeek's hours of 2025, 16:30 to 00:30, half the price."""
    price = BASE | {"hours": {"from": "16:30", "to": "00:30", "factor": 0.5, "source": "api-docs"}}
    ends, cost = costs(world(price, horizon=DAY, rate=0.05))
    cheap = (ends >= 16.5 * 3600) | (ends < 0.5 * 3600)
    assert 0.2 < cheap.mean() < 0.5
    assert cost[cheap] == pytest.approx(FULL / 2)
    assert cost[~cheap] == pytest.approx(FULL)


def test_peak_hours_may_be_several():
    price = BASE | {
        "hours": [
            {"from": "01:00", "to": "04:00", "factor": 2},
            {"from": "06:00", "to": "10:00", "factor": 2},
        ]
    }
    ends, cost = costs(world(price, horizon=DAY, rate=0.05))
    hour = ends % DAY / 3600
    peak = ((hour >= 1) & (hour < 4)) | ((hour >= 6) & (hour < 10))
    assert cost[peak] == pytest.approx(2 * FULL)
    assert cost[~peak] == pytest.approx(FULL)
    assert peak.any()


def test_hours_are_those_of_the_start():
    price = BASE | {"hours": {"from": "12:00", "to": "13:00", "factor": 0}}
    assert costs(world(price, start="2026-01-05T12:00Z"))[1].max() == 0
    assert costs(world(price, start="2026-01-05T13:00Z"))[1].min() == pytest.approx(FULL)
    assert costs(world(price, start="2026-01-05T13:30+01:00"))[1].max() == 0


def test_the_price_is_that_of_the_end():
    price = BASE | {"hours": {"from": "00:01", "to": "12:00", "factor": 0}}
    ends, cost = costs(world(price, rate=5))
    assert (cost[ends < 60] > 0).all()
    assert (cost[ends >= 60] == 0).all()


# By the day

FALLING = [
    BASE | {"valid_from": "2026-01-01", "source": "a page of January"},
    {"valid_from": "2026-01-06", "usd_per_mtok_in": 0.5, "usd_per_mtok_out": 1.0},
    {"valid_from": "2026-01-08", "usd_per_mtok_in": 0.1, "usd_per_mtok_out": 0.2},
]


def test_prices_change_at_midnight():
    ends, cost = costs(world(FALLING, horizon=4 * DAY, rate=0.01))
    day = ends // DAY
    for first, last, share in ((0, 0, 1.0), (1, 2, 0.5), (3, 4, 0.1)):
        those = (day >= first) & (day <= last)
        assert cost[those] == pytest.approx(share * FULL)


def test_a_run_may_start_after_a_change_and_a_window_in_the_middle():
    assert costs(world(FALLING, start="2026-01-07"))[1] == pytest.approx(FULL / 2)
    assert costs(world(FALLING, start="2025-01-01"))[1] == pytest.approx(FULL)
    spec = world(FALLING, horizon=4 * DAY, rate=0.05)
    ends, cost = costs(spec, window=(DAY - 500, 1000.0))
    assert cost[ends < DAY] == pytest.approx(FULL)
    assert cost[ends >= DAY] == pytest.approx(FULL / 2)
    assert len({*np.round(cost, 9)}) == 2


def test_a_router_knows_the_price_of_the_first_day():
    seen = []

    def policy(transport):
        seen.append(transport.deployments[0].usd_per_mtok_in)
        return patient(transport)

    run_one(world(FALLING, start="2026-01-07"), policy)
    assert seen == [0.5]
    spec = world(FALLING).deployments["a"]
    assert spec.to_deployment().usd_per_mtok_in == 1.0
    assert spec.to_deployment(date(2026, 1, 9)).usd_per_mtok_in == 0.1


def test_a_window_in_a_distant_age_has_the_last_price():
    ends, cost = costs(world(FALLING, horizon=1e12, rate=0.1), window=(9e11, 100.0))
    assert len(ends) > 3
    assert cost == pytest.approx(0.1 * FULL)


def test_a_file_with_dated_prices_configures_production(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        """
routing: {}
deployments:
  a:
    model: m
    account: team
    rpm: 60
    service: {kind: processor_sharing, servers: 2}
    price:
      - {valid_from: 2020-01-01, usd_per_mtok_in: 3, usd_per_mtok_out: 4, hours: []}
      - {valid_from: 2021-01-01, usd_per_mtok_in: 1, usd_per_mtok_out: 2, source: x}
      - {valid_from: 2999-01-01, usd_per_mtok_in: 0, usd_per_mtok_out: 0}
"""
    )
    _, (found,) = read_policy(file)
    assert (found.usd_per_mtok_in, found.usd_per_mtok_out) == (1, 2)
    assert found.components == ("team",)


# Prompt caches


def test_a_share_of_every_prompt_may_be_cached():
    price = BASE | {"prompt_cache": {"discount": 0.9, "share": 0.5}}
    _, cost = costs(world(price))
    assert cost == pytest.approx((1000 * (1 - 0.9 * 0.5) + 100 * 2) / 1e6)


HIT = (1000 * 0.1 + 100 * 2) / 1e6
BY_SESSION = BASE | {"prompt_cache": {"discount": 0.9, "by": "session", "ttl": "10s"}}
BY_TOPIC = BASE | {"prompt_cache": {"discount": 0.9, "by": "topic", "ttl": "10s"}}


def asked_at(*times, topics=None, session=False):
    """The costs of calls at these times, in order; each takes a second."""
    names = topics or ["t"] * len(times)

    async def one(transport, request, when, name):
        await asyncio.sleep(when)
        asked = request.replace(**{"session" if session else "topic": name})
        await transport.send(asked, transport.deployments[0], timeouts=NONE)

    async def script(transport, request):
        tasks = (one(transport, request, when, name) for when, name in zip(times, names, strict=True))
        await asyncio.gather(*tasks)

    _, run = play(world(BY_SESSION if session else BY_TOPIC), script)
    order = np.argsort(run.attempts["start_s"])
    return [{FULL: "miss", HIT: "hit"}[round(float(cost), 12)] for cost in run.attempts["cost_usd"][order]]


def test_a_topic_hits_once_it_was_read_and_until_it_is_forgotten():
    assert asked_at(0, 2) == ["miss", "hit"]
    assert asked_at(0, 0.5) == ["miss", "miss"]  # The first is still being read.
    assert asked_at(0, 10.9) == ["miss", "hit"]
    assert asked_at(0, 11.1) == ["miss", "miss"]
    assert asked_at(0, 8, 16, 24) == ["miss", "hit", "hit", "hit"]  # Each hit keeps it.
    assert asked_at(0, 2, 4, topics=["t", "u", "t"]) == ["miss", "miss", "hit"]


def test_who_has_no_topic_never_hits():
    assert asked_at(0, 2, topics=[None, None]) == ["miss", "miss"]


def test_sessions_hit_as_topics_do():
    assert asked_at(0, 2, 4, topics=["s", "r", "s"], session=True) == ["miss", "miss", "hit"]


def test_popular_topics_make_it_cheaper():
    price = BASE | {"prompt_cache": {"discount": 0.9, "by": "topic", "ttl": "5min"}}
    few, many = (
        scenario({"a": deployment(price=price)}, {"chat": traffic(5, topics=topics)})
        for topics in ({"count": 50, "near_misses": 0}, {"count": 100_000, "zipf": 0})
    )
    cheap, dear = (run_one(spec, patient).attempts["cost_usd"].mean() for spec in (few, many))
    assert cheap < 0.5 * FULL
    assert dear == pytest.approx(FULL, rel=0.05)


# The scenario


def test_a_flat_price_needs_no_tariff_and_a_tariff_moves_nothing_else():
    flat, varied = (run_one(world(price), patient) for price in (BASE, BASE | {"hours": []}))
    assert digest(flat) == digest(varied)
    halved = run_one(world(BASE | {"hours": {"from": "00:00", "to": "24:00", "factor": 0.5}}), patient)
    assert halved.attempts["cost_usd"] == pytest.approx(flat.attempts["cost_usd"] / 2)
    np.testing.assert_array_equal(halved.attempts["end_s"], flat.attempts["end_s"])


def test_prices_are_read_and_written():
    price = [FALLING[0] | {"hours": {"from": "16:30", "to": "00:30", "factor": 0.5}}, *FALLING[1:]]
    spec = world(price)
    found = spec.deployments["a"].price
    assert found.source == "a page of January"
    assert found.valid_from == date(2026, 1, 1)
    assert [change.valid_from.day for change in found.changes] == [6, 8]
    assert found.hours[0].from_s == 16.5 * 3600
    written = spec.to_dict()["deployments"]["a"]["price"]
    assert written["hours"] == [{"from": "16:30", "to": "00:30", "factor": 0.5}]
    assert Scenario.from_dict(spec.to_dict()) == spec


def test_yaml_times_need_no_quotes(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        """
horizon: 10
deployments:
  a:
    model: m
    latency: {total: 1, profile: {09:00: 1.0, 14:00: 1.4}}
    price: {usd_per_mtok_in: 1, hours: {from: 16:30, to: 00:30, factor: 0.5}}
traffic:
  chat: {arrivals: {kind: poisson, rate: 1}, prompt_tokens: 1, output_tokens: 1}
"""
    )
    found = Scenario.load(file).deployments["a"]
    assert found.price.hours[0].from_s == 16.5 * 3600
    assert set(found.latency.profile) == {9 * 3600.0, 14 * 3600.0}


HOURS = {"from": "09:00", "to": "12:00", "factor": 2}


@pytest.mark.parametrize(
    ("price", "path"),
    [
        ([], "price"),
        (["playbook/gpt-4o"], "price[0]"),
        ([FALLING[0], FALLING[0]], "price.changes[0].valid_from"),
        ([FALLING[0], FALLING[2], FALLING[1]], "price.changes[1].valid_from"),
        ([FALLING[0], {"usd_per_mtok_in": 1, "usd_per_mtok_out": 1}], "price.changes[0].valid_from"),
        (BASE | {"hours": HOURS | {"from": "9h"}}, "price.hours[0].from"),
        (BASE | {"hours": HOURS | {"factor": -1}}, "price.hours[0].factor"),
        (BASE | {"hours": [HOURS, HOURS | {"from": "11:00", "to": "13:00"}]}, "price.hours[1].from"),
        (BASE | {"prompt_cache": {"discount": 1.1}}, "price.prompt_cache.discount"),
        (BASE | {"prompt_cache": {"discount": 1, "by": "topics"}}, "price.prompt_cache.by"),
    ],
)
def test_what_cannot_be_is_refused(price, path):
    with pytest.raises(ScenarioError) as caught:
        world(price)
    assert [problem.path for problem in caught.value.problems] == [f"deployments.a.{path}"]
