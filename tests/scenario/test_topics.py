"""The section `topics` of a request class."""

from __future__ import annotations

import pytest
from simulation.scenarios import scenario, traffic

from simsla.scenario import Scenario, ScenarioError


def test_topics_are_read_with_their_defaults_and_written_back():
    world = scenario(None, {"chat": traffic(topics={"count": 50}), "batch": traffic()})
    topics = world.traffic["chat"].topics
    assert (topics.count, topics.zipf, topics.paraphrases, topics.near_misses, topics.words) == (
        50,
        1.0,
        5,
        0.1,
        12,
    )
    assert world.traffic["batch"].topics is None
    assert Scenario.from_dict(world.to_dict()).to_dict() == world.to_dict()
    assert world.with_values({"traffic.chat.topics.zipf": 0.8}).traffic["chat"].topics.zipf == 0.8


@pytest.mark.parametrize(
    ("topics", "path", "suggestion"),
    [
        ({"count": 5, "zpif": 1}, "zpif", "zipf"),
        ({"count": 5, "near_mises": 0.1}, "near_mises", "near_misses"),
        ({}, "count", None),
        ({"count": 0}, "count", None),
        ({"count": 2_000_000}, "count", None),
        ({"count": 10.5}, "count", None),
        ({"count": True}, "count", None),
        ({"count": 5, "zipf": -1}, "zipf", None),
        ({"count": 5, "zipf": "1"}, "zipf", None),
        ({"count": 5, "paraphrases": 0}, "paraphrases", None),
        ({"count": 5, "near_misses": 1.1}, "near_misses", None),
        ({"count": 5, "words": 3}, "words", None),
    ],
)
def test_impossible_topics_are_refused_with_their_path(topics, path, suggestion):
    with pytest.raises(ScenarioError) as refused:
        scenario(None, {"chat": traffic(topics=topics)})
    (problem,) = refused.value.problems
    assert problem.path == f"traffic.chat.topics.{path}"
    assert problem.suggestion == suggestion
