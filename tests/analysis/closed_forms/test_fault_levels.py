"""The independence formula for each option of a fault, by hand and against what is drawn or simulated."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from simulation.policies import first_only, patient
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

import simsla
from simsla.analysis.closed_forms import independence, machine_repair
from simsla.world.faults import YEAR_S, timeline

PROCESS = {"kind": "outage", "uptime": exp(900), "repair": exp(100)}
"""Down for a tenth of the time."""

FLAPS = {"up": exp(2), "down": {"kind": "constant", "value": 1}}


def two(components, **others):
    """Two deployments, each with the provider of its name."""
    names = ("a", "b")
    return scenario({name: deployment(provider=name) for name in names}, components=components, **others)


def alone(*faults, horizon=1000.0, component=None, **others):
    """One deployment, whose provider has these faults."""
    spec = {"faults": list(faults)} | (component or {})
    return scenario({"a": deployment(provider="p")}, components={"p": spec}, horizon=horizon, **others)


def down_together(world, years=2):
    """The share of time that all components with faults are down, as it is drawn."""
    environment = timeline(world, years, seed=5)
    codes, until_s = np.unique(environment.component), years * YEAR_S
    ends = np.minimum(environment.end_s, until_s)
    times = np.concatenate([environment.start_s, ends])
    order = np.argsort(times, kind="stable")
    lasts, everything = np.diff(times[order], append=until_s), True
    for code in codes:
        mine = (environment.component == code).astype(int)
        everything = everything & (np.cumsum(np.concatenate([mine, -mine])[order]) > 0)
    return float(lasts[everything].sum() / until_s)


def simulated(world, policy, form, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        result = simsla.simulate(world, policy, keep_logs=False, **{"seed": 4, "replications": 20} | options)
    return result.against(form).pairs


# Flapping


def test_flapping_leaves_its_share_of_an_episode():
    world = alone(PROCESS | {"flapping": FLAPS})
    form = independence(world).shared_fate
    assert form.left == pytest.approx(0.1 / 3)
    assert form.left == pytest.approx(down_together(world), rel=0.03)
    assert "episodes are long beside their flaps" in form.assumption
    assert "flaps" not in independence(alone(PROCESS)).shared_fate.assumption


def test_flapping_against_the_simulation():
    flapping = {"kind": "brownout", "severity": 0.5, "flapping": FLAPS} | scheduled("brownout", 200, 600)
    world = alone(flapping, horizon=1000.0)
    naive, shared = simulated(world, first_only, independence(world, first_only))
    assert naive.form.left == pytest.approx(0.6 * 0.5 / 3)
    assert shared.inside is True
    assert shared.ratio == pytest.approx(1, abs=0.1)


# At appointed times


def test_a_recurring_window_against_the_simulation():
    """Of every 100 s from 50 on 10; of what is measured, 100 to 1000, nine windows whole."""
    window = {"kind": "outage", "schedule": [{"every": 100, "at": 50, "for": 10}]}
    world = alone(window, warmup=100, horizon=1000.0)
    naive, shared = simulated(world, first_only, independence(world, first_only))
    assert naive.form.left == pytest.approx(0.1)
    assert shared.form.left == pytest.approx(0.1)
    assert shared.inside is True
    assert shared.ratio == pytest.approx(1, abs=0.1)
    assert "requests are as many in planned episodes" in shared.form.assumption


@pytest.mark.parametrize(("second", "left"), [(50, 0.0), (0, 0.1), (5, 0.05)])
def test_planned_windows_meet_only_where_they_are_planned_to(second, left):
    """Maintenance of two providers, one after the other or at the same time; naive: always 1 %."""
    windows = {"a": 0, "b": second}
    world = two(
        {
            name: {"faults": [{"kind": "outage", "schedule": [{"every": 100, "at": at, "for": 10}]}]}
            for name, at in windows.items()
        },
        horizon=1000.0,
    )
    naive, shared = independence(world)
    assert naive.left == pytest.approx(0.01)
    assert shared.left == pytest.approx(left)


def test_many_windows_take_no_time():
    """A year of one every quarter of an hour, and of its own overlapping with twice the severity."""
    often = {"kind": "brownout", "severity": 0.5, "schedule": [{"every": 900, "at": 0, "for": 300}] * 2}
    assert independence(alone(often, horizon=365 * 86400.0)).naive.left == pytest.approx(0.75 / 3)


def test_the_schedule_and_its_repairs():
    """An outage until the repair, a limit for a share, a slowdown; the repair also ends the window."""
    world = alone(
        scheduled("outage", 700, 200),
        schedule=[
            {"at": 100, "fail": "p"},
            {"at": 200, "repair": "p"},
            {"at": 300, "limit": "p", "share": 0.5, "for": 100},
            {"at": 500, "slow": "p", "factor": 3},
            {"at": 750, "repair": "p"},
            {"at": 900, "fail": "p", "share": 0.2},
        ],
    )
    form = independence(world).shared_fate
    assert form.left == pytest.approx(0.1 + 0.05 + 0.05 + 0.02)
    assert "end no drawn episode" not in form.assumption
    drawn = alone(PROCESS, schedule=[{"at": 200, "repair": "p"}])
    assert "end no drawn episode" in independence(drawn).shared_fate.assumption


# Rollbacks


@pytest.mark.parametrize("between", ["gap", "uptime"])
def test_bad_releases_that_are_drawn(between):
    process = {"kind": "outage", between: exp(900), "rollback": {"bad": 0.25, "noticed": exp(100)}}
    world = alone(process)
    left = 0.25 * 0.1 if between == "uptime" else 1 - np.exp(-0.25 * 100 / 900)
    assert independence(world).naive.left == pytest.approx(left)
    assert down_together(world, 4) == pytest.approx(left, rel=0.05)


def test_bad_releases_between_gaps_of_another_law():
    process = {
        "kind": "outage",
        "gap": {"kind": "weibull", "scale": 300, "shape": 0.7},
        "rollback": {"bad": 0.5, "noticed": exp(100)},
    }
    world = alone(process)
    assert independence(world).naive.left == pytest.approx(down_together(world), rel=0.03)


def test_bad_releases_of_a_schedule_count_by_their_mean():
    """Half are bad; noticed after half the time to the next on average, which takes their place."""
    release = {
        "kind": "outage",
        "schedule": [{"every": 100, "at": 0}],
        "rollback": {"bad": 0.5, "noticed": exp(50)},
    }
    form = independence(alone(release)).naive
    assert form.left == pytest.approx(0.5 * 0.5 * (1 - np.exp(-2)), rel=1e-3)
    assert form.left == pytest.approx(down_together(alone(release), 0.05), rel=0.03)
    assert "for their mean share" in form.assumption
    repaired = alone(release, horizon=100.0, schedule=[{"at": 50, "repair": "p"}])
    assert independence(repaired).naive.left == pytest.approx(0.5 * 0.5 * (1 - np.exp(-1)), rel=1e-3)
    mild = release | {"schedule": [{"every": 100, "at": 0}, {"at": 100, "severity": 0.4}]}
    assert independence(alone(mild, horizon=200.0)).naive.left == pytest.approx(
        1 - (1 - form.left) * (1 - 0.4 * form.left / 2), rel=1e-3
    )
    measured = alone(release, horizon=100.0, warmup=50)
    assert independence(measured).naive.left == pytest.approx(0.5 * (np.exp(-1) - np.exp(-2)), rel=1e-3)


# Families and crews


def family(beta, *names, **changes):
    return {"p": None} | {
        name: {"parent": "p", "beta": beta, "faults": [PROCESS | changes]} for name in names
    }


@pytest.mark.parametrize("beta", [0, 0.1, 0.5, 1])
def test_siblings_share_a_component(beta):
    """Exact for outages: P(both) = beta u + what each has alone in the rest."""
    found = independence(two(family(beta, "a", "b")))
    assert found.deployments == pytest.approx({"a": 1 - own_and_others(beta), "b": 1 - own_and_others(beta)})
    common, own = beta / 2 * 0.1, (1 - beta) * 0.1 / (1 - beta / 2 * 0.1)
    none = (1 - common) ** 2
    assert found.shared_fate.left == pytest.approx(1 - none + none * own**2)
    drawn = down_together(two(family(beta, "a", "b")))
    assert found.shared_fate.left == pytest.approx(drawn, rel=0.05)
    assert found.naive.left == pytest.approx(own_and_others(beta) ** 2)


def own_and_others(beta):
    """How often one of two siblings is down: its own faults, less what it gave away, and the other's."""
    return 1 - (1 - 0.1 * (1 - beta / 2)) * (1 - 0.1 * beta / 2)


