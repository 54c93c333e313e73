"""A prompt cache that goes by what no request has is told of."""

from __future__ import annotations

import pytest
from simulation.policies import patient
from simulation.scenarios import deployment, scenario, traffic

import simsla
from simsla.analysis import UnhitCacheWarning

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

SESSIONS = {
    "kind": "sessions",
    "users": 3,
    "think": {"kind": "exponential", "mean": 5},
    "requests_per_session": 4,
}


def told(by, deployments=("a",), **changes):
    price = {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 2.0, "prompt_cache": {"discount": 0.9, "by": by}}
    world = scenario(
        {name: deployment(price=price) for name in deployments}, {"chat": traffic(1) | changes}, horizon=60
    )
    result = simsla.simulate(world, patient, replications=2, progress=False)
    return [str(caveat) for caveat in result.caveats if isinstance(caveat, UnhitCacheWarning)]


@pytest.mark.parametrize("by", ["topic", "session"])
def test_it_names_the_caches_and_what_is_needed(by):
    (text,) = told(by)
    assert f"No request has a {by}" in text
    assert "deployments.a.price.prompt_cache." in text
    assert f"`{by}s`" in text


def test_some_of_many_are_named():
    (text,) = told("topic", deployments="abcde")
    assert "deployments.c.price.prompt_cache and 2 more." in text


@pytest.mark.parametrize(
    ("by", "changes"),
    [("topic", {"topics": {"count": 10}}), ("session", {"arrivals": SESSIONS}), (None, {})],
)
def test_nothing_is_said_where_it_can_be_hit(by, changes):
    assert told(by, **changes) == []
