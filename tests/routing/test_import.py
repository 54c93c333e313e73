from __future__ import annotations

import subprocess
import sys


def test_the_package_stands_on_the_standard_library():
    command = [sys.executable, "-X", "importtime", "-c", "import simsla.routing"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in report.splitlines()}
    assert "simsla" in loaded
    foreign = {"simpy", "numpy", "scipy", "pandas", "matplotlib", "yaml", "openai", "pydantic", "httpx"}
    assert not loaded & foreign
    modules = {line.rsplit("|", 1)[-1].strip() for line in report.splitlines()}
    own = {name for name in modules if name.startswith("simsla.")}
    assert all(name.startswith("simsla.routing") for name in own)
