"""Reading and writing specs, and what is said about bad ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from simsla.distributions import (
    Constant,
    DistributionError,
    Empirical,
    Exponential,
    LogNormal,
    from_spec,
    spec_schema,
)

GOOD = [
    {"kind": "constant", "value": 3},
    {"kind": "exponential", "mean": 2.5},
    {"kind": "exponential", "rate": 0.1, "unit": "min"},
    {"kind": "lognormal", "mu": 0.23, "sigma": 1.17, "unit": "h"},
    {"kind": "lognormal", "mean": 1.2, "p99": 3.4},
    {"kind": "lognormal", "mean": 1.2, "sigma": 0.4},
    {"kind": "lognormal", "median": 0.2, "sigma": 0.4},
    {"kind": "lognormal", "median": 0.2, "p99": 0.4},
    {"kind": "gamma", "shape": 2, "scale": 3.5},
    {"kind": "gamma", "mean": 2, "cv": 0.3},
    {"kind": "weibull", "shape": 0.65, "scale": 92.5, "unit": "h"},
    {"kind": "uniform", "low": 0, "high": 0.35},
    {"kind": "shifted", "offset": 50, "base": {"kind": "exponential", "mean": 5}, "unit": "ms"},
    {
        "kind": "mixture",
        "parts": [
            {"weight": 0.9, "kind": "lognormal", "mean": 1, "p99": 3},
            {"weight": 0.1, "kind": "shifted", "offset": 60, "base": {"kind": "gamma", "mean": 3, "cv": 1}},
        ],
    },
    {"kind": "empirical", "values": [3, 1, 2.5], "unit": "ms"},
]


@pytest.mark.parametrize("spec", GOOD, ids=lambda spec: str(spec)[:60])
def test_round_trip_through_json_and_yaml(spec: dict) -> None:
    dist = from_spec(spec)
    written = dist.to_spec()
    assert from_spec(json.loads(json.dumps(written))) == dist
    assert from_spec(yaml.safe_load(yaml.safe_dump(written))) == dist
    assert {key: written[key] for key in spec if key not in ("values", "parts", "base")} == {
        key: spec[key] for key in spec if key not in ("values", "parts", "base")
    }


@pytest.mark.parametrize("spec", GOOD, ids=lambda spec: str(spec)[:60])
def test_schema_accepts_what_is_read(spec: dict) -> None:
    schema = {"$ref": "#/$defs/D", "$defs": {"D": spec_schema("#/$defs/D")}}
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(spec)
    validator.validate(from_spec(spec).to_spec())
    assert not validator.is_valid({**spec, "kind": "lognorml"})
    assert not validator.is_valid({**spec, "surplus": 1})


def test_a_number_is_a_constant_and_a_distribution_is_itself() -> None:
    assert from_spec(3) == Constant(3.0)
    assert from_spec(np.float64(0.5)) == Constant(0.5)
    dist = Exponential.of(mean=1.0)
    assert from_spec(dist) is dist


def test_reprs_show_what_was_written() -> None:
    assert repr(from_spec(GOOD[4])) == "lognormal(mean=1.2, p99=3.4)"
    assert repr(from_spec(GOOD[10])) == "weibull(shape=0.65, scale=92.5) h"
    assert repr(from_spec(GOOD[14])) == "empirical(3 values) ms"


@pytest.mark.parametrize(
    ("spec", "path", "expected", "suggestion"),
    [
        ({"kind": "lognorml", "mu": 0, "sigma": 1}, "a.kind", "lognormal", "lognormal"),
        ({"kind": ["lognormal"]}, "a.kind", "lognormal", "lognormal"),
        ({"mu": 0, "sigma": 1}, "a.kind", "one of", None),
        ({"kind": "lognormal", "mean": 1, "pp99": 2}, "a.pp99", "p99", "p99"),
        ({"kind": "lognormal", "mean": 1, "mu": 2}, "a", "mean and p99", None),
        ({"kind": "lognormal", "mean": 1.2, "p99": 34}, "a.p99", "14.97 times the mean, i.e. 17.96", None),
        ({"kind": "lognormal", "mean": 1.2, "p99": 1.1}, "a.p99", "above the mean", None),
        ({"kind": "lognormal", "median": 1.2, "p99": 1.1}, "a.p99", "above the median", None),
        ({"kind": "lognormal", "mu": 0, "sigma": 0}, "a.sigma", "above 0", None),
        ({"kind": "exponential", "rate": -1}, "a.rate", "above 0", None),
        ({"kind": "exponential", "mean": True}, "a.mean", "number", None),
        ({"kind": "exponential", "mean": "3"}, "a.mean", "number", None),
        ({"kind": "gamma", "shape": math.nan, "scale": 1}, "a.shape", "finite", None),
        ({"kind": "weibull", "shape": 1, "scale": math.inf}, "a.scale", "finite", None),
        ({"kind": "uniform", "low": 2, "high": 1}, "a.high", "above low", None),
        ({"kind": "weibull", "shape": 1, "scale": 1, "unit": "hours"}, "a.unit", "one of ms", None),
        ({"kind": "mixture", "parts": []}, "a.parts", "at least one", None),
        ({"kind": "mixture", "parts": [{"kind": "constant", "value": 1}]}, "a.parts[0]", "weight", None),
        (
            {"kind": "mixture", "parts": [{"weight": 1, "kind": "gama", "shape": 1, "scale": 1}]},
            "a.parts[0].kind",
            "gamma",
            "gamma",
        ),
        (
            {"kind": "mixture", "parts": [{"weight": -1, "kind": "constant", "value": 1}]},
            "a.parts[0].weight",
            ">= 0",
            None,
        ),
        (
            {"kind": "mixture", "parts": [{"weight": 0, "kind": "constant", "value": 1}]},
            "a.parts",
            "above 0",
            None,
        ),
        ({"kind": "shifted", "offset": 1}, "a", "offset and base", None),
        (
            {
                "kind": "shifted",
                "offset": 1,
                "base": {"kind": "constant", "value": 1, "unit": "ms"},
                "unit": "ms",
            },
            "a.base.unit",
            "not on both",
            None,
        ),
        ({"kind": "empirical", "values": []}, "a.values", "at least one", None),
        ({"kind": "empirical", "values": [1, "x"]}, "a.values[1]", "number", None),
        ({"kind": "empirical", "path": "nowhere.csv"}, "a.path", "existing", None),
        (True, "a", "number", None),
        ("250ms", "a", "number", None),
        (None, "a", "number", None),
    ],
)
def test_errors_name_place_value_and_nearest_name(
    spec: object, path: str, expected: str, suggestion: str | None
) -> None:
    with pytest.raises(DistributionError) as caught:
        from_spec(spec, "a")
    assert caught.value.path == path
    assert expected in caught.value.expected
    assert caught.value.suggestion == suggestion
    assert str(caught.value).startswith(f"{path}: expected ")


def test_impossible_objects_are_refused_too() -> None:
    with pytest.raises(DistributionError, match="sigma: expected a number above 0, got -1"):
        LogNormal(0.0, -1.0)
    with pytest.raises(DistributionError, match="mu and sigma, or mean and p99"):
        LogNormal.of(mu=1.0)


def test_measured_values_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ttft_s,other\n0.5,1\n0.25,2\n")
    (tmp_path / "a.json").write_text('[{"ttft_s": 0.5}, {"ttft_s": 0.25}]')
    (tmp_path / "b.json").write_text("[0.5, 0.25]")
    specs = [
        {"kind": "empirical", "path": "a.csv", "column": "ttft_s"},
        {"kind": "empirical", "path": "a.json", "column": "ttft_s"},
        {"kind": "empirical", "path": "b.json"},
    ]
    for spec in specs:
        dist = from_spec(spec, base_dir=tmp_path)
        assert dist == Empirical((0.25, 0.5))
        assert dist.to_spec()["path"] == str(tmp_path / spec["path"])
        assert from_spec(dist.to_spec()) == dist


@pytest.mark.parametrize(
    ("name", "text", "column", "message"),
    [
        ("a.csv", "ttft_s\n0.5\nx\n", "ttft_s", r"path \(a.csv, line 3\): expected a finite number, got 'x'"),
        ("a.csv", "ttft_s,b\n0.5,1\n", "tttf_s", "did you mean 'ttft_s'"),
        ("a.csv", "ttft_s\n", "ttft_s", "at least one value"),
        ("a.json", '[{"b": 1}]', "a", "a key of item 0"),
        ("a.json", '{"b": 1}', "a", "a JSON list"),
        ("a.json", "[1, true]", None, "item 1"),
        ("a.json", "[1,", None, "readable json"),
        ("a.txt", "1", None, "a .csv or .json file"),
    ],
)
def test_bad_files_are_named_with_the_row(
    tmp_path: Path, name: str, text: str, column: str | None, message: str
) -> None:
    (tmp_path / name).write_text(text)
    spec = {"kind": "empirical", "path": name} | ({"column": column} if column else {})
    with pytest.raises(DistributionError, match=message):
        from_spec(spec, base_dir=tmp_path)
