"""Names with dots, as models have them: `gpt-4.1`."""

from __future__ import annotations

import pytest
from simulation.scenarios import deployment, scenario, traffic

from simsla.scenario import ScenarioError
from simsla.scenario.errors import location_of, path_of


def world(routing):
    return scenario({"gpt-4.1": deployment(), "gpt": deployment()}, {"chat.v2": traffic()}, routing=routing)


@pytest.mark.parametrize(
    ("routing", "location", "suggestion"),
    [
        (
            {"limits": {"deployments": {"gpt-4.2": {"rpm": 3}}}},
            ("limits", "deployments", "gpt-4.2"),
            "gpt-4.1",
        ),
        (
            {"limits": {"deployments": {"gpt-4.1": {"rpn": 3}}}},
            ("limits", "deployments", "gpt-4.1", "rpn"),
            "rpm",
        ),
        (
            {"fallbacks": {"chains": {"gpt-4.1": ["gpt", "gpt-4.2"]}}},
            ("fallbacks", "chains", "gpt-4.1", 1),
            "gpt-4.1",
        ),
        (
            {"retry": {"per_deployment": {"gpt-4.1": {"max_attempts": -4}}}},
            ("retry", "per_deployment", "gpt-4.1", "max_attempts"),
            None,
        ),
    ],
)
def test_errors_of_the_routing_section_name_them_whole(routing, location, suggestion):
    with pytest.raises(ScenarioError) as caught:
        world(routing)
    (problem,) = caught.value.problems
    assert problem.location == ("routing", *location)
    assert problem.suggestion == suggestion


def test_the_line_of_such_a_name_is_found(tmp_path):
    path = tmp_path / "dotted.yaml"
    path.write_text(
        "horizon: 1h\n"
        "deployments: {gpt-4.1: {model: m, latency: {total: 1}}}\n"
        "traffic: {chat: {arrivals: {kind: poisson, rate: 1}, prompt_tokens: 1, output_tokens: 1}}\n"
        "routing:\n"
        "  limits:\n"
        "    deployments:\n"
        "      gpt-4.1: {rpn: 3}\n"
    )
    with pytest.raises(ScenarioError, match=r"routing\.limits\.deployments\.gpt-4\.1\.rpn \(line 7\)"):
        type(scenario()).load(path)


DATA = {"a": {"b.c": [{"d": 1}, {"e.f": 2}], "b": 3, "x[0]": 4}}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("a.b", ("a", "b")),
        ("a.b.c", ("a", "b.c")),
        ("a.b.c[1].e.f", ("a", "b.c", 1, "e.f")),
        ("a.b.c.0.d", ("a", "b.c", 0, "d")),
        ("a.b.c[9].d", ("a", "b.c", 9, "d")),
        ("a.x[0]", ("a", "x[0]")),
        ("a.unknown.name", ("a", "unknown", "name")),
        ("", ()),
    ],
)
def test_the_longest_name_that_exists_is_meant(path, location):
    assert location_of(path, DATA) == location


@pytest.mark.parametrize("path", ["", "a", "a.b[0].c", "a[1][2]"])
def test_without_data_every_dot_is_a_step(path):
    assert path_of(location_of(path)) == path


def test_what_is_no_path_is_kept_as_it_is():
    assert location_of("a.[odd") == ("a", "[odd")
