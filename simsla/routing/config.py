"""Configuration: sections are frozen dataclasses that check themselves.

A section's fields say with their type hints and with `setting` what they take. Every way to make one
(`from_dict`, the constructor, `dataclasses.replace`) reads the values through the same hints, so that no
impossible section exists. Understood hints: bool, int, float, str, ``X | None``, ``tuple[X, ...]``,
``Mapping[str, X]``, other sections, and unions of sections, which are told apart by their ``kind``; without a
``kind`` the first is meant, so that a union can grow under files that were written before.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from simsla.routing.errors import ConfigError, nearest

V = TypeVar("V")

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    keys: tuple[str, ...] | None = None,
    unit: str | None = None,
) -> Any:
    """A field of a `Section`, with the values that it takes.

    ``minimum`` and ``maximum`` are inclusive, ``above`` is exclusive; ``choices`` are the strings allowed;
    all of them hold for each element of a tuple or mapping, whose keys may be limited to ``keys``. With
    ``unit="s"`` the field is a duration: a number of seconds, or text such as "250ms".
    """
    limits = {
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "choices": choices,
        "keys": keys,
        "unit": unit,
    }
    return dataclasses.field(default=default, metadata={k: v for k, v in limits.items() if v is not None})


class FrozenMapping(Mapping[str, V], Generic[V]):
    """A mapping that can be hashed and pickled and does not change."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


@dataclasses.dataclass(frozen=True)
class Section:
    """The base of every configuration section."""

    kind: ClassVar[str | None] = None
    """The name that tells sections apart where several can stand; None where only one ever will."""

    def __post_init__(self) -> None:
        for name, hint, limits in _fields(type(self)):
            object.__setattr__(self, name, _read(hint, getattr(self, name), limits, name))
        self.verify()

    def verify(self) -> None:
        """Check what no single field can; raises `ConfigError` with the path from this section."""

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], path: str = "") -> Self:
        """Read the section that stands at ``path``; raises `ConfigError`."""
        if not isinstance(mapping, Mapping):
            raise ConfigError(path, mapping, f"a mapping with keys of {_listed(_names(cls))}")
        known = _names(cls)
        values = {key: value for key, value in mapping.items() if key != "kind" or cls.kind is None}
        try:
            for key in values:
                if key not in known:
                    raise ConfigError(str(key), key, f"a key of {_listed(known)}", nearest(key, known))
            for field in dataclasses.fields(cls):
                if field.name not in values and field.default is dataclasses.MISSING:
                    raise ConfigError(field.name, None, "a value (required)")
            return cls(**values)
        except ConfigError as error:
            raise (error.under(path) if path else error) from None

    def to_dict(self) -> dict[str, Any]:
        """The section as plain data, every field included; `from_dict` reads it back."""
        kind = {"kind": self.kind} if self.kind is not None else {}
        return kind | {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _fields(cls: type[Section]) -> tuple[tuple[str, Any, Mapping[str, Any]], ...]:
    hints = get_type_hints(cls)
    return tuple((field.name, hints[field.name], field.metadata) for field in dataclasses.fields(cls))


def _names(cls: type[Section]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _read(hint: Any, value: Any, limits: Mapping[str, Any], path: str) -> Any:
    """The value as the hint wants it; raises `ConfigError`."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, limits, path)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(path, value, "a list")
        element = get_args(hint)[0]
        return tuple(_read(element, each, limits, f"{path}.{index}") for index, each in enumerate(value))
    if origin is Mapping:
        return _read_mapping(get_args(hint)[1], value, limits, path)
    if isinstance(hint, type) and issubclass(hint, Section):
        return _read_section((hint,), value, path)
    return _read_scalar(hint, value, limits, path)


def _read_union(members: tuple[Any, ...], value: Any, limits: Mapping[str, Any], path: str) -> Any:
    optional = type(None) in members
    if value is None and optional:
        return None
    members = tuple(member for member in members if member is not type(None))
    try:
        if len(members) == 1:
            return _read(members[0], value, limits, path)
        return _read_section(members, value, path)
    except ConfigError as error:
        if optional and error.path == path:
            raise ConfigError(path, value, f"{error.expected}, or null", error.suggestion) from None
        raise


def _read_section(members: tuple[type[Section], ...], value: Any, path: str) -> Section:
    """One of several sections: that of the ``kind`` given, or the first."""
    if isinstance(value, members):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(path, value, "a mapping")
    by_kind = {member.kind: member for member in members}
    default = members[0].kind
    kind = value.get("kind", default) if default is not None else None
    if kind not in by_kind:
        known = tuple(str(name) for name in by_kind)
        raise ConfigError(f"{path}.kind", kind, f"one of {_listed(known)}", nearest(kind, known))
    return by_kind[kind].from_dict(value, path)


def _read_mapping(element: Any, value: Any, limits: Mapping[str, Any], path: str) -> FrozenMapping[Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(path, value, "a mapping")
    keys = limits.get("keys")
    for key in value:
        if not isinstance(key, str) or (keys is not None and key not in keys):
            expected = f"a key of {_listed(keys)}" if keys is not None else "a string as key"
            raise ConfigError(f"{path}.{key}", key, expected, nearest(key, keys or ()))
    return FrozenMapping({key: _read(element, each, limits, f"{path}.{key}") for key, each in value.items()})


def _read_choice(choices: tuple[str, ...], value: Any, path: str) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise ConfigError(path, value, f"one of {_listed(choices)}", nearest(value, choices))


def _read_scalar(hint: Any, value: Any, limits: Mapping[str, Any], path: str) -> Any:
    if hint is str:
        if "choices" in limits:
            return _read_choice(limits["choices"], value, path)
        if isinstance(value, str) and value:
            return value
        raise ConfigError(path, value, "a text")
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError(path, value, "true or false")
    if hint in (int, float):
        number = _number(hint, value, limits)
        if number is not None and _within(number, limits):
            return number
        raise ConfigError(path, value, _expected(hint, limits))
    raise TypeError(f"{path}: a section cannot have a field of type {hint!r}")


def _number(hint: Callable[[Any], float], value: Any, limits: Mapping[str, Any]) -> float | None:
    """The value as a finite number, or None where it is none. The ABCs also admit NumPy's scalars."""
    if limits.get("unit") == "s" and isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        value = float(match[1]) * _UNITS_S.get(match[2], math.nan)
    if isinstance(value, bool) or not isinstance(value, Integral if hint is int else Real):
        return None
    try:
        number = hint(value)
        return number if math.isfinite(number) else None
    except OverflowError:
        return None


def _within(number: float, limits: Mapping[str, Any]) -> bool:
    low, above, high = limits.get("minimum", number), limits.get("above"), limits.get("maximum", number)
    return bool(low <= number <= high and (above is None or number > above))


def _expected(hint: type[int] | type[float], limits: Mapping[str, Any]) -> str:
    duration = limits.get("unit") == "s"
    noun = "a duration" if duration else "an integer" if hint is int else "a number"
    signs = (("minimum", ">="), ("above", ">"), ("maximum", "<="))
    bounds = " and ".join(f"{sign} {limits[name]:g}" for name, sign in signs if name in limits)
    form = " (seconds, or text such as '250ms', '5s', '2m', '1h', '1d')" if duration else ""
    return f"{noun} {bounds}".rstrip() + form


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
