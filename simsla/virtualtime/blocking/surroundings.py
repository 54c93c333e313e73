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
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
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
_replaced: dict[int, tuple[object, object]] = {}
_looked_everywhere = False


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
def blocking_calls(
    loop: SimEventLoop,
    among: Collection[object] | None = None,
    before_workers: Callable[[], None] | None = None,
) -> Iterator[None]:
    """While entered, blocking calls of `loop` exclude and wait for one another in virtual time.

    `threading.Lock`, `RLock`, `Condition`, `Event`, `Semaphore`, `Barrier` and `local`, and the queues of
    `queue`, are virtual, under names bound early too; so are locks, conditions and thread-locals that exist
    already, wherever `replace_references` finds them. They remain real ones for other threads, and a lock
    that is made meanwhile remains one afterwards. At the end, whatever happened, blocking calls that have not
    ended are ended with GreenletExit, and everything is as it was.

    What is handed to an executor, as by `asyncio.to_thread`, is a blocking call as well (see `Workers`), and
    `asyncio.run` in a blocking call runs on the loop that there is.

    It looks `among` these objects, by default all that the process has; `before_workers` is called before the
    first function that is handed to an executor.

    Not found are instances of existing subclasses of `threading.local`, and conditions with somebody waiting.
    """
    _enter(among)
    loop.workers = Workers(loop, before_workers)
    try:
        yield
    finally:
        loop.workers = None
        try:
            for call in unfinished_calls(loop):
                call.kill()
        finally:
            _leave()


def look_everywhere() -> None:
    """In the midst of a run that had looked among some objects: look through all that the process has."""
    with _entering:
        if _runs and not _looked_everywhere:
            _look(None)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While entered, what a run replaces remains so for the next one; between runs it is as good as real."""
    _enter(())
    try:
        yield
    finally:
        _leave()


def _enter(among: Collection[object] | None) -> None:
    global _runs
    with _entering:
        _runs += 1
        if _runs > 1:
            if not _looked_everywhere:
                _look(among)
        else:
            try:
                _replace_all(among)
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


def _replace_all(among: Collection[object] | None) -> None:
    for module, name in _CLOCKS:
        _put(module, name, _virtual_inside(getattr(module, name)))
    for module, name, virtual in _NAMES:
        real = getattr(module, name)
        # `_allocate_lock` is another name of Lock, which came first.
        _replaced.setdefault(id(real), (real, virtual))
        _put(module, name, virtual)
    _replaced.setdefault(id(_thread.allocate_lock), (_thread.allocate_lock, VirtualLock))
    modules = set(sys.modules)
    real_by_virtual = {id(virtual): (virtual, real) for real, virtual in _replaced.values()}
    _undo.append(lambda: _free_new_modules(modules, real_by_virtual))
    _look(among)


def _look(among: Collection[object] | None) -> None:
    """Find locks and thread-locals, and whatever refers to these or to what has been replaced by name."""
    global _looked_everywhere
    objects = gc.get_objects() if among is None else among
    for found in _locks_and_locals(objects):
        if id(found) not in _replaced:
            _replaced[id(found)] = (found, _OBJECTS[type(found)](found))
    replace_references(_replaced, _undo, objects)
    _looked_everywhere = among is None


def _locks_and_locals(objects: Collection[object]) -> list[Any]:
    """Those that exist already, but for those of `cached_property`: up to Python 3.11 each has one."""
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
    global _looked_everywhere
    while _undo:
        _undo.pop()()
    _replaced.clear()
    _looked_everywhere = False
