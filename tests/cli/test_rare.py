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
    # The share of time down, and up to 30 s until the breaker finds out that it is over.
    assert u["ci_high"] > 60 / 3660
    assert u["ci_low"] < 90 / 3660
    assert rare(*RARE, "--json").stdout == result.stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [("--years", "0"), ("--within", "-1"), ("--memory", "soon"), ("--requests", "0"), ("--memory", "0s")],
)
def test_bad_usage(rare, option, value):
    result = rare(*RARE, option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_a_target_adds_the_formulas_and_the_months(rare):
    data = json.loads(rare(*RARE, "--target", "0.999", "--json").stdout)
    assert data["target"] == 0.999
    assert data["independence_unavailability"] == pytest.approx(60 / 3660)
    assert data["month_miss_probability"]["value"] == 1
    text = rare(*RARE, "--target", "0.999").stdout
    assert "months below 99.9 %" in text
    assert "independent deployments" in text
    assert "months below" not in rare(*RARE).stdout


def test_a_target_needs_a_month(rare):
    short = ("--years", "0.01", "--requests", "500", "--jobs", "1", "-q")
    result = rare("rare", "faulty.yaml", *short, "--target", "0.9")
    assert result.exit_code == 2
    assert "--target" in result.stderr
    assert "--years" in result.stderr
    assert rare(*RARE, "--target", "1").exit_code == 2
