"""Measured incidents: the default process of a fault, with its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from simsla.distributions import nearest
from simsla.scenario.fields import refuse
from simsla.scenario.files import shipped
from simsla.scenario.yaml_reader import read_yaml

__all__ = ["with_measured"]


@lru_cache(maxsize=32)
def measured(name: str) -> Mapping[str, Any]:
    """What was measured, as values of a fault; KeyError without a file of that name."""
    file = shipped("incidents")[name]
    data: Mapping[str, Any] = read_yaml(file.read_text(encoding="utf-8"), file.name)[0]
    return data


def with_measured(fault: Mapping[str, Any]) -> Mapping[str, Any]:
    """A fault with the process, severity and source that its `measured` names, where it has none itself."""
    name = fault.get("measured")
    if name is None:
        return fault
    names = list(shipped("incidents"))
    if name not in names:
        suggestion = nearest(name, names) if isinstance(name, str) else None
        raise refuse(f"one of {', '.join(names)}", name, suggestion, "measured")
    own = {key: value for key, value in fault.items() if key != "measured"}
    given = [key for key in ("schedule", "gap", "uptime", "repair", "rollback") if key in own]
    if given:
        raise refuse(f"no {given[0]} beside measured, which has a gap and a repair", below=given[0])
    values = dict(measured(name))
    if own.get("kind") == "slowdown":
        del values["severity"]  # a share, which is no factor
    return values | own
