"""A small world and the command line over it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simsla.cli import app

SMALL = """\
name: small
horizon: 30min
replications: 2
components:
  acme: {kind: provider, faults: [{kind: outage, schedule: [{start: 10min, duration: 5min}]}]}
deployments:
  main:
    model: m
    provider: acme
    price: {usd_per_mtok_in: 1, usd_per_mtok_out: 2}
    latency: {first_token: 0.2, per_token: {kind: lognormal, mean: 0.01, p99: 0.02}}
    errors: {500: 0.01}
  spare:
    model: m
    price: {usd_per_mtok_in: 10, usd_per_mtok_out: 20}
    latency: {total: 2}
traffic:
  chat: {arrivals: {kind: poisson, rate: 0.2}, prompt_tokens: 100, output_tokens: 50}
  batch: {arrivals: {kind: poisson, rate: 0.1}, prompt_tokens: 1000, output_tokens: 10}
objectives:
  - {name: promise, metric: availability, target: 0.5}
  - {name: tail, metric: latency_p99_s, request_class: chat, target: 60}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `small.yaml` in it."""
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def simsla(here: Path) -> Callable[..., Result]:
    """Run the command line in this process."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        return result

    return run
