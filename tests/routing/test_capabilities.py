from __future__ import annotations

import pytest
from routing.fakes import ScriptedTransport, deployment, fails, play, policy
from simulation.scenarios import deployment as simulated
from simulation.scenarios import scenario, traffic

from simsla.routing import (
    ContentFiltered,
    ContextLengthExceeded,
    NoDeployment,
    Request,
    Router,
    RoutingError,
    ServerError,
)
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one

WORLD = [
    deployment("plain"),
    deployment("sees", capabilities=("vision",)),
    deployment("does", capabilities=("tools", "json")),
    deployment("all", "premium", capabilities=("json", "vision", "tools")),
]


def ask(needs, script=None, world=WORLD, **values):
    """What was called, and the reply or the error."""
    transport = ScriptedTransport(world, script)

    async def main():
        try:
            return await Router(policy(**values), transport).handle(Request(1, needs=needs))
        except RoutingError as error:
            return error

    outcome = play(main())
    return transport.called, outcome


@pytest.mark.parametrize(
    ("needs", "called"),
    [((), "plain"), (("vision",), "sees"), (("json",), "does"), (("tools", "json"), "does")],
)
def test_what_lacks_a_capability_is_passed_over(needs, called):
    assert ask(needs)[0] == [called]


@pytest.mark.parametrize("selection", [{"kind": "ordered"}, {"kind": "round_robin"}, {"kind": "peak_ewma"}])
@pytest.mark.parametrize("pre_call_checks", [False, True])
def test_whatever_the_order_only_the_capable_are_called(selection, pre_call_checks):
    script = {name: [fails(ServerError)] for name in ("plain", "sees", "does", "all")}
    values = {"selection": selection, "pre_call_checks": pre_call_checks, "breaker": None}
    assert ask(("vision",), script, **values)[0] == ["sees"]
    assert sorted(ask((), script, **values)[0]) == ["does", "plain", "sees"]


def test_nothing_that_fits_is_an_error_that_says_what_was_needed():
    called, error = ask(("vision", "audio"))
    assert called == []
    assert isinstance(error, NoDeployment)
    assert "needs vision, audio" in str(error)
    assert isinstance(ask(("vision",), world=WORLD[:1])[1], NoDeployment)


def test_fall_backs_are_passed_over_too():
    tiers = {"standard": ["plain", "sees"]}
    fallbacks = {"default": ["does", "all"]}
    assert ask(("json",), tiers=tiers, fallbacks=fallbacks)[0] == ["does"]
    assert ask(("json", "vision"), tiers=tiers, fallbacks=fallbacks)[0] == ["all"]
    for error, table in ((ContextLengthExceeded, "context_window"), (ContentFiltered, "content_policy")):
        fallbacks = {table: {"sees": ["does", "all"]}}
        assert ask(("vision",), {"sees": [fails(error)]}, fallbacks=fallbacks)[0] == ["sees", "all"]


def test_a_subordinate_call_needs_what_its_request_needs_unless_told_otherwise():
    request = Request(1, needs=("vision",))
    assert request.derive(purpose="check").needs == ("vision",)
    assert request.derive(purpose="classify", needs=()).needs == ()


def by_name(frame):
    return {str(name): int(count) for name, count in frame.value_counts().items() if count}


def world(**routing):
    return scenario(
        {"a": simulated(), "b": simulated(capabilities=["vision", "tools"])},
        {"chat": traffic(), "images": traffic(needs=["vision"])},
        routing=routing,
    )


def test_a_scenario_says_what_is_needed_and_what_is_offered():
    found = world()
    assert found.deployments["b"].to_deployment().capabilities == ("vision", "tools")
    assert Scenario.from_dict(found.to_dict()) == found
    run = run_one(found, found.routing, 1, 0)
    called = run.log.attempts_frame()
    classes = run.log.requests_frame().set_index("request")["request_class"]
    whose = called["request"].map(classes)
    assert by_name(called["deployment"][whose == "chat"]).keys() == {"a"}
    assert by_name(called["deployment"][whose == "images"]).keys() == {"b"}
    with pytest.raises(ScenarioError, match=r"traffic\.chat\.needs"):
        scenario(traffic={"chat": traffic(needs="vision")})


def test_in_the_world_a_deployment_refuses_what_it_cannot_do():
    def careless(transport):
        async def handle(request):
            return await transport.send(request, transport.deployments[0])

        return handle

    log = run_one(world(), careless, 1, 0).log
    requests = log.requests_frame()
    assert by_name(requests["outcome"][requests["request_class"] == "chat"]).keys() == {"ok"}
    assert by_name(requests["outcome"][requests["request_class"] == "images"]).keys() == {"error"}
    assert by_name(log.attempts_frame()["outcome"]).keys() == {"ok", "bad_request"}
