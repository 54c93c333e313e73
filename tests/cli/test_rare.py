"""What `simsla rare` prints and refuses."""

from __future__ import annotations

import json

import pytest

FAULTY = """\
name: faulty
horizon: 1h
components:
  p:
    faults:
      - {kind: outage, uptime: {kind: exponential, mean: 3600}, repair: {kind: exponential, mean: 60}}
deployments:
  main: {model: m, provider: p, latency: {total: 0.5}}
traffic:
  chat: {arrivals: {kind: poisson, rate: 0.2}, prompt_tokens: 100, output_tokens: 50}
"""

RARE = ("rare", "faulty.yaml", "--jobs", "1", "--years", "0.5", "--requests", "3000", "--quiet")


@pytest.fixture
def rare(here, simsla):
    (here / "faulty.yaml").write_text(FAULTY, encoding="utf-8")
    return simsla


def test_text(rare):
    result = rare(*RARE, "--memory", "1min")
    assert result.exit_code == 0
    assert "0.5 years of faults" in result.stdout
    assert "unavailability" in result.stdout
    assert "while" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_json(rare):
    result = rare(*RARE, "--json")
    data = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["schema"] == "simsla.rare/1"
    u = data["metrics"]["unavailability"]
    assert u["ci_low"] < 60 / 3660 < u["ci_high"]
    assert rare(*RARE, "--json").stdout == result.stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [("--years", "0"), ("--within", "-1"), ("--memory", "soon"), ("--requests", "0"), ("--memory", "0s")],
)
def test_bad_usage(rare, option, value):
    result = rare(*RARE, option, value)
    assert result.exit_code == 2
    assert option in result.stderr
