"""Worlds for litellm.Router, whose version is pinned in an extra of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from simsla.scenario import Scenario
from simsla.simulation import run_one

POLICY = "simsla.integrations.litellm_router:policy"


@pytest.fixture(scope="session", autouse=True)
def needs_litellm() -> None:
    """Skip where litellm is not installed."""
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("litellm is not installed: pip install 'simsla[litellm]'")


@pytest.fixture(scope="session")
def world() -> Callable[..., Scenario]:
    """A scenario of these deployments and their model groups, for a class of requests called chat."""

    def world(
        deployments: dict[str, dict[str, Any]],
        groups: dict[str, list[str]],
        *,
        rate: str = "60/min",
        horizon: str = "10min",
        traffic: dict[str, Any] | None = None,
        entries: dict[str, dict[str, Any]] | None = None,
        litellm_settings: dict[str, Any] | None = None,
        **router_settings: Any,
    ) -> Scenario:
        described = {
            name: {
                "model": f"model-of-{name}",
                "provider": name,
                "base_url": f"https://{name}.example/v1",
                "latency": {"total": 0.5},
                "error_latency": 0.2,
            }
            | given
            for name, given in deployments.items()
        }
        model_list = [
            {
                "model_name": group,
                "litellm_params": {"model": f"openai/model-of-{name}", **(entries or {}).get(name, {})},
                "model_info": {"id": name},
            }
            for group, names in groups.items()
            for name in names
        ]
        options: dict[str, Any] = {"model_list": model_list, "router_settings": router_settings}
        if litellm_settings is not None:
            options["litellm_settings"] = litellm_settings
        chat = {
            "arrivals": {"kind": "poisson", "rate": rate},
            "prompt_tokens": 20,
            "output_tokens": 10,
        }
        return Scenario.from_dict(
            {
                "name": "litellm",
                "horizon": horizon,
                "replications": 1,
                "components": {name: {"kind": "provider"} for name in deployments},
                "deployments": described,
                "traffic": {"chat": chat | (traffic or {})},
                "routing": {"policy": POLICY, "options": options},
            }
        )

    return world


_PROGRAM = """
import sys
from simsla.scenario import Scenario
from simsla.simulation import run_one
run = run_one(Scenario.load(sys.argv[1]), seed=3)
print(run.log.requests_frame().to_csv() + run.log.attempts_frame().to_csv())
"""


@pytest.fixture
def twin_logs(tmp_path) -> Callable[[Scenario], tuple[str, str, str]]:
    """The logs of a scenario in two processes whose texts have other hashes, and in this one."""

    def twin_logs(scenario: Scenario) -> tuple[str, str, str]:
        file = tmp_path / "scenario.yaml"
        file.write_text(yaml.safe_dump(scenario.to_dict()), encoding="utf-8")
        texts = [
            subprocess.run(
                [sys.executable, "-c", _PROGRAM, str(file)],
                env=os.environ | {"PYTHONHASHSEED": hashes},
                capture_output=True,
                check=True,
                text=True,
            ).stdout.removesuffix("\n")
            for hashes in ("1", "2")
        ]
        run = run_one(scenario, seed=3)
        return texts[0], texts[1], run.log.requests_frame().to_csv() + run.log.attempts_frame().to_csv()

    return twin_logs