def test_siblings_against_the_simulation():
    """The naive formula is outside the interval, that with the family's component inside."""
    world = two(family(0.4, "a", "b"), classes={"chat": traffic(0.03)}, horizon=100_000)
    naive, shared = simulated(world, patient, independence(world, patient))
    assert naive.inside is False
    assert shared.inside is True
    assert naive.ratio > 2
    assert shared.ratio == pytest.approx(1, abs=0.2)


def test_a_sibling_that_declares_nothing_and_one_that_depends_on_both():
    parts = {
        "p": None,
        "a": {"parent": "p", "beta": 0.3, "faults": [PROCESS, scheduled("outage", 0, 1)]},
        "b": {"parent": "p"},
    }
    found = independence(two(parts, horizon=1000.0, warmup=10))
    assert found.components == pytest.approx({"p": 1, "a": 0.9, "b": 0.97})
    assert found.shared_fate.left == pytest.approx(0.03)
    both = scenario({"d": deployment(components=["a", "b"])}, components=parts, horizon=1000.0, warmup=10)
    assert independence(both).shared_fate.left == pytest.approx(0.1)
    half = parts | {"a": parts["a"] | {"beta": 1, "faults": [PROCESS | {"severity": 0.5}]}}
    both = scenario({"d": deployment(components=["a", "b"])}, components=half)
    assert independence(both).shared_fate.left == pytest.approx(0.1 * 0.75)


