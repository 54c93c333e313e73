"""Every row of the README's table of the world is a part of a scenario."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import simsla
from simsla.scenario import Scenario

README = Path(__file__).parents[2] / "README.md"

BASE = """
start: 2026-01-05
horizon: 4h
components:
  acme: {kind: provider}
  gw: {kind: gateway}
regions: {us: {}, eu: {}}
deployments:
  a: {model: m, provider: acme, region: us, components: [gw], latency: {total: 1}}
traffic:
  chat:
    arrivals: {kind: poisson, rate: 1/min}
    prompt_tokens: {kind: lognormal, mean: 500, p99: 2000}
    output_tokens: {kind: lognormal, mean: 100, p99: 400}
    region: {us: 1, eu: 1}
  batch: {arrivals: {kind: trace, path: mine.jsonl, columns: {time: ts, prompt: in_tok, output: out_tok}}}
network: {rtt: {}}
routing: {cache: {threshold: 0.8}}
"""

TRACE = '{"ts": 0, "in_tok": 10, "out_tok": 5}\n{"ts": 60000, "in_tok": 20, "out_tok": 7}\n'


def rows():
    table = README.read_text(encoding="utf-8").split("<!-- world -->")[1].split("<!-- end of world -->")[0]
    found = [re.fullmatch(r"\| (.+?) \| `(.+?)` \| `(.+)` \|", line) for line in table.splitlines()]
    return [match.groups() for match in found if match]


def with_row(path, text):
    """The scenario of all rows, as plain data, with one of them in it."""
    data = yaml.safe_load(BASE)
    *parents, last = path.split(".")
    node = data
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = yaml.safe_load(text)
    return data


def test_the_table_has_rows():
    assert len(rows()) == len({name for name, _, _ in rows()}) > 35


@pytest.mark.parametrize(("name", "path", "text"), rows(), ids=[name for name, _, _ in rows()])
def test_a_row_is_read_and_simulated(name, path, text, tmp_path):
    (tmp_path / "mine.jsonl").write_text(TRACE)
    data = with_row(path, text)
    scenario = Scenario.from_dict(data, base_dir=tmp_path)
    assert scenario != Scenario.from_dict(yaml.safe_load(BASE), base_dir=tmp_path)
    assert Scenario.from_dict(scenario.to_dict()) == scenario
    short = scenario.with_values({"horizon": "5min"})
    assert simsla.simulation.run_one(short, seed=1).requests["end_s"].size > 0
