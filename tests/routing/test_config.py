from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing.fakes import copied

from simsla.routing import ConfigError
from simsla.routing.config import FrozenMapping, Section, setting


@dataclass(frozen=True)
class Small(Section):
    kind = "small"
    size: int = setting(1, minimum=1)


@dataclass(frozen=True)
class Large(Section):
    kind = "large"
    size: float = setting(10.0, above=1, maximum=100)


@dataclass(frozen=True)
class Inner(Section):
    flag: bool = setting(False)
    wait_s: float | None = setting(None, minimum=0.0, unit="s")


@dataclass(frozen=True)
class Outer(Section):
    name: str = setting()
    box: Small | Large | None = field(default=Small())
    inner: Inner = field(default=Inner())
    boxes: tuple[Small | Large, ...] = setting(())
    colours: tuple[str, ...] = setting(("red",), choices=("red", "green"))
    limits: Mapping[str, int] = setting(FrozenMapping(), keys=("day", "hour"), minimum=0)
    notes: Mapping[str, str] = setting(FrozenMapping())


def refused(values, path="outer"):
    with pytest.raises(ConfigError) as caught:
        Outer.from_dict(values, path)
    return caught.value


def test_everything_can_be_read_and_written_back():
    values = {
        "name": "n",
        "box": {"kind": "large", "size": 5},
        "inner": {"flag": True, "wait_s": "1.5s"},
        "boxes": [{"size": 3}, {"kind": "large"}],
        "colours": ["green", "red"],
        "limits": {"day": 3},
        "notes": {"anything": "goes"},
    }
    outer = Outer.from_dict(values)
    assert outer.box == Large(5.0)
    assert outer.inner == Inner(True, 1.5)
    assert outer.boxes == (Small(3), Large())
    assert outer.limits == {"day": 3}
    written = outer.to_dict()
    assert written["box"] == {"kind": "large", "size": 5.0}
    assert Outer.from_dict(json.loads(json.dumps(written))) == outer
    assert copied(outer) == outer
    assert hash(outer) == hash(Outer.from_dict(values))


def test_what_is_left_out_has_its_default():
    assert Outer.from_dict({"name": "n"}) == Outer("n")
    assert Outer.from_dict({"name": "n", "box": None}).box is None
    assert Outer.from_dict({"name": "n", "box": {}}).box == Small()


@pytest.mark.parametrize(
    ("values", "path", "expected", "suggestion"),
    [
        ({}, "outer.name", "a value (required)", None),
        ({"name": ""}, "outer.name", "a text", None),
        ({"name": 3}, "outer.name", "a text", None),
        ({"name": "n", "bix": {}}, "outer.bix", "a key of name, box", "box"),
        ({"name": "n", 7: 8}, "outer.7", "a key of name, box", None),
        ({"name": "n", "box": {"size": 0}}, "outer.box.size", "an integer >= 1", None),
        ({"name": "n", "box": {"size": True}}, "outer.box.size", "an integer >= 1", None),
        ({"name": "n", "box": {"size": 1.0}}, "outer.box.size", "an integer >= 1", None),
        ({"name": "n", "box": {"size": "1"}}, "outer.box.size", "an integer >= 1", None),
        ({"name": "n", "box": {"kind": "larg"}}, "outer.box.kind", "one of small, large", "large"),
        (
            {"name": "n", "box": {"kind": "large", "size": 1}},
            "outer.box.size",
            "a number > 1 and <= 100",
            None,
        ),
        ({"name": "n", "box": {"kind": "large", "size": 101}}, "outer.box.size", "<= 100", None),
        ({"name": "n", "box": {"kind": "large", "size": float("nan")}}, "outer.box.size", "a number", None),
        ({"name": "n", "box": {"kind": "large", "size": 10**400}}, "outer.box.size", "a number", None),
        ({"name": "n", "box": 3}, "outer.box", "a mapping, or null", None),
        ({"name": "n", "inner": {"flag": "yes"}}, "outer.inner.flag", "true or false", None),
        ({"name": "n", "inner": {"flag": 1}}, "outer.inner.flag", "true or false", None),
        ({"name": "n", "inner": None}, "outer.inner", "a mapping", None),
        ({"name": "n", "inner": {"kind": "x"}}, "outer.inner.kind", "a key of flag, wait_s", None),
        ({"name": "n", "inner": {"wait_s": "5 lightyears"}}, "outer.inner.wait_s", "a duration >= 0", None),
        ({"name": "n", "inner": {"wait_s": "1e9"}}, "outer.inner.wait_s", "'250ms'", None),
        ({"name": "n", "inner": {"wait_s": "9" * 400 + "d"}}, "outer.inner.wait_s", "a duration", None),
        ({"name": "n", "boxes": [{}, {"size": -1}]}, "outer.boxes.1.size", "an integer >= 1", None),
        ({"name": "n", "boxes": {}}, "outer.boxes", "a list", None),
        ({"name": "n", "colours": "red"}, "outer.colours", "a list", None),
        ({"name": "n", "colours": ["red", "gren"]}, "outer.colours.1", "one of red, green", "green"),
        ({"name": "n", "limits": {"days": 1}}, "outer.limits.days", "a key of day, hour", "day"),
        ({"name": "n", "limits": {"day": -1}}, "outer.limits.day", "an integer >= 0", None),
        ({"name": "n", "limits": [1]}, "outer.limits", "a mapping", None),
        ({"name": "n", "notes": {1: "a"}}, "outer.notes.1", "a string as key", None),
        (["name"], "outer", "a mapping with keys of name", None),
    ],
)
def test_impossible_values_are_refused_with_their_path(values, path, expected, suggestion):
    error = refused(values)
    assert error.path == path
    assert expected in error.expected
    assert error.suggestion == suggestion


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5.0),
        ("2m", 120.0),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("0.5 h", 1800),
    ],
)
def test_durations_may_carry_a_unit(text, seconds):
    assert Inner.from_dict({"wait_s": text}).wait_s == pytest.approx(seconds, rel=1e-12)


def test_numpy_scalars_are_numbers():
    assert Small(np.int64(3)) == Small(3)
    assert type(Small(np.int64(3)).size) is int
    assert type(Large(np.float32(2.5)).size) is float
    with pytest.raises(ConfigError):
        Small(np.bool_(True))


def test_every_way_to_make_a_section_checks_it():
    with pytest.raises(ConfigError, match=r"^size: expected an integer >= 1, got 0"):
        Small(0)
    with pytest.raises(ConfigError, match=r"^box\.size: "):
        replace(Outer("n"), box={"size": -1})
    with pytest.raises(FrozenInstanceError):
        Small().size = 2


@given(
    st.dictionaries(st.sampled_from(["day", "hour"]), st.integers(0)),
    st.sampled_from([Small(2), Large(), None]),
)
def test_reading_what_was_written_gives_the_same(limits, box):
    outer = Outer("n", box=box, limits=limits)
    assert Outer.from_dict(outer.to_dict()) == outer


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
)
def test_no_value_causes_anything_but_a_configuration_error(value):
    for name in ("name", "box", "inner", "boxes", "colours", "limits", "notes", "other"):
        try:
            outer = Outer.from_dict({"name": "n", name: value})
        except ConfigError as error:
            assert error.path.startswith(name)  # noqa: PT017 - most values are refused, a few are not
        else:
            assert Outer.from_dict(outer.to_dict()) == outer
