"""Each feature of the router, seen at work: it is switched on, and the metric that it is for moves.

The rows are data/features.yaml. A feature that does nothing fails its row, a feature without a row fails
`test_everything_in_a_policy_has_a_row`.
"""

from __future__ import annotations

import ast
import dataclasses
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from features.catalogue import README, ROWS, SIMULATED, WORLDS, measured, scenario, section, table

import simsla
from simsla.routing import RoutingPolicy

ROOT = Path(__file__).parents[2]
GROUPS = (
    "Selection",
    "Retries",
    "Health",
    "Hedging",
    "Limits",
    "Fall-backs",
    "Streaming",
    "Cache",
    "Classification",
    "Quality",
    "Explain",
)


@pytest.mark.parametrize("row", SIMULATED, ids=lambda row: row["feature"])
def test_it_moves_its_metric(row):
    shows = row["shows"]
    without, with_it = (estimate.value for estimate in measured(row))
    gain = with_it - without if shows["direction"] == "higher" else without - with_it
    assert gain >= row["by_at_least"]
    for value, documented in zip((without, with_it), row["measured"], strict=True):
        assert value == pytest.approx(documented, rel=0.001, abs=0.2 * gain)


@pytest.mark.parametrize("row", [row for row in ROWS if "test" in row], ids=lambda row: row["feature"])
def test_it_names_a_test_that_exists(row):
    path, _, name = row["test"].partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")
@pytest.mark.parametrize("explain", [True, False])
def test_an_answer_lists_its_decisions(explain):
    replies = []

    def policy(transport):
        handle = RoutingPolicy.from_dict({"explain": explain})(transport)

        async def kept(request):
            replies.append(await handle(request))
            return replies[-1]

        return kept

    simsla.simulate(scenario("down", {}, {"horizon": 60}), policy, replications=1, progress=False)

    explanations = [reply.explanation for reply in replies]
    if not explain:
        assert set(explanations) == {None}
        return
    seen = {tuple((step.what, step.subject) for step in each.steps) for each in explanations}
    tried = ("attempt", "a"), ("failed", "a"), ("attempt", "b"), ("answered", "b")
    skipped = ("skipped", "a"), ("attempt", "b"), ("answered", "b")
    assert skipped in seen
    assert any(steps[:2] == tried[:2] and steps[-2:] == tried[2:] for steps in seen)


def test_the_rows_are_well_formed():
    names = [row["feature"] for row in ROWS]
    assert len(names) == len(set(names))
    assert list(dict.fromkeys(row["group"] for row in ROWS)) == list(GROUPS)
    assert {row["world"] for row in SIMULATED} == set(WORLDS)
    for row in ROWS:
        assert ("world" in row) != ("test" in row), row["feature"]
        RoutingPolicy.from_dict(row["routing"])
    for row in SIMULATED:
        assert row["shows"]["direction"] in ("higher", "lower")
        assert row["by_at_least"] > 0, row["feature"]


def test_everything_in_a_policy_has_a_row():
    shown = {part for row in ROWS for part in given(RoutingPolicy, row["routing"], "")}
    assert parts(RoutingPolicy) - shown == set()


@pytest.mark.parametrize("missing", ["selection: zone_aware", "breaker.ramp: linear", "queue", "limits.each"])
def test_a_part_without_a_row_is_noticed(missing):
    assert missing in parts(RoutingPolicy)


def test_the_table_in_the_readme_is_the_file():
    text = README.read_text(encoding="utf-8")
    assert section(text) == table()


# What a policy consists of: its fields, those of them that hold sections, and every kind of every union.
# The same section in two places (a back-off of all errors and of one) counts once, where it comes first.


def parts(policy: type) -> set[str]:
    return set(walked(policy, "", set()))


def walked(section: type, path: str, seen: set[Any]) -> Iterator[str]:
    for name, hint in hints(section):
        where = f"{path}{name}"
        sections = sections_of(hint)
        kinds = [each for each in sections if each.kind is not None]
        if path == "" or sections:
            yield where
        if not set(sections) <= seen:
            yield from (f"{where}: {each.kind}" for each in kinds if len(kinds) > 1)
            seen |= set(sections)
            for each in sections:
                yield from walked(each, f"{where}.", seen)


def given(section: type, mapping: Mapping[str, Any], path: str) -> Iterator[str]:
    """The parts that a configuration names itself."""
    found = dict(hints(section))
    for name, value in mapping.items():
        if name == "kind":
            continue
        where = f"{path}{name}"
        yield where
        sections = sections_of(found[name])
        if not isinstance(value, Mapping) or not sections:
            continue
        for one in value.values() if get_origin(found[name]) is Mapping else (value,):
            kind = one.get("kind", sections[0].kind)
            chosen = next(each for each in sections if each.kind == kind)
            yield f"{where}: {kind}"
            yield from given(chosen, one, f"{where}.")


def hints(section: type) -> list[tuple[str, Any]]:
    known = get_type_hints(section)
    return [(field.name, known[field.name]) for field in dataclasses.fields(section)]


def sections_of(hint: Any) -> list[Any]:
    """The sections that may stand in a field, those in the values of a mapping included."""
    if get_origin(hint) is Mapping:
        return sections_of(get_args(hint)[1])
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [each for each in members if dataclasses.is_dataclass(each)]
