"""Putting functions of ours in the place of a library's, as long as any thread needs them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NamedTuple


class Patch(NamedTuple):
    """`make` is given what `owner` has under `name`, and makes what stands there meanwhile."""

    owner: Any
    name: str
    make: Callable[[Any], Any]


Library = Callable[[ModuleType], Iterable[Patch]]
"""The patches of a library, whose top module it is given."""

_ABSENT: Final = object()


class Patcher:
    """The patches of some libraries: made where a library is loaded, or as soon as it is, undone at the end.

    It counts how often it was entered, for runs in several threads share the patches.
    """

    def __init__(self, libraries: Mapping[str, Library]) -> None:
        """`libraries`: the name of the top module of each."""
        self._libraries = libraries
        self._finder = _Finder(self)
        self._lock = threading.RLock()
        self._entered = 0
        self._undo: list[tuple[Any, str, Any]] = []
        self._done: set[tuple[int, str]] = set()

    @property
    def names(self) -> Iterable[str]:
        """The top modules of the libraries."""
        return self._libraries.keys()

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered > 1:
                return
            sys.meta_path.insert(0, self._finder)
            for name in self._libraries:
                if (module := sys.modules.get(name)) is not None:
                    self.patch(name, module)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered:
                return
            if self._finder in sys.meta_path:
                sys.meta_path.remove(self._finder)
            while self._undo:
                owner, name, original = self._undo.pop()
                if original is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)
            self._done.clear()

    def patch(self, name: str, module: ModuleType) -> None:
        """Make the patches of a library that is loaded; one that goes by two names gets them once."""
        with self._lock:
            if not self._entered:
                return
            for owner, attribute, make in self._libraries[name](module):
                if (id(owner), attribute) in self._done:
                    continue
                self._done.add((id(owner), attribute))
                self._undo.append((owner, attribute, vars(owner).get(attribute, _ABSENT)))
                setattr(owner, attribute, make(getattr(owner, attribute)))


class _Finder(MetaPathFinder):
    """Sees the libraries being imported, and has them patched when they have been loaded."""

    def __init__(self, patcher: Patcher) -> None:
        self._patcher = patcher

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._patcher.names:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                self._watch(fullname, spec)
                return spec
        return None

    def _watch(self, name: str, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            self._patcher.patch(name, sys.modules.get(name, module))

        loader.exec_module = exec_module
