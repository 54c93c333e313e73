"""Names that a scenario uses and does not declare.

Looked for in the plain data, so that they are reported together with whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simsla.distributions import nearest
from simsla.scenario.errors import Location, Problem
from simsla.scenario.quality import classes_used
from simsla.scenario.regions import regions_used

__all__ = ["dangling_names"]


def dangling_names(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Components, providers, regions and classes that are not declared, and names declared twice."""
    components = declared(data, "components")
    regions = declared(data, "regions")
    accounts = declared(data, "accounts")
    if components is not None and regions is not None:
        for name in components & regions:
            expected = "a name that is not also a component's (a region is a component)"
            yield Problem(("regions", name), expected, name)
    for account in (accounts or set()) & ((components or set()) | (regions or set())):
        expected = "a name that is not also a component's or a region's (an account is a component)"
        yield Problem(("accounts", account), expected, account)
    components = None if components is None or accounts is None else components | accounts
    yield from names_in_faults(data, components, regions)
    for deployment, spec in entries(data, "deployments"):
        at: Location = ("deployments", deployment)
        yield from undeclared((*at, "provider"), spec.get("provider"), components, "component")
        yield from undeclared((*at, "region"), spec.get("region"), regions, "region")
        yield from undeclared((*at, "account"), spec.get("account"), accounts, "account")
        further = spec.get("components")
        for i, name in enumerate(further if isinstance(further, list) else ()):
            both = None if components is None or regions is None else components | regions
            yield from undeclared((*at, "components", i), name, both, "component")
    cache = data.get("cache")
    further = cache.get("components") if isinstance(cache, dict) else None
    for i, name in enumerate(further if isinstance(further, list) else ()):
        both = None if components is None or regions is None else components | regions
        yield from undeclared(("cache", "components", i), name, both, "component")
    for name, spec in entries(data, "traffic"):
        region = spec.get("region")
        at = ("traffic", name, "region")
        if isinstance(region, dict):
            for key in region:
                yield from undeclared((*at, key), key, regions, "region")
        else:
            yield from undeclared(at, region, regions, "region")
    for at, used in regions_used(data):
        yield from undeclared(at, used, regions, "region")
    classes = declared(data, "traffic")
    for at, used in classes_used(data):
        yield from undeclared(at, used, classes, "request class")
    objectives = data.get("objectives")
    for i, objective in enumerate(objectives if isinstance(objectives, list) else ()):
        if isinstance(objective, dict):
            wanted = objective.get("request_class")
            yield from undeclared(("objectives", i, "request_class"), wanted, classes, "request class")


def names_in_faults(
    data: Mapping[str, Any], components: set[str] | None, regions: set[str] | None
) -> Iterator[Problem]:
    """Parents and crews of components, whom faults hit alone, and what the schedule happens to."""
    both = None if components is None or regions is None else components | regions
    crews = declared(data, "crews")
    limited: list[tuple[Location, Mapping[str, Any]]] = []
    for section in ("components", "regions", "accounts"):
        for name, spec in entries(data, section):
            parent = spec.get("parent")
            if parent == name:
                yield Problem((section, name, "parent"), "another component than itself", parent)
            else:
                yield from undeclared((section, name, "parent"), parent, both, "component")
            yield from undeclared((section, name, "crew"), spec.get("crew"), crews, "crew")
            limited += items(spec, "faults", (section, name, "faults"))
    for at, event in items(data, "schedule", ("schedule",)):
        for verb in ("fail", "slow", "limit", "repair"):
            yield from undeclared((*at, verb), event.get(verb), both, "component")
        limited.append((at, event))
    classes = declared(data, "traffic")
    for at, fault in limited:
        only = fault.get("only")
        for key, known, what in (("classes", classes, "request class"), ("regions", regions, "region")):
            hit = only.get(key) if isinstance(only, dict) else None
            for i, one in enumerate(hit if isinstance(hit, list) else ()):
                yield from undeclared((*at, "only", key, i), one, known, what)


def items(data: Mapping[str, Any], key: str, at: Location) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    found = data.get(key)
    for i, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield (*at, i), item


def declared(data: Mapping[str, Any], section: str) -> set[str] | None:
    """The names of a section; None where it is malformed, which is reported elsewhere."""
    entries = data.get(section)
    if entries is None:
        return set()
    return {str(name) for name in entries} if isinstance(entries, dict) else None


def entries(data: Mapping[str, Any], section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = data.get(section)
    for name, spec in found.items() if isinstance(found, dict) else ():
        if isinstance(spec, dict):
            yield name, spec


def undeclared(location: Location, name: object, known: set[str] | None, what: str) -> Iterator[Problem]:
    if isinstance(name, str) and known is not None and name not in known:
        among = ", ".join(sorted(known)) or "none is declared"
        yield Problem(location, f"a declared {what} ({among})", name, nearest(name, sorted(known)))
