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


def test_satisfaction_where_quality_is_known(simsla, here):
    def with_scores(data):
        for deployment in data["deployments"].values():
            deployment["quality"] = 0.9

    assert told(simsla, here, with_scores) == ["satisfaction"]
    run = ("run", "changed.yaml", "--jobs", "1", "--replications", "1", "--json")
    found = json.loads(simsla(*run).stdout)["metrics"]["satisfaction"]["value"]
    assert found == pytest.approx(0.9)
