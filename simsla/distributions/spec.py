"""From plain mappings, as scenario files hold them, to distributions."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simsla.distributions.base import UNITS, Distribution, finite
from simsla.distributions.closed_form import Constant, Exponential, LogNormal, Uniform, Weibull
from simsla.distributions.composed import Mixture, Shifted
from simsla.distributions.empirical import Empirical, read_values
from simsla.distributions.errors import DistributionError, nearest
from simsla.distributions.gamma import Gamma

__all__ = ["KINDS", "from_spec", "spec_schema"]

SIMPLE: dict[str, type[Distribution]] = {
    c.kind: c for c in (Constant, Exponential, LogNormal, Gamma, Weibull, Uniform)
}
KINDS: tuple[str, ...] = (*SIMPLE, Shifted.kind, Mixture.kind, Empirical.kind)


def from_spec(spec: object, path: str = "distribution", base_dir: str | Path | None = None) -> Distribution:
    """The distribution that `spec` describes.

    A number is a constant; a mapping has a `kind`, the parameters of one of its forms and, where the
    outcome is a time, a `unit` (ms, s, min, h, d). A Distribution is returned as it is. Relative paths of
    empirical files start at `base_dir` (default: the working directory).

    Raises DistributionError, its path below `path`.
    """
    try:
        return read(spec, Path(base_dir) if base_dir is not None else Path())
    except DistributionError as error:
        raise error.under(path) from None


def read(spec: object, base_dir: Path) -> Distribution:
    if isinstance(spec, Distribution):
        return spec
    if isinstance(spec, numbers.Real) and not isinstance(spec, bool):
        return Constant(finite(spec, ""))
    if not isinstance(spec, Mapping):
        raise DistributionError("", "a number or a mapping with a kind", spec)
    if "kind" not in spec:
        raise DistributionError("kind", f"one of {', '.join(KINDS)}")
    kind = spec["kind"]
    if kind not in KINDS:
        raise DistributionError("kind", f"one of {', '.join(KINDS)}", kind, nearest(kind, KINDS))
    given = {key: value for key, value in spec.items() if key not in ("kind", "unit")}
    unit = spec.get("unit", "s")
    composed = COMPOSED.get(kind)
    if composed is not None:
        return composed(given, unit, base_dir)
    simple = SIMPLE[kind]
    refuse_unknown(given, simple.forms)
    return simple.of(unit=unit, **{name: finite(value, name) for name, value in given.items()})


def refuse_unknown(given: Mapping[str, object], forms: tuple[tuple[str, ...], ...]) -> None:
    known = list(dict.fromkeys(name for form in forms for name in form))
    for key in given:
        if key not in known:
            raise DistributionError(str(key), f"one of {', '.join(known)}, unit", key, nearest(key, known))


def required(given: Mapping[str, Any], *names: str) -> list[Any]:
    for name in names:
        if name not in given:
            raise DistributionError("", " and ".join(names), ", ".join(given) or "nothing")
    return [given[name] for name in names]


def read_shifted(given: Mapping[str, Any], unit: str, base_dir: Path) -> Distribution:
    refuse_unknown(given, Shifted.forms)
    offset, base = required(given, "offset", "base")
    return Shifted(finite(offset, "offset"), from_spec(base, "base", base_dir), unit=unit)


def read_mixture(given: Mapping[str, Any], unit: str, base_dir: Path) -> Distribution:
    refuse_unknown(given, Mixture.forms)
    (specs,) = required(given, "parts")
    if not isinstance(specs, list | tuple):
        raise DistributionError("parts", "a list of distributions, each with a weight", specs)
    parts = []
    for i, spec in enumerate(specs):
        path = f"parts[{i}]"
        if not isinstance(spec, Mapping) or "weight" not in spec:
            raise DistributionError(path, "a distribution with a weight", spec)
        rest = {key: value for key, value in spec.items() if key != "weight"}
        parts.append((finite(spec["weight"], f"{path}.weight"), from_spec(rest, path, base_dir)))
    return Mixture(tuple(parts), unit=unit)


def read_empirical(given: Mapping[str, Any], unit: str, base_dir: Path) -> Distribution:
    refuse_unknown(given, Empirical.forms)
    if set(given) == {"values"}:
        values = given["values"]
        if not isinstance(values, list | tuple):
            raise DistributionError("values", "a list of numbers", values)
        return Empirical(tuple(finite(value, f"values[{i}]") for i, value in enumerate(values)), unit=unit)
    if "values" in given or "path" not in given:
        raise DistributionError("", "values, or a path and a column", ", ".join(given) or "nothing")
    for name in given:
        if not isinstance(given[name], str):
            raise DistributionError(name, "a text", given[name])
    column = given.get("column")
    file = (base_dir / given["path"]).resolve()
    if not file.is_file():
        raise DistributionError("path", "an existing file", str(file))
    return Empirical(read_values(file, column), unit=unit, path=str(file), column=column)


COMPOSED: dict[str, Callable[[Mapping[str, Any], str, Path], Distribution]] = {
    Shifted.kind: read_shifted,
    Mixture.kind: read_mixture,
    Empirical.kind: read_empirical,
}


def spec_schema(reference: str) -> dict[str, Any]:
    """JSON Schema of what `from_spec` reads; `reference` is the $ref under which it will be found."""
    inner = {"$ref": reference}
    numbers_only = {"type": "array", "items": {"type": "number"}, "minItems": 1}
    text = {"type": "string"}
    special: dict[str, dict[str, Any]] = {
        "base": inner,
        "parts": {
            "type": "array",
            "minItems": 1,
            "items": {"allOf": [inner, {"required": ["weight"]}]},
        },
        "values": numbers_only,
        "path": text,
        "column": text,
    }
    variants: list[dict[str, Any]] = [{"type": "number", "description": "a constant"}]
    classes: list[type[Distribution]] = [*SIMPLE.values(), Shifted, Mixture, Empirical]
    for cls in classes:
        for form in cls.forms:
            properties = {name: special.get(name, {"type": "number"}) for name in form}
            properties |= {"kind": {"const": cls.kind}, "unit": {"enum": list(UNITS)}}
            # A part of a mixture is a distribution that also carries its weight.
            properties["weight"] = {"type": "number", "minimum": 0}
            variants.append(
                {
                    "type": "object",
                    "properties": properties,
                    "required": ["kind", *form],
                    "additionalProperties": False,
                }
            )
    return {"title": "Distribution", "anyOf": variants}
