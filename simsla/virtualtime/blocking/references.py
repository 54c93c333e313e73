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
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, FrameType, FunctionType, MemberDescriptorType, MethodDescriptorType, ModuleType
from typing import Any

from simsla.virtualtime.reachable import is_standard

Undo = Callable[[], None]
Replacements = Mapping[int, tuple[object, object]]
"""By the `id` of an original: the original itself, and what stands in for it."""

_ABSENT = object()

# Immutable, or a name that lives no longer than a call.
_LEFT_ALONE = (FrameType, ModuleType, type, set, frozenset, MethodDescriptorType, MemberDescriptorType)


def replace_references(
    replacements: Replacements, undo: list[Undo], among: Iterable[object] | None = None
) -> None:
    """Let whatever refers to an original refer to its replacement, and add to `undo` how to take that back.

    It looks `among` these objects, by default all that the process has.

    Found are the values of modules, classes, objects with or without `__slots__`, dictionaries and lists,
    default arguments, arguments of partials and variables of closures. Left alone are the modules and objects
    of the standard library, but for `threading.Condition` and `defaultdict`, those of simsla, other tuples,
    sets and variables of functions that run.
    """
    originals = [original for original, _ in replacements.values()]
    left_alone = {
        id(vars(module)) for name, module in list(sys.modules.items()) if _is_left_alone(name, module)
    }
    left_alone.update((id(originals), id(replacements), *map(id, replacements.values())))
    holders = [
        holder
        for holder in _referrers(originals, among)
        if id(holder) not in left_alone and not isinstance(holder, _LEFT_ALONE)
    ]
    # Of these it takes a second look at who holds them: a class must be told of a change, and the arguments
    # of a function or a partial can only be replaced as a whole.
    namespaces = {id(holder) for holder in holders if type(holder) is dict and _may_be_of_a_class(holder)}
    tuples = {id(holder) for holder in holders if type(holder) is tuple}
    inner = [holder for holder in holders if id(holder) in namespaces or id(holder) in tuples]
    classes: dict[int, type] = {}
    for outer in _referrers(inner, among) if inner else ():
        if isinstance(outer, type):
            classes.update((id(part), outer) for part in gc.get_referents(outer) if id(part) in namespaces)
        elif isinstance(outer, FunctionType) and id(outer.__defaults__) in tuples:
            undo.extend(_in_default_arguments(outer, replacements))
        elif type(outer) is functools.partial and id(outer.args) in tuples:
            undo.extend(_in_partial(outer, replacements))
    for holder in holders:
        undo.extend(_replace_in(holder, replacements, classes))


def _referrers(objects: list[Any], among: Iterable[object] | None) -> list[Any]:
    if among is None:
        return gc.get_referrers(*objects)
    wanted = set(map(id, objects))
    return [each for each in among if not wanted.isdisjoint(map(id, gc.get_referents(each)))]


def _is_left_alone(name: str, module: object) -> bool:
    top = name.partition(".")[0]
    return isinstance(module, ModuleType) and (top == "simsla" or is_standard(top))


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
    elif not isinstance(holder, (FunctionType, tuple)):
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
    top = (getattr(kind, "__module__", None) or "").partition(".")[0]
    if top == "simsla" or top == "builtins" or is_standard(top):
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
