"""What code reaches: all that is its own and what that holds, and nothing of the libraries it stands on."""

from __future__ import annotations

import collections
import functools
import sys
import threading
import types

import numpy as np
import pandas
import pluggy
import pydantic
import pytest

import simsla
from simsla.routing import RoutingPolicy
from simsla.virtualtime import reachable as module_of_reachable
from simsla.virtualtime.reachable import MOST, reachable

LOCK, PLACE = threading.Lock(), object()
BY_NAME = {"deep": [collections.defaultdict(list, a=[threading.Lock()])]}


class Mine(pydantic.BaseModel):
    name: str = "mine"

    def method(self):
        return LOCK


MINE = Mine()


def function():
    return MINE


def ids(code):
    found = reachable(code)
    assert found is not None
    return set(map(id, found))


def test_it_finds_what_its_own_modules_hold():
    found = ids(function)
    assert {id(LOCK), id(BY_NAME["deep"][0]["a"][0]), id(Mine), id(Mine.method), id(MINE)} <= found
    assert id(sys.modules[__name__].__dict__) in found


@pytest.mark.parametrize(
    "other", [threading, simsla, pandas, np, pydantic, threading.Thread, pydantic.BaseModel, simsla.simulate]
)
def test_it_leaves_libraries_alone(other):
    assert id(other) not in ids(function)


def test_a_module_of_its_own_that_it_imports_is_its_own_too(tmp_path, monkeypatch):
    (tmp_path / "helper_of_mine.py").write_text("import threading\nGUARD = threading.Lock()\n")
    (tmp_path / "router_of_mine.py").write_text("import helper_of_mine\ndef route(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    import router_of_mine  # type: ignore[import-not-found]

    assert id(router_of_mine.helper_of_mine.GUARD) in ids(router_of_mine.route)
    assert id(LOCK) not in ids(router_of_mine.route)


def test_an_installed_package_reaches_itself():
    found = ids(pluggy.PluginManager.register)
    assert {id(pluggy.PluginManager), id(pluggy.HookspecMarker)} <= found
    assert id(pandas.DataFrame) not in found


def test_closures_partials_and_objects_that_are_called():
    lock = threading.Lock()

    def closure():
        return lock

    class Called:
        def __init__(self):
            self.lock = threading.RLock()

        def __call__(self):
            return None

    called = Called()
    assert id(lock) in ids(closure)
    assert id(lock) in ids(functools.partial(function, lock))
    assert id(called.lock) in ids(called)
    assert id(called.lock) in ids(types.MethodType(Called.__call__, called))


def test_too_much_is_as_good_as_everything(monkeypatch):
    monkeypatch.setattr(module_of_reachable, "MOST", 10)
    assert MOST > 10
    assert reachable(function) is None


def test_the_router_of_simsla_is_looked_for_everywhere():
    assert reachable(RoutingPolicy({})) is None
