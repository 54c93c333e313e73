"""What was bound early is found, and is as it was afterwards."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import importlib
import logging
import queue
import sys
import threading
from queue import SimpleQueue
from threading import Lock, RLock, local

import pytest

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import VirtualLock, VirtualRLock, blocking_calls
from simsla.virtualtime.blocking.thread_locals import VirtualLocal

GUARD, AGAIN = Lock(), threading.RLock()
LOCKS = [Lock(), Lock()]
BY_NAME = {"a": Lock()}
BY_KEY = collections.defaultdict(Lock)
BY_KEY["known"]
HELD = Lock()


class Slotted:
    __slots__ = ("lock",)

    def __init__(self):
        self.lock = RLock()


class Plain:
    lock = Lock()
    factory = Lock

    def __init__(self):
        self.own = RLock()


@dataclasses.dataclass(frozen=True)
class Record:
    lock: object = dataclasses.field(default_factory=Lock)


def by_default(kind=Lock, *, other=RLock):
    return kind(), other()


def enclosing():
    lock = Lock()
    return lambda: lock


SLOTTED, PLAIN, RECORD, ENCLOSED = Slotted(), Plain(), Record(), enclosing()
BOUND, BOUND_BY_NAME = functools.partial(list, (), Lock()), functools.partial(dict, lock=Lock())

FOUND = {
    "name": lambda: Lock(),
    "name of an RLock": lambda: RLock(),
    "global": lambda: GUARD,
    "global RLock": lambda: AGAIN,
    "list": lambda: LOCKS[1],
    "dict": lambda: BY_NAME["a"],
    "default factory": lambda: BY_KEY[object()],
    "value of a defaultdict": lambda: BY_KEY["known"],
    "slot": lambda: SLOTTED.lock,
    "class attribute": lambda: Plain.lock,
    "factory of a class": lambda: Plain.factory(),
    "attribute": lambda: PLAIN.own,
    "dataclass": lambda: RECORD.lock,
    "factory of a dataclass": lambda: Record().lock,
    "default argument": lambda: by_default()[0],
    "keyword default": lambda: by_default()[1],
    "closure": lambda: ENCLOSED(),
    "argument of a partial": lambda: BOUND.args[1],
    "keyword argument of a partial": lambda: BOUND_BY_NAME.keywords["lock"],
    "local": lambda: local(),
    "semaphore": lambda: threading.Semaphore()._cond._lock,
    "condition": lambda: threading.Condition()._lock,
}


def kinds():
    return {name: type(find()) for name, find in FOUND.items()}


def in_blocking_calls(function):
    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            return function()

    return run_in_virtual_time(main())


def test_every_way_to_hold_a_lock_is_found_and_given_back():
    before, objects = kinds(), [GUARD, AGAIN, *LOCKS, SLOTTED.lock, PLAIN.own, Plain.lock, RECORD.lock]
    during = in_blocking_calls(kinds)
    assert set(during.values()) == {VirtualLock, VirtualRLock, VirtualLocal}
    assert {name for name, kind in during.items() if kind is VirtualRLock} == {
        name for name, kind in before.items() if kind is type(RLock())
    }
    assert kinds() == before
    assert all(
        now is then
        for now, then in zip(
            [GUARD, AGAIN, *LOCKS, SLOTTED.lock, PLAIN.own, Plain.lock, RECORD.lock], objects, strict=True
        )
    )


def test_one_lock_in_two_places_stays_one():
    def both():
        return PLAIN.lock is Plain.lock and Plain.lock is type(PLAIN).__dict__["lock"]

    assert in_blocking_calls(both)


def test_names_of_the_standard_library_are_as_before():
    names = [
        (threading, "Lock"),
        (threading, "RLock"),
        (threading, "local"),
        (threading, "_allocate_lock"),
        (threading, "_time"),
        (queue, "SimpleQueue"),
        (queue, "time"),
    ]
    before = [getattr(module, name) for module, name in names]
    during = in_blocking_calls(lambda: [getattr(module, name) for module, name in names])
    assert all(one is not other for one, other in zip(before, during, strict=True))
    assert [getattr(module, name) for module, name in names] == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_everything_is_given_back_after_an_error(error):
    def fail():
        raise error

    before = kinds(), threading.Lock
    with pytest.raises(error):
        in_blocking_calls(fail)
    assert (kinds(), threading.Lock) == before


def test_an_interruption_while_the_names_are_replaced_leaves_nothing_behind(monkeypatch):
    from simsla.virtualtime.blocking import surroundings

    def interrupted(replacements, undo, objects):
        replace(replacements, undo, objects)
        raise KeyboardInterrupt

    replace = surroundings.replace_references
    before = kinds(), threading.Lock
    monkeypatch.setattr(surroundings, "replace_references", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_blocking_calls(kinds)
    assert (kinds(), threading.Lock) == before
    monkeypatch.undo()
    assert in_blocking_calls(kinds)["global"] is VirtualLock


def test_a_module_that_is_imported_meanwhile_keeps_the_real_names(tmp_path, monkeypatch):
    (tmp_path / "imported_in_a_run.py").write_text("from threading import Lock, local\nguard = Lock()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = in_blocking_calls(lambda: importlib.import_module("imported_in_a_run"))
    try:
        assert (module.Lock, module.local) == (threading.Lock, threading.local)
        # The lock that it made is one for good.
        assert isinstance(module.guard, VirtualLock)
        with module.guard:
            assert not module.guard.acquire(blocking=False)
    finally:
        del sys.modules["imported_in_a_run"]


def test_what_a_run_changes_is_not_changed_back():
    def change():
        BY_NAME["a"] = "no lock any more"
        LOCKS.pop()

    try:
        in_blocking_calls(change)
        assert BY_NAME == {"a": "no lock any more"}
        assert len(LOCKS) == 1
    finally:
        BY_NAME["a"] = Lock()
        LOCKS.append(Lock())


def test_runs_in_two_threads_share_what_is_replaced():
    inside, leave, kinds_seen = threading.Event(), threading.Event(), []

    def wait_inside():
        inside.set()
        leave.wait()

    real = threading.Lock
    # Waiting for real in a coroutine is refused in a run, so the thread enters without one.
    thread = threading.Thread(target=functools.partial(_enter_for, wait_inside))
    thread.start()
    inside.wait()
    kinds_seen.append(in_blocking_calls(kinds)["global"])
    assert threading.Lock is VirtualLock
    leave.set()
    thread.join()
    assert threading.Lock is real
    assert kinds_seen == [VirtualLock]


def _enter_for(function):
    from simsla.virtualtime import SimEventLoop

    loop = SimEventLoop()
    with blocking_calls(loop):
        function()
    loop.close()


def test_logging_works_within_a_run(caplog):
    def log():
        with caplog.at_level(logging.INFO):
            logging.getLogger("a.policy").info("answered %s", 5)

    in_blocking_calls(log)
    assert "answered 5" in caplog.text


def test_a_simple_queue_bound_early_is_replaced():
    assert in_blocking_calls(lambda: SimpleQueue) is queue._PySimpleQueue
