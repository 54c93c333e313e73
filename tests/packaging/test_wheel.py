"""The wheel, built and installed into an empty environment, runs from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT))
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "data").rglob("*.yaml")}
    assert "data/scenarios/playbook.yaml" in data
    assert {f"simsla/{name}" for name in data} <= names
    assert "simsla/py.typed" in names
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "simsla").rglob("*.py")}
    assert code <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    top = {name.partition("/")[0] for name in names}
    assert top == {"simsla", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def test_an_empty_environment_runs_the_playbook_from_any_folder(wheel, tmp_path):
    # With dependencies from the index: only so does an undeclared one show.
    environment = tmp_path / "environment"
    subprocess.run((sys.executable, "-m", "venv", str(environment)), check=True)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run((str(programs / "python"), "-m", "pip", "install", "-q", str(wheel)), check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        (str(programs / "simsla"), "run", "playbook", "--replications", "2", "--horizon", "1d", "--json"),
        cwd=elsewhere,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["scenario"] == "playbook"
    assert result["requests"] > 30_000
    assert list(elsewhere.iterdir()) == []
