"""What a piece of code can reach: itself and what it holds, without the libraries that it stands on."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

from simsla.virtualtime.places import is_installed

MOST: Final = 30_000
"""Objects that are followed before it is quicker to look through all that the process has."""

_HOLDERS: Final = frozenset(
    {"_queue", "_thread", "builtins", "collections", "functools", "queue", "threading", "weakref"}
)
"""Modules of the standard library whose objects hold others."""

_HOSTS: Final = frozenset({"IPython", "_pytest", "ipykernel"})
"""Programs that run the code of others, which holds on to them as to its loader or its shell."""


def reachable(code: Callable[..., Any]) -> list[object] | None:
    """The objects that `code`, a function or an object that can be called, reaches; itself among them.

    These are its module and those of its own that this one imports, their classes and functions, and whatever
    objects they hold, of any class. Left out are modules, classes and functions of simsla, of the standard
    library, and of installed packages other than its own. None where there are too many objects, or where
    `code` is itself of simsla.
    """
    own = _Own(_module_of(code))
    if not own(_module_of(code)):
        return None
    found: dict[int, object] = {id(code): code}
    queue: list[object] = [code]
    for each in queue:
        for part in gc.get_referents(each):
            if id(part) not in found and gc.is_tracked(part) and own.follows(part):
                found[id(part)] = part
                queue.append(part)
        if len(queue) > MOST:
            return None
    return queue


class _Own:
    """Tells what belongs to the code that is looked at."""

    def __init__(self, module: str) -> None:
        self._top = module.partition(".")[0]
        self._known: dict[str, bool] = {}

    def __call__(self, module: object) -> bool:
        """Whether a module, by its name, is one of its own."""
        if not isinstance(module, str):
            return False
        top = module.partition(".")[0]
        known = self._known.get(top)
        if known is None:
            known = self._known[top] = self._is_own(top)
        return known

    def _is_own(self, top: str) -> bool:
        if top == "simsla" or is_standard(top):
            return False
        return top == self._top or not is_installed(sys.modules.get(top))

    def follows(self, part: object) -> bool:
        kind = type(part)
        if kind is ModuleType:
            return self(getattr(part, "__name__", None))
        if isinstance(part, type):
            return self(part.__module__)
        if isinstance(part, FunctionType):
            return self(part.__globals__.get("__name__"))
        top = str(getattr(kind, "__module__", "")).partition(".")[0]
        if kind is FrameType or top == "simsla" or top in _HOSTS:
            return False
        return top in _HOLDERS or not is_standard(top)


def is_standard(top: str) -> bool:
    """Whether a top module is of the standard library; the main program is not."""
    return top in sys.stdlib_module_names and top != "__main__"


def _module_of(code: Callable[..., Any]) -> str:
    while isinstance(code, functools.partial):
        code = code.func
    module = getattr(code, "__module__", None) or type(code).__module__
    return str(module)
