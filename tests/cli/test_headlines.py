"""What the report tells only where there is something to tell."""

from __future__ import annotations

import json

import pytest
import yaml

OPTIONAL = ("pods besides, per day", "requests per intent", "intents served", "satisfaction")


def told(simsla, here, changes):
    """The optional lines of the report of the small scenario, changed."""
    data = yaml.safe_load((here / "small.yaml").read_text(encoding="utf-8"))
    changes(data)
    (here / "changed.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    lines = simsla("run", "changed.yaml", "--jobs", "1", "--replications", "1").stdout.splitlines()
    return [name for name in OPTIONAL if any(line.startswith(name + " ") for line in lines)]


def test_nothing_of_what_the_scenario_has_not(simsla, here):
    assert told(simsla, here, lambda data: None) == []


def test_the_cost_of_pods(simsla, here):
    def with_pods(data):
        data["components"]["door"] = {"kind": "gateway"}
        data["deployments"]["main"]["components"] = ["door"]
        data["gateway"] = {"pods": 2, "usd_per_pod_hour": 0.5}

    assert told(simsla, here, with_pods) == ["pods besides, per day"]


def test_intents_where_clients_ask_again(simsla, here):
    def with_retries(data):
        data["traffic"]["chat"]["client"] = {"retries": 2}
        data["routing"] = {"max_attempts": 1, "deadline_s": 1}

    assert told(simsla, here, with_retries) == ["requests per intent", "intents served"]


def test_no_cost_where_nothing_has_a_price(simsla, here):
    def without(data):
        for deployment in data["deployments"].values():
            del deployment["price"]

    told(simsla, here, lambda data: None)
    assert simsla("run", "changed.yaml", "--jobs", "1", "--replications", "1").stdout.count("cost per") == 4
    told(simsla, here, without)
    report = simsla("run", "changed.yaml", "--jobs", "1", "--replications", "1").stdout
    assert "cost per" not in report
    assert "USD" not in report

    def with_a_later_price(data):
        without(data)
        data["deployments"]["main"]["price"] = [
            {"valid_from": "2026-01-01", "usd_per_mtok_in": 0, "usd_per_mtok_out": 0},
            {"valid_from": "2026-02-01", "usd_per_mtok_in": 1, "usd_per_mtok_out": 2},
        ]

    told(simsla, here, with_a_later_price)
    assert "cost per day" in simsla("run", "changed.yaml", "--jobs", "1", "--replications", "1").stdout


def test_satisfaction_where_quality_is_known(simsla, here):
    def with_scores(data):
        for deployment in data["deployments"].values():
            deployment["quality"] = 0.9

    assert told(simsla, here, with_scores) == ["satisfaction"]
    run = ("run", "changed.yaml", "--jobs", "1", "--replications", "1", "--json")
    found = json.loads(simsla(*run).stdout)["metrics"]["satisfaction"]["value"]
    assert found == pytest.approx(0.9)
