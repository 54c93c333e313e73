"""Finding what was bound early: everything that refers to an object, made to refer to another.

A library that did `from threading import Lock`, and a lock that was made when a module was imported, know
nothing of a name that is replaced in `threading`. The garbage collector knows who holds them.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from simsla.virtualtime.reachable import is_standard

Undo = Callable[[], None]
Replacements = Mapping[int, tuple[object, object]]
"""By the `id` of an original: the original itself, and what stands in for it."""

_ABSENT = object()


def replace_references(replacements: Replacements, undo: list[Undo], objects: Collection[Any]) -> None:
    """Let those `objects` that refer to an original refer to its replacement; add to `undo` the way back.

    Found are the values of modules, classes, objects with or without `__slots__`, dictionaries and lists,
    default arguments, arguments of partials and variables of closures. Left alone are the modules and objects
    of the standard library, but for `threading.Condition` and `defaultdict`, those of simsla, other tuples,
    sets and variables of functions that run.
    """
    originals = replacements.keys()
    left_alone = {
        id(vars(module))
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and _is_left_alone(name)
    }
    left_alone.update((id(replacements), *map(id, replacements.values())))
    searched: dict[type, bool] = {}
    holders: list[Any] = []
    for each in objects:
        kind = type(each)
        is_searched = searched.get(kind)
        if is_searched is None:
            is_searched = searched[kind] = _is_searched(kind)
        if is_searched:
            if not originals.isdisjoint(map(id, gc.get_referents(each))) and id(each) not in left_alone:
                holders.append(each)
        elif kind is FunctionType:
            if each.__defaults__ and not originals.isdisjoint(map(id, each.__defaults__)):
                undo.extend(_in_default_arguments(each, replacements))
        elif kind is functools.partial and not originals.isdisjoint(map(id, each.args)):
            undo.extend(_in_partial(each, replacements))
    # Of these it takes a second look at who holds them: a class must be told of a change.
    namespaces = {id(holder) for holder in holders if type(holder) is dict and _may_be_of_a_class(holder)}
    classes: dict[int, type] = {}
    for each in objects if namespaces else ():
        if isinstance(each, type):
            classes.update((id(part), each) for part in gc.get_referents(each) if id(part) in namespaces)
    for holder in holders:
        undo.extend(_replace_in(holder, replacements, classes))


def _is_searched(kind: type) -> bool:
    """Whether objects of a kind are searched for references."""
    if kind is CellType or issubclass(kind, (dict, list, threading.Condition)):
        return True
    return not issubclass(kind, (ModuleType, type, set, frozenset)) and not _is_left_alone(kind.__module__)


def _is_left_alone(module: object) -> bool:
    top = str(module).partition(".")[0]
    return top == "simsla" or is_standard(top)


def _replace_in(holder: Any, replacements: Replacements, classes: Mapping[int, type]) -> Iterator[Undo]:
    if type(holder) is dict:
        yield from _in_dict(holder, replacements, classes.get(id(holder)))
    elif isinstance(holder, list):
        for place, value in enumerate(holder):
            if id(value) in replacements:
                yield from _item(holder, place, replacements[id(value)])
    elif isinstance(holder, CellType):
        yield from _attribute(holder, "cell_contents", replacements[id(holder.cell_contents)])
    elif isinstance(holder, threading.Condition):
        yield from _in_condition(vars(holder), replacements)
    else:
        yield from _in_object(holder, replacements)


def _in_dict(holder: dict[Any, Any], replacements: Replacements, owner: type | None = None) -> Iterator[Undo]:
    if {"_lock", "_waiters", "acquire"} <= holder.keys():
        yield from _in_condition(holder, replacements)
        return
    for name, value in list(holder.items()):
        if id(value) in replacements:
            found = replacements[id(value)]
            yield from _item(holder, name, found) if owner is None else _attribute(owner, name, found)


def _in_condition(condition: dict[str, Any], replacements: Replacements) -> Iterator[Undo]:
    """A Condition keeps methods of its lock as well. One that a thread is waiting for is left alone."""
    if id(condition.get("_lock")) not in replacements or condition.get("_waiters"):
        return
    lock = replacements[id(condition["_lock"])][1]
    for name in ("_lock", "acquire", "release", "_release_save", "_acquire_restore", "_is_owned"):
        if name in condition:
            new = lock if name == "_lock" else getattr(lock, name)
            yield from _item(condition, name, (condition[name], new))


def _in_default_arguments(function: FunctionType, replacements: Replacements) -> Iterator[Undo]:
    defaults = function.__defaults__ or ()
    new = tuple(replacements.get(id(value), (None, value))[1] for value in defaults)
    yield from _attribute(function, "__defaults__", (defaults, new))


def _in_partial(partial: functools.partial[Any], replacements: Replacements) -> Iterator[Undo]:
    before = partial.args
    after = tuple(replacements.get(id(value), (None, value))[1] for value in before)

    def put(args: tuple[Any, ...]) -> None:
        partial.__setstate__((partial.func, args, partial.keywords, vars(partial)))  # type: ignore[attr-defined]

    put(after)
    yield lambda: put(before) if partial.args is after else None


def _in_object(holder: Any, replacements: Replacements) -> Iterator[Undo]:
    kind = type(holder)
    if isinstance(holder, defaultdict) and id(holder.default_factory) in replacements:
        yield from _attribute(holder, "default_factory", replacements[id(holder.default_factory)])
    if isinstance(holder, dict):
        yield from _in_dict(holder, replacements)
    if _is_left_alone(kind.__module__):
        return
    values = getattr(holder, "__dict__", None)
    if type(values) is dict:
        yield from _in_dict(values, replacements)
    for ancestor in kind.__mro__:
        for slot in list(vars(ancestor).values()):
            if type(slot) is MemberDescriptorType:
                value = _slot_value(slot, holder)
                if id(value) in replacements:
                    yield from _slot(slot, holder, replacements[id(value)])


def _may_be_of_a_class(namespace: dict[Any, Any]) -> bool:
    return "__module__" in namespace and "__doc__" in namespace


def _item(holder: Any, key: Any, found: tuple[Any, Any]) -> Iterator[Undo]:
    original, replacement = found
    holder[key] = replacement

    def undo() -> None:
        if isinstance(holder, list):
            if key < len(holder) and holder[key] is replacement:
                holder[key] = original
        elif holder.get(key, _ABSENT) is replacement:
            holder[key] = original

    yield undo


def _attribute(owner: Any, name: str, found: tuple[Any, Any]) -> Iterator[Undo]:
    original, replacement = found
    try:
        setattr(owner, name, replacement)
    except (AttributeError, TypeError):
        return  # written in C

    def undo() -> None:
        if _raw(owner, name) is replacement:
            setattr(owner, name, original)

    yield undo


def _raw(owner: Any, name: str) -> Any:
    return vars(owner).get(name) if isinstance(owner, type) else getattr(owner, name, _ABSENT)


def _slot_value(slot: MemberDescriptorType, holder: Any) -> Any:
    try:
        return slot.__get__(holder)
    except AttributeError:
        return _ABSENT


def _slot(slot: MemberDescriptorType, holder: Any, found: tuple[Any, Any]) -> Iterator[Undo]:
    original, replacement = found
    try:
        slot.__set__(holder, replacement)
    except (AttributeError, TypeError):
        return  # written in C

    def undo() -> None:
        if _slot_value(slot, holder) is replacement:
            slot.__set__(holder, original)

    yield undo
