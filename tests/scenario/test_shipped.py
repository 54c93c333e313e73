"""The shipped data: what it claims about itself holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simsla.routing import RoutingPolicy
from simsla.scenario import Fault, Scenario, price_card, shipped


@pytest.fixture(scope="module")
def playbook() -> Scenario:
    return Scenario.load("playbook")


def covered_share(fault: Fault, episodes: int = 1_000_000, seed: int = 1) -> float:
    """The share of time in some episode of a gap process, overlaps united."""
    rng = np.random.default_rng(seed)
    assert fault.gap is not None
    assert fault.repair is not None
    start = np.cumsum(fault.gap.sample(rng, episodes))
    end = start + fault.repair.sample(rng, episodes)
    ended = np.concatenate([[0.0], np.maximum.accumulate(end)[:-1]])
    return float(np.maximum(0.0, end - np.maximum(start, ended)).sum() / start[-1])


@pytest.mark.parametrize(
    ("component", "availability"),
    [
        ("gateway", 0.999),
        ("openai", 0.9980),
        ("deepseek", 0.9980),
        ("alibaba", 0.9991),
        ("zhipu", 0.9991),
        ("us-east-1", 0.9999),
        ("eu-west-1", 0.9999),
        ("ap-southeast-1", 0.9999),
    ],
)
def test_severities_give_the_stated_availability(
    playbook: Scenario, component: str, availability: float
) -> None:
    (fault,) = playbook.all_components[component].faults
    assert fault.source
    assert fault.severity * covered_share(fault) == pytest.approx(1 - availability, rel=0.01)


def test_the_articles_volumes(playbook: Scenario) -> None:
    daily = {name: 86400 * c.arrivals.mean_rate_per_s() for name, c in playbook.traffic.items()}
    assert daily == pytest.approx({"economy": 14000, "standard": 5000, "premium": 1000})
    tokens_in = sum(daily[name] * c.prompt_tokens.mean() for name, c in playbook.traffic.items())
    tokens_out = sum(daily[name] * c.output_tokens.mean() for name, c in playbook.traffic.items())
    assert tokens_in == pytest.approx(30e6)
    assert tokens_out == pytest.approx(15e6)


def test_the_articles_latency_holds_for_the_economy_tier(playbook: Scenario) -> None:
    rng = np.random.default_rng(2)
    latency = playbook.deployments["flash-us"].latency
    assert latency.first_token.mean() == pytest.approx(0.2)
    assert 1 / latency.per_token.mean() == pytest.approx(320)
    length = playbook.traffic["economy"].output_tokens.sample(rng, 400_000)
    total = latency.first_token.sample(rng, 400_000) + length * latency.per_token.sample(rng, 400_000)
    assert total.mean() == pytest.approx(1.2, rel=0.01)
    assert np.quantile(total, 0.99) == pytest.approx(3.4, rel=0.02)


def test_five_models_three_tiers_three_regions_one_gateway(playbook: Scenario) -> None:
    specs = playbook.deployment_specs
    assert len(specs) == 15
    assert len({spec.model for spec in specs}) == 5
    assert {spec.tier for spec in specs} == {"economy", "standard", "premium"}
    assert {spec.region for spec in specs} == {"us-east-1", "eu-west-1", "ap-southeast-1"}
    assert {spec.base_url for spec in specs} == {"https://gateway.example/v1"}
    assert len({(spec.region, spec.api_key_env) for spec in specs}) == 3
    assert all("gateway" in spec.dependencies for spec in specs)
    assert isinstance(playbook.routing, RoutingPolicy)
    chained = [name for chain in playbook.routing.tiers.values() for name in chain]
    assert sorted(chained) == sorted(playbook.deployments)


def test_no_event_falls_on_a_grid(playbook: Scenario) -> None:
    for component in playbook.all_components.values():
        for fault in component.faults:
            assert not fault.schedule
    for spec in playbook.deployment_specs:
        for part in (spec.latency.first_token, spec.latency.per_token, spec.error_latency):
            assert part is not None
            assert part.kind != "constant"


def test_prices_come_from_the_articles_card(playbook: Scenario) -> None:
    card = price_card("playbook")
    assert card.models["gpt-4o"].usd_per_mtok_out == 10.0
    for spec in playbook.deployment_specs:
        listed = card.models[spec.model]
        assert spec.price.usd_per_mtok_in == listed.usd_per_mtok_in
        assert spec.price.usd_per_mtok_out == listed.usd_per_mtok_out
        assert spec.price.source == card.source
        assert spec.price.date == card.date
        assert spec.context_window == listed.context_window


@pytest.mark.parametrize("name", list(shipped("prices")))
def test_every_price_card_is_dated_and_sourced(name: str) -> None:
    card = price_card(name)
    assert card.source
    assert card.date.year >= 2026
    assert card.models


@pytest.mark.parametrize("name", list(shipped("scenarios")))
def test_every_shipped_scenario_round_trips(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.name == name
    assert Scenario.from_dict(scenario.to_dict()) == scenario


def test_shipped_data_is_found_from_any_folder(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    script = "from simsla.scenario import Scenario; print(Scenario.load('playbook').name)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "playbook"
