"""`blocking_calls`: for the time of a run, what blocking code waits with is virtual."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import functools
import gc
import queue
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import ModuleType
from typing import Any

from simsla.virtualtime.blocking.calls import inside, unfinished_calls, wait
from simsla.virtualtime.blocking.locks import (
    RealLock,
    RealRLock,
    SignalLock,
    VirtualLock,
    VirtualRLock,
)
from simsla.virtualtime.blocking.references import Undo, replace_references
from simsla.virtualtime.blocking.thread_locals import RealLocal, VirtualLocal, local_over
from simsla.virtualtime.blocking.workers import Workers
from simsla.virtualtime.loop import SimEventLoop

# Runs in several threads share what is replaced: the first replaces it, and the last takes it back.
_entering = _thread.allocate_lock()
_runs = 0
_undo: list[Undo] = []


def _run(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
    """`asyncio.run`; in blocking code, whose thread would have no loop, a task of the loop that there is."""
    if not inside():
        return asyncio.runners.run(main, **options)
    if not asyncio.iscoroutine(main):
        raise ValueError(f"a coroutine was expected, got {main!r}")
    return wait(asyncio.get_running_loop().create_task(main))


_NAMES: tuple[tuple[ModuleType, str, Any], ...] = (
    (threading, "Lock", VirtualLock),
    # Only `threading.Condition` uses it, for a lock that one takes and another releases.
    (threading, "_allocate_lock", SignalLock),
    (threading, "RLock", VirtualRLock),
    (threading, "local", VirtualLocal),
    (asyncio, "run", _run),
    # The one that is written in Python, on a semaphore.
    (queue, "SimpleQueue", queue._PySimpleQueue),  # type: ignore[attr-defined]
)

# The clock by which their waits with a limit of time are measured.
_CLOCKS = ((threading, "_time"), (queue, "time"))

_OBJECTS: dict[type, Callable[[Any], object]] = {
    RealLock: VirtualLock,
    RealRLock: VirtualRLock,
    RealLocal: local_over,
}


@contextlib.contextmanager
def blocking_calls(loop: SimEventLoop) -> Iterator[None]:
    """While entered, blocking calls of `loop` exclude and wait for one another in virtual time.

    `threading.Lock`, `RLock`, `Condition`, `Event`, `Semaphore`, `Barrier` and `local`, and the queues of
    `queue`, are virtual, under names bound early too; so are locks, conditions and thread-locals that exist
    already, wherever `replace_references` finds them. They remain real ones for other threads, and a lock
    that is made meanwhile remains one afterwards. At the end, whatever happened, blocking calls that have not
    ended are ended with GreenletExit, and everything is as it was.

    What is handed to an executor, as by `asyncio.to_thread`, is a blocking call as well (see `Workers`), and
    `asyncio.run` in a blocking call runs on the loop that there is.

    Not found are instances of existing subclasses of `threading.local`, and conditions with somebody waiting.
    """
    _enter()
    loop.workers = Workers(loop)
    try:
        yield
    finally:
        loop.workers = None
        try:
            for call in unfinished_calls(loop):
                call.kill()
        finally:
            _leave()


def _enter() -> None:
    global _runs
    with _entering:
        _runs += 1
        if _runs == 1:
            try:
                _replace_all()
            except BaseException:
                _runs -= 1
                _take_back()
                raise


def _leave() -> None:
    global _runs
    with _entering:
        _runs -= 1
        if not _runs:
            _take_back()


def _replace_all() -> None:
    for module, name in _CLOCKS:
        _put(module, name, _virtual_inside(getattr(module, name)))
    replacements: dict[int, tuple[object, object]] = {}
    for module, name, virtual in _NAMES:
        real = getattr(module, name)
        # `_allocate_lock` is another name of Lock, which came first.
        replacements.setdefault(id(real), (real, virtual))
        _put(module, name, virtual)
    replacements.setdefault(id(_thread.allocate_lock), (_thread.allocate_lock, VirtualLock))
    for found in _locks_and_locals():
        replacements[id(found)] = (found, _OBJECTS[type(found)](found))
    modules = set(sys.modules)
    replace_references(replacements, _undo)
    real_by_virtual = {
        id(virtual): (virtual, real)
        for real, virtual in replacements.values()
        if isinstance(virtual, type) or virtual is _run
    }
    _undo.append(lambda: _free_new_modules(modules, real_by_virtual))


def _locks_and_locals() -> list[Any]:
    """Those that exist already, but for those of `cached_property`: up to Python 3.11 each has one."""
    objects = gc.get_objects()
    found = [each for each in objects if type(each) in _OBJECTS]
    if sys.version_info < (3, 12):
        cached = {id(vars(each).get("lock")) for each in objects if type(each) is functools.cached_property}
        found = [each for each in found if id(each) not in cached]
    return found


def _put(module: ModuleType, name: str, value: object) -> None:
    _undo.append(functools.partial(setattr, module, name, getattr(module, name)))
    setattr(module, name, value)


def _virtual_inside(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: asyncio.get_running_loop().time() if inside() else clock()


def _free_new_modules(known: set[str], real_by_virtual: Mapping[int, tuple[object, object]]) -> None:
    """Modules that were imported meanwhile bound the virtual names."""
    for name, module in list(sys.modules.items()):
        if name in known or not isinstance(module, ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            found = real_by_virtual.get(id(value))
            if found is not None:
                setattr(module, attribute, found[1])


def _take_back() -> None:
    while _undo:
        _undo.pop()()
