"""The README's table of metrics names every metric that is always reported, and how its interval is made."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path

import pytest
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, traffic

import simsla
from simsla.analysis import METRICS

README = Path(__file__).parents[2] / "README.md"
METHODS = {
    "by state": "post-stratified by environment state",
    "quantile": "inverted at the quantile",
    "ratio": "t across replications",
}


def expanded(pattern: str) -> list[str]:
    """`a_{b,c}_s` as `a_b_s` and `a_c_s`."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(each) for each in itertools.product(*parts)]


def rows() -> list[tuple[str, str]]:
    text = README.read_text(encoding="utf-8")
    table = text.split("<!-- metrics -->")[1].split("<!-- end of metrics -->")[0]
    found = []
    for line in table.strip().splitlines()[2:]:
        names, means, interval = (cell.strip() for cell in line.strip("|").split("|"))
        assert means
        found += [(name, interval) for pattern in re.findall("`(.+?)`", names) for name in expanded(pattern)]
    return found


@pytest.fixture(scope="module")
def result():
    fault = {"faults": [{"kind": "outage", "uptime": exp(100), "repair": exp(10)}]}
    world = scenario(
        {"a": deployment(components=["g"])}, {"chat": traffic(1)}, horizon=300, components={"g": fault}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(world, patient, replications=3)


def test_the_table_has_each_metric_once_and_says_how_its_interval_is_made(result):
    named = [name for name, _ in rows()]
    assert sorted(named) == sorted({*METRICS, "cost_usd_per_1k_requests", "cost_usd_per_good_request"})
    for name, interval in rows():
        estimate = result.estimate(name)
        assert METHODS[interval] in estimate.method or not estimate.method, name
