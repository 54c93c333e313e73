"""What attempts cost that are not answered as they should be: each way of ending has a rule of its own."""

from __future__ import annotations

import asyncio

import pytest
from simulation.runs import play
from simulation.scenarios import deployment, scenario, scheduled, traffic
from world.scripts import NONE, only, sending, world

from simsla.routing import Timeouts
from simsla.scenario import Billing, ScenarioError

OTHERS = {"generated": "full", "full": "none", "none": "full"}
RULES = pytest.mark.parametrize("rule", list(OTHERS))


def billed(way, rule, script, **changes):
    """The tokens of the one attempt, where all other ways of ending have another rule."""
    billing = dict.fromkeys(Billing.model_fields, OTHERS[rule]) | {way: rule}
    _, run = play(world(billing=billing, **changes), script)
    row = only(run)
    assert row["cost_usd"] == pytest.approx((row["tokens_in"] * 1 + row["tokens_out"] * 2) / 1e6)
    return row["tokens_in"], row["tokens_out"]


def cancelling(after_s):
    async def script(transport, request):
        task = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait([task])

    return script


@RULES
def test_cancelled(rule):
    expected = {"generated": (1000, 40), "full": (1000, 100), "none": (0, 0)}[rule]
    assert billed("cancelled", rule, cancelling(0.505)) == expected


@RULES
def test_timed_out(rule):
    expected = {"generated": (1000, 40), "full": (1000, 100), "none": (0, 0)}[rule]
    assert billed("timed_out", rule, sending(Timeouts(total_s=0.505))) == expected


@RULES
def test_cut(rule):
    tokens_in, tokens_out = billed("cut", rule, sending(), errors={"cut": 1})
    assert tokens_in == (0 if rule == "none" else 1000)
    if rule == "generated":
        assert 1 <= tokens_out < 100
    else:
        assert tokens_out == {"full": 100, "none": 0}[rule]


@RULES
def test_malformed(rule):
    expected = {"generated": (1000, 100), "full": (1000, 100), "none": (0, 0)}[rule]
    assert billed("malformed", rule, sending(), errors={"malformed": 1}) == expected


@RULES
@pytest.mark.parametrize("status", [500, 503])
def test_errors(rule, status):
    expected = {"generated": (1000, 0), "full": (1000, 100), "none": (0, 0)}[rule]
    assert billed("errors", rule, sending(), errors={status: 1}) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": {429: 1}},
        {"errors": {400: 1}},
        {"errors": {"connect": 1}},
        {"context_window": 10},
        {"rpm": 60, "tpm": 10},
    ],
    ids=["429", "400", "connect", "context", "limit"],
)
def test_who_is_turned_away_pays_nothing(changes):
    everything = dict.fromkeys(Billing.model_fields, "full")
    _, run = play(world(billing=everything, **changes), sending())
    assert only(run)["cost_usd"] == 0


def test_the_defaults_are_those_that_are_stated():
    assert Billing().model_dump() == {
        "cancelled": "generated",
        "timed_out": "generated",
        "cut": "generated",
        "malformed": "full",
        "errors": "none",
    }


def test_the_loser_of_a_hedge_is_billed_as_cancelled():
    """Two attempts, and the one that is slower is broken off: what the hedge costs is by that rule."""

    def costs(rule):
        spec = scenario(
            {
                "a": deployment(latency={"total": 2.0}, billing={"cancelled": rule}),
                "b": deployment(),
            },
            {"chat": traffic(0.1)},
        )

        async def script(transport, request):
            slow, quick = (
                asyncio.ensure_future(transport.send(request, each, timeouts=NONE))
                for each in transport.deployments
            )
            done, _ = await asyncio.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
            assert done == {quick}
            slow.cancel()
            await asyncio.wait([slow])

        _, run = play(spec, script)
        return run.log.attempts_frame().set_index("outcome")["cost_usd"]

    full = (1000 * 1 + 100 * 2) / 1e6
    assert costs("full").to_dict() == pytest.approx({"ok": full, "cancelled": full})
    assert costs("none").to_dict() == pytest.approx({"ok": full, "cancelled": 0.0})
    # Its whole answer would have come at once, after two seconds.
    assert costs("generated").to_dict() == pytest.approx({"ok": full, "cancelled": 1000e-6})


def test_a_brownout_bills_its_errors_by_the_rule():
    spec = scenario(
        {"a": deployment(billing={"errors": "generated"}, components=["g"])},
        components={"g": {"faults": [scheduled("brownout", 0, 100, severity=1.0)]}},
    )
    _, run = play(spec, sending())
    assert (only(run)["outcome"], only(run)["tokens_in"]) == ("unavailable", 1000)


def test_rules_are_chosen_from_a_list():
    with pytest.raises(ScenarioError, match=r"deployments\.a\.billing\.cut: expected one of generated, full"):
        world(billing={"cut": "ful"})
