"""The rows of data/features.yaml: what they simulate, and the table in the README that they make."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

import simsla

ROOT = Path(__file__).parents[2]
FILE = ROOT / "data" / "features.yaml"
README = ROOT / "README.md"

CATALOGUE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
WORLDS: dict[str, dict[str, Any]] = CATALOGUE["worlds"]
ROWS: list[dict[str, Any]] = CATALOGUE["features"]
SIMULATED = [row for row in ROWS if "world" in row]

METRICS = {
    "amplification": "attempts per request",
    "attempts_per_day": "calls a day",
    "availability": "availability",
    "cache_false_hit_share": "false hits",
    "cache_hit_share": "cache hits",
    "cost_usd_per_1k_requests": "USD per 1,000 requests",
    "cost_usd_per_day": "USD a day",
    "latency_p50_s": "p50",
    "latency_p75_s": "p75",
    "latency_p90_s": "p90",
    "latency_p95_s": "p95",
    "latency_p99_s": "p99",
    "traffic_share": "share of traffic",
    "ttft_p99_s": "first token p99",
}

BEGIN, END = "<!-- features -->\n", "<!-- end of features -->"


# What a row simulates


def measured(row: Mapping[str, Any]) -> tuple[simsla.Estimate, simsla.Estimate]:
    """The row's metric without and with its feature, in the same world."""
    both = row.get("values", {})
    without = simulated(row["world"], row.get("against", {}), {**both, **row.get("against_values", {})})
    return estimate(without, row["shows"]), estimate(
        simulated(row["world"], row["routing"], both), row["shows"]
    )


def scenario(world: str, routing: Mapping[str, Any], values: Mapping[str, Any]) -> simsla.Scenario:
    base = WORLDS[world]
    whole = {"name": world, **base, "routing": {**base.get("routing", {}), **routing}}
    return simsla.Scenario.from_dict(whole).with_values(values)


def simulated(world: str, routing: Mapping[str, Any], values: Mapping[str, Any]) -> simsla.Result:
    """The result of one side; sides that rows have in common are simulated once."""
    return _simulated(world, json.dumps(routing), json.dumps(values))


@functools.cache
def _simulated(world: str, routing: str, values: str) -> simsla.Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        return simsla.simulate(
            scenario(world, json.loads(routing), json.loads(values)),
            seed=CATALOGUE["seed"],
            replications=CATALOGUE["replications"],
            keep_logs=False,
            progress=False,
        )


def estimate(result: simsla.Result, shows: Mapping[str, Any]) -> simsla.Estimate:
    metric, whose = shows["metric"], shows.get("of")
    if whose is None:
        return result.estimate(metric)
    dimension = "deployment" if whose in result.scenario.deployments else "request_class"
    frame = result.by(dimension).set_index([dimension, "metric"])
    value, low, high, n = frame.loc[(whose, metric)]
    return simsla.Estimate(value, low, high, int(n))


# The table


def table() -> str:
    """The rows in Markdown: a table for each group."""
    return "\n".join(_lines())


def section(text: str) -> str:
    """What stands where the table belongs in the README."""
    return text.partition(BEGIN)[2].partition(END)[0]


def _lines() -> Iterator[str]:
    for group, rows in groupby(ROWS, key=lambda row: row["group"]):
        yield f"\n### {group}\n"
        yield "| feature | configuration | where it shows |"
        yield "|---|---|---|"
        for row in rows:
            configuration = ", ".join(f"{key}: {inline(value)}" for key, value in row["routing"].items())
            code = f"`{configuration}`" if configuration else "always on"
            yield f"| {row['feature']} ({row['origin']}) | {code} | {evidence(row)} |"
    yield ""


def evidence(row: Mapping[str, Any]) -> str:
    if "test" in row:
        return f"`{row['test'].partition('::')[0]}`"
    shows = row["shows"]
    whose = f" of `{shows['of']}`" if "of" in shows else ""
    without, with_it = (formatted(value, shows["metric"]) for value in row["measured"])
    return f"{row['world']}: {METRICS[shows['metric']]}{whose} {without} → {with_it}"


def formatted(value: float, metric: str) -> str:
    if metric == "availability" or metric.endswith("_share"):
        return f"{100 * value:.4g} %"
    return f"{value:.3g} s" if metric.endswith("_s") else f"{float(f'{value:.3g}'):,g}"


def inline(value: Any) -> str:
    """YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).split("\n")[0]


if __name__ == "__main__":
    # After a change that moves numbers: measure anew, and write them into the file and into the README.
    text = FILE.read_text(encoding="utf-8")
    for row in SIMULATED:
        row["measured"] = [float(f"{each.value:.4g}") for each in measured(row)]
        head, name, rest = text.partition(f"  - feature: {row['feature']}\n")
        body, words, tail = rest.partition("    in_words:")
        kept = [line for line in body.splitlines(keepends=True) if "    measured:" not in line]
        text = head + name + "".join(kept) + f"    measured: {inline(row['measured'])}\n" + words + tail
    FILE.write_text(text, encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BEGIN)
    README.write_text(before + begin + table() + END + rest.partition(END)[2], encoding="utf-8")
