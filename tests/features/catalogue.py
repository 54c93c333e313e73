"""The rows of data/features.yaml: what they say, what they simulate and the table that they make."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import simsla

FILE = Path(__file__).parents[2] / "data" / "features.yaml"
CATALOGUE: dict[str, Any] = yaml.safe_load(FILE.read_text())
ROWS: list[dict[str, Any]] = CATALOGUE["features"]
SIMULATED = [row for row in ROWS if "world" in row]
UNITS = {"s": " s", "share": " %"}


def measured(row: Mapping[str, Any]) -> tuple[simsla.Estimate, simsla.Estimate]:
    """The row's metric without and with its feature, in the same world."""
    without = {**row.get("values", {}), **row.get("against_values", {})}
    shows = row["shows"]
    return (
        estimate(simulated(row["world"], frozen(row.get("against", {})), frozen(without)), shows),
        estimate(simulated(row["world"], frozen(row["routing"]), frozen(row.get("values", {}))), shows),
    )


@functools.cache
def simulated(world: str, routing: str, values: str) -> simsla.Result:
    base = CATALOGUE["worlds"][world]
    scenario = simsla.Scenario.from_dict(
        {"name": world, **base, "routing": {**base.get("routing", {}), **json.loads(routing)}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(
            scenario.with_values(json.loads(values)),
            seed=CATALOGUE["seed"],
            replications=CATALOGUE["replications"],
            keep_logs=False,
            progress=False,
        )


def frozen(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def estimate(result: simsla.Result, shows: Mapping[str, Any]) -> simsla.Estimate:
    metric, whose = shows["metric"], shows.get("of")
    if whose is None:
        return result.estimate(metric)
    dimension = "deployment" if whose in result.scenario.deployments else "request_class"
    frame = result.by(dimension)
    row = frame[(frame[dimension] == whose) & (frame["metric"] == metric)].iloc[0]
    unit = "share" if metric.endswith("_share") else "s" if metric.endswith("_s") else ""
    return simsla.Estimate(row["value"], row["ci_low"], row["ci_high"], int(row["n"]), unit=unit)
