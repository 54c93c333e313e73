"""What the README shows is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import simsla

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def python_blocks() -> list[object]:
    return [
        pytest.param(
            code,
            marks=[pytest.mark.slow] if "simsla.sweep(" in code else [],
            id=code.strip().splitlines()[0][:40],
        )
        for code in blocks("python")
    ]


@pytest.mark.parametrize("code", python_blocks())
def test_a_python_block_runs(code, tmp_path):
    script = tmp_path / "block.py"
    # Worker processes import the module that made their task, so nothing may run on import.
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "savefig" in code:
        assert (tmp_path / "availability.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_scenario_is_valid_and_runs(text):
    scenario = simsla.Scenario.from_dict(yaml.safe_load(text)).with_values({"horizon": "2h", "warmup": 0})
    result = simsla.simulate(scenario, replications=2, progress=False)
    assert result.metrics["requests_per_day"].value > 0
