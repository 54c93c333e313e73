"""What is loaded when: a deployed router must not pay for the simulator, nor `--help` for NumPy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import simsla

HEAVY = {"numpy", "scipy", "simpy", "pandas", "matplotlib"}


def loaded_by(*command: str) -> set[str]:
    """The modules that a fresh interpreter imports."""
    ran = subprocess.run(
        (sys.executable, "-X", "importtime", *command),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(simsla.__file__).parents[1],
    )
    return set(re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s*(\S+)$", ran.stderr, re.MULTILINE))


def test_import_simsla_loads_nothing_but_itself():
    loaded = loaded_by("-c", "import simsla")
    assert "simsla" in loaded
    assert {name for name in loaded if name.startswith("simsla.")} == set()
    assert {name.partition(".")[0] for name in loaded} & (HEAVY | {"pydantic", "asyncio"}) == set()
    # What else it needs is a part of any start of the interpreter, or small.
    assert len(loaded - loaded_by("-c", "import importlib, typing")) < 5


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_is_quick(arguments):
    loaded = {name.partition(".")[0] for name in loaded_by("-m", "simsla", *arguments)}
    assert "typer" in loaded
    assert loaded & HEAVY == set()
