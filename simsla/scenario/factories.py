"""A policy by the name of its factory, with the options that the factory is called with."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

from simsla.distributions import nearest
from simsla.scenario.fields import FrozenDict, refuse

__all__ = ["FactoryName", "factory_as_written", "factory_name"]


class FactoryName(str):
    """`"package.module:factory"`, and the `options` of it as plain data.

        routing:
          policy: package.module:factory
          options: {retries: 2, hosts: [a, b]}

    makes the policy `factory(transport, retries=2, hosts=["a", "b"])`. Without options it equals its text.
    """

    __slots__ = ("options",)

    options: Mapping[str, Any]

    def __new__(cls, name: str, options: Mapping[str, Any] | None = None) -> FactoryName:
        """The name, which is not looked at; options are not copied."""
        made = super().__new__(cls, name)
        made.options = FrozenDict(options or {})
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        return str.__eq__(self, other) and self.options == getattr(other, "options", {})

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return FactoryName, (str(self), dict(self.options))


def factory_name(value: Mapping[str, Any]) -> FactoryName:
    """The factory that `{policy: ..., options: {...}}` names, which is never imported here."""
    others = [key for key in value if key not in ("policy", "options")]
    if others:
        hint = nearest(str(others[0]), ["options"])
        raise refuse("nothing beside policy and options", others[0], hint, below=str(others[0]))
    name = value["policy"]
    module, _, factory = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not all(part.isidentifier() for part in (*module.split("."), *factory.split("."))):
        raise refuse("package.module:factory", name, below="policy")
    options = value.get("options")
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise refuse("a mapping of the factory's arguments by name", options, below="options")
    for key in options:
        if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key):
            raise refuse("the name of an argument", key, below=("options", str(key)))
    return FactoryName(name, options)


def factory_as_written(name: str) -> dict[str, Any]:
    """What `factory_name` reads back."""
    options = getattr(name, "options", None)
    return {"policy": str(name)} | ({"options": dict(options)} if options else {})
