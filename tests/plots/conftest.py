"""Tiny results for plots: two deployments of one provider that has incidents."""

from __future__ import annotations

import matplotlib
import pytest
from matplotlib import pyplot as plt

import simsla

plt.switch_backend("Agg")

SEVERITY = "components.acme.faults.0.severity"
ATTEMPTS = "routing.retry.max_attempts"


def scenario_of(**changes):
    latency = {"total": {"kind": "lognormal", "mean": 1.0, "p99": 4.0}}
    return simsla.Scenario.from_dict(
        {
            "name": "two-regions",
            "horizon": "3h",
            "warmup": "10min",
            "components": {
                "acme": {
                    "kind": "provider",
                    "faults": [
                        {"kind": "brownout", "severity": 0.3, "schedule": [{"start": "1h", "duration": "1h"}]}
                    ],
                },
                "gateway": {
                    "kind": "gateway",
                    "faults": [{"kind": "outage", "schedule": [{"start": "150min", "duration": "5min"}]}],
                },
            },
            "deployments": {
                "east": {"model": "m", "provider": "acme", "latency": latency},
                "west": {"model": "m", "provider": "acme", "components": ["gateway"], "latency": latency},
            },
            "traffic": {
                "chat": {
                    "arrivals": {"kind": "poisson", "rate": "6/min"},
                    "prompt_tokens": 100,
                    "output_tokens": 50,
                }
            },
            "routing": {"retry": {"max_attempts": 1}},
            "objectives": [{"name": "availability", "metric": "availability", "target": 0.9995}],
            **changes,
        }
    )


@pytest.fixture(scope="session")
def scenario():
    return scenario_of()


@pytest.fixture(scope="session")
def result(scenario):
    return simsla.simulate(scenario, replications=3, progress=False)


@pytest.fixture(scope="session")
def study(scenario):
    return simsla.sweep(
        scenario, {SEVERITY: [0.2, 0.5, 1.0], ATTEMPTS: [1, 2]}, replications=3, progress=False
    )


@pytest.fixture(autouse=True)
def tidy():
    """No plot changes the settings of matplotlib, and none leaves a figure behind for the next test."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")
