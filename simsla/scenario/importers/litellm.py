"""LiteLLM: a proxy's or Router's configuration (`model_list`, `router_settings`, ...) as a scenario.

The scenario runs the real `litellm.Router` (`simsla.integrations.litellm_router`) with the same settings, on
a world with one deployment for each entry of `model_list`. A configuration says how requests are routed, but
little of how fast, how dear and how reliable the models are, and nothing of the traffic: what stands there
for them is told as assumed, and is meant to be replaced. Keys come along as names of environment variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from simsla.scenario.errors import Problem, ScenarioError
from simsla.scenario.files import decoded
from simsla.scenario.importers.imported import Imported, Remarks
from simsla.scenario.importers.litellm_models import Entry, entries_of
from simsla.scenario.importers.litellm_settings import litellm_settings, others, router_settings
from simsla.scenario.yaml_reader import line_of, read_yaml

__all__ = ["POLICY", "from_config", "load"]

POLICY: Final = "simsla.integrations.litellm_router:policy"
"""The factory that runs the real Router."""

# Azure 2023 conversations; the rate makes a run of litellm's own code last some ten seconds.
_TRAFFIC: Final[dict[str, Any]] = {
    "arrivals": {"kind": "poisson", "rate": "30/min"},
    "prompt_tokens": {"kind": "lognormal", "mean": 1155, "p99": 4142},
    "output_tokens": {"kind": "lognormal", "mean": 211, "p99": 601},
}
_HORIZON: Final = "30min"
_REPLICATIONS: Final = 4


def load(path: str | Path) -> Imported:
    """The scenario of a configuration file, with the files that it includes. Raises ScenarioError."""
    file = Path(path)
    origin = str(path)
    if not file.is_file():
        raise ScenarioError(origin, [Problem((), "a LiteLLM configuration file in YAML", origin)])
    data, node = read_yaml(decoded(file, origin), origin)
    if isinstance(data, dict) and "include" in data:
        data = _with_includes(data, file)
        node = None  # the lines of several files
    try:
        return from_config(data, name=file.stem)
    except ScenarioError as error:
        raise ScenarioError(
            origin,
            [
                Problem(p.location, p.expected, p.value, p.suggestion, line_of(node, p.location))
                for p in error.problems
            ],
        ) from None


def _with_includes(data: dict[str, Any], file: Path) -> dict[str, Any]:
    """The configuration with those it includes: lists add up, as in the proxy, else the last one holds."""
    names = data["include"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ScenarioError(str(file), [Problem(("include",), "a list of file names", names)])
    joined = {key: value for key, value in data.items() if key != "include"}
    for i, name in enumerate(names):
        included = file.parent / name
        if not included.is_file():
            raise ScenarioError(str(file), [Problem(("include", i), "an existing file", name)])
        more, _ = read_yaml(decoded(included, str(included)), str(included))
        for key, value in more.items() if isinstance(more, dict) else ():
            if isinstance(value, list) and isinstance(joined.get(key), list):
                joined[key] = joined[key] + value
            else:
                joined[key] = value
    return joined


def from_config(config: object, name: str = "litellm") -> Imported:
    """The scenario of a configuration as plain data. Raises ScenarioError where it is none."""
    if not isinstance(config, Mapping):
        raise ScenarioError(name, [Problem((), "a mapping with a model_list", type(config).__name__)])
    left_out, assumed = Remarks(), Remarks()
    entries = entries_of(config, left_out, assumed)
    settings = {
        "router_settings": router_settings(_section(config, "router_settings"), left_out),
        "litellm_settings": litellm_settings(_section(config, "litellm_settings"), left_out),
    }
    others(config, left_out)
    groups = _asked_directly(entries, settings)
    for group in groups:
        assumed.add(
            "30 requests a minute as long as Azure's conversations of 2023: a configuration has no traffic",
            "traffic",
            group,
        )
    assumed.add(
        "nothing fails but at the limits rpm and tpm: add faults, errors and max_concurrency",
        "components",
    )
    scenario = {
        "name": name,
        "horizon": _HORIZON,
        "replications": _REPLICATIONS,
        "components": {entry.provider: {"kind": "provider"} for entry in entries},
        "regions": {entry.region: {} for entry in entries if entry.region is not None},
        "deployments": {entry.name: entry.deployment for entry in entries},
        "traffic": {group: dict(_TRAFFIC) for group in groups},
        "routing": {
            "policy": POLICY,
            "options": {"model_list": [entry.option for entry in entries]}
            | {section: values for section, values in settings.items() if values},
        },
    }
    if not scenario["regions"]:
        del scenario["regions"]
    return Imported(scenario, tuple(left_out), tuple(assumed))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ScenarioError(name, [Problem((name,), "a mapping")])
    return section


def _asked_directly(entries: list[Entry], settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The groups that clients ask for: those that are no other's fallback, or else all."""
    groups = list(dict.fromkeys(entry.group for entry in entries))
    targets: set[str] = set()
    for section in settings.values():
        for kind, chains in section.items():
            if kind == "default_fallbacks" and isinstance(chains, list):
                targets.update(target for target in chains if isinstance(target, str))
            elif kind.endswith("fallbacks") and isinstance(chains, list):
                for chain in chains:
                    for target in chain.values() if isinstance(chain, Mapping) else ():
                        targets.update(t for t in target if isinstance(t, str)) if isinstance(
                            target, list
                        ) else None
    return [group for group in groups if group not in targets] or groups