def crew_of_two(repair):
    fault = {"kind": "outage", "uptime": exp(300), "repair": repair}
    machines = {name: {"crew": "ops", "faults": [fault]} for name in ("a", "b")}
    return two(machines, crews={"ops": 1})


def test_a_crew_by_the_machine_repair_model():
    world = crew_of_two(exp(100))
    found = independence(world)
    waiting = machine_repair(2, 1, 1 / 3) @ np.arange(3) / 2
    assert found.components == pytest.approx({"a": 1 - waiting, "b": 1 - waiting})
    assert waiting > 0.26
    assert "down independently (machine repair)" in found.naive.assumption
    environment = timeline(world, 2, seed=5)
    lasted = np.minimum(environment.end_s, 2 * YEAR_S) - environment.start_s
    drawn = lasted[environment.component == 0].sum() / (2 * YEAR_S)
    assert waiting == pytest.approx(drawn, rel=0.03)


def test_a_crew_without_a_formula_has_no_queue():
    found = independence(crew_of_two({"kind": "constant", "value": 100}))
    assert found.components == pytest.approx({"a": 0.75, "b": 0.75})
    assert "never wait for their crew" in found.naive.assumption


# Grey failures, partitions, accounts, poison


def test_grey_faults_hit_some_classes_and_some_clients():
    faults = [
        scheduled("outage", 0, 500, only={"classes": ["chat"]}),
        scheduled("outage", 500, 500, only={"clients": 0.3}),
    ]
    classes = {"chat": traffic(3), "batch": traffic(1)}
    world = alone(*faults, classes=classes)
    assert independence(world, request_class="chat").naive.left == pytest.approx(0.65)
    assert independence(world, request_class="batch").naive.left == pytest.approx(0.15)
    found = independence(world)
    assert found.naive.left == pytest.approx(0.75 * 0.65 + 0.25 * 0.15)
    assert found.components == pytest.approx({"p": 1 - found.naive.left})
    assert "clients, who are many" in found.naive.assumption
    _, shared = simulated(world, first_only, independence(world, first_only))
    assert shared.inside is True
    assert shared.ratio == pytest.approx(1, abs=0.05)


def test_one_client_is_hit_wherever_a_component_is_needed():
    shared = {"s": {"faults": [scheduled("outage", 0, 500, only={"clients": 0.3})]}}
    world = scenario(
        {name: deployment(components=["s"]) for name in ("a", "b")}, components=shared, horizon=1000.0
    )
    naive, with_shared = independence(world)
    assert naive.left == pytest.approx(0.15**2)
    assert with_shared.left == pytest.approx(0.15)


def test_partitions_hit_those_who_are_cut_off():
    world = scenario(
        {"a": deployment(region="eu")},
        {"chat": traffic(2, region={"eu": 3, "us": 1})},
        regions={"eu": None, "us": None},
        network={
            "partitions": [
                {"from": "us", "to": "eu", "at": 100, "for": 400},
                {"from": "eu", "to": "us", "at": 0, "for": 500},
            ]
        },
        horizon=1000.0,
    )
    assert independence(world, first_only).shared_fate.left == pytest.approx(0.25 * 0.4)
    _, shared = simulated(world, first_only, independence(world, first_only))
    assert shared.inside is True


def test_accounts_are_components_and_poison_counts_for_nothing():
    world = scenario(
        {name: deployment(account="team") for name in ("a", "b")},
        {"chat": traffic(2, poison=0.2)},
        accounts={"team": {"faults": [PROCESS]}},
    )
    naive, shared = independence(world)
    assert naive.left == pytest.approx(0.01)
    assert shared.left == pytest.approx(0.1)
