"""Where the routing package waits, asks a clock and draws: nowhere but in the Router and its transport."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import simsla.routing
from simsla.routing import RoutingPolicy
from simsla.routing.config import Section

ROOT = Path(simsla.routing.__file__).parent
WAITING = ("router", "production")
CLOCKS = {"asyncio", "threading", "time", "datetime"}
FILES = sorted(ROOT.rglob("*.py"))
DECIDING = [file for file in FILES if file.relative_to(ROOT).parts[0] not in WAITING]


def name_of(file):
    return str(file.relative_to(ROOT))


def imported(tree):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("file", DECIDING, ids=name_of)
def test_a_decision_neither_waits_nor_asks_a_clock_nor_draws_from_the_common_generator(file):
    tree = ast.parse(file.read_text())
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)]
    assert waits == []
    assert not CLOCKS & {module.partition(".")[0] for module in imported(tree)}
    drawn = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert drawn <= {"Random"}


def test_the_router_does_wait():
    waiting = [file for file in FILES if file not in DECIDING and "await " in file.read_text()]
    assert {file.relative_to(ROOT).parts[0] for file in waiting} == set(WAITING)


def test_nothing_but_the_standard_library_is_imported_except_where_it_is_used():
    foreign = {
        (name_of(file), module)
        for file in FILES
        for module in imported(ast.parse(file.read_text()))
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not f"{module}.".startswith("simsla.routing.")
    }
    assert foreign == {("production/openai_transport.py", "openai"), ("production/yaml_text.py", "yaml")}


def sections(hint, found):
    """Every section that a type hint leads to."""
    if isinstance(hint, type) and issubclass(hint, Section) and hint not in found:
        found.add(hint)
        for each in get_type_hints(hint).values():
            sections(each, found)
    for each in get_args(hint):
        sections(each, found)
    return found


def test_every_section_of_the_policy_is_public():
    public = {
        value
        for name in simsla.routing.__all__
        if not isinstance(value := getattr(simsla.routing, name), types.ModuleType | tuple | dict)
    }
    found = sections(RoutingPolicy, set())
    assert len(found) > 50
    assert {section.__name__ for section in found - public} == set()
