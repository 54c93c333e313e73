"""The independence formula, and shared fate, against scenarios whose availability is known."""

from __future__ import annotations

import warnings
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.policies import patient
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

import simsla
from simsla.analysis.closed_forms import ClosedForm, independence
from simsla.routing import RoutingPolicy


def down(share, kind="outage", **changes):
    """A fault that covers a share of the time."""
    process = {"kind": kind, "uptime": exp(1000 * (1 - share)), "repair": exp(1000 * share)}
    return {"faults": [process | changes]}


def test_two_providers_behind_a_gateway():
    """Naive: 1 - (1 - .99 x .9)^2; in fact the gateway is in series: .99 x (1 - .1^2)."""
    world = scenario(
        {name: deployment(provider=name, components=["gateway"]) for name in ("a", "b")},
        components={"gateway": down(0.01), "a": down(0.1), "b": down(0.1)},
    )
    found = independence(world)
    assert found.naive.value == pytest.approx(1 - (1 - 0.99 * 0.9) ** 2)
    assert found.shared_fate.value == pytest.approx(0.99 * 0.99)
    assert found.deployments == pytest.approx({"a": 0.891, "b": 0.891})
    assert found.components == pytest.approx({"gateway": 0.99, "a": 0.9, "b": 0.9})
    assert list(found.frame["unavailability"]) == pytest.approx([0.109**2, 1 - 0.9801])
    assert "shared components in series: unavailability 0.0199" in str(found)
    assert "<td>0.0199</td>" in found._repr_html_()


def test_nothing_shared_makes_no_difference():
    world = scenario(
        {name: deployment(provider=name, errors={500: 0.2, "connect": 0.5}) for name in ("a", "b")},
        components={"a": down(0.1), "b": down(0.3, "brownout", severity=0.5)},
    )
    naive, shared = independence(world)
    assert naive.value == pytest.approx(1 - (1 - 0.9 * 0.4) * (1 - 0.85 * 0.4))
    assert shared.value == pytest.approx(naive.value)


def test_many_shared_components_are_summed_over_all_their_states():
    """Two brown-outs and an outage, shared by overlapping pairs, against all eight states by hand."""
    shares = {"x": (0.2, 0.5), "y": (0.3, 0.25), "z": (0.1, 1.0)}
    depends = {"a": ["x", "y"], "b": ["y", "z"], "c": ["x", "z"]}
    world = scenario(
        {name: deployment(components=parts) for name, parts in depends.items()},
        components={
            name: down(share, "outage" if severity == 1 else "brownout", severity=severity)
            for name, (share, severity) in shares.items()
        },
    )
    lost = 0.0
    for state in product((0, 1), repeat=3):
        weight, through = 1.0, {}
        for on, (name, (share, severity)) in zip(state, shares.items(), strict=True):
            weight *= share if on else 1 - share
            through[name] = 1 - severity if on else 1
        for parts in depends.values():
            weight *= 1 - through[parts[0]] * through[parts[1]]
        lost += weight
    assert independence(world).shared_fate.value == pytest.approx(1 - lost)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 0.9), st.floats(0.01, 1)), min_size=3, max_size=3),
    st.lists(st.sets(st.sampled_from("xyz")), min_size=1, max_size=4),
    st.floats(0, 0.9),
)
def test_sharing_never_helps(faults, depends, errors):
    """Deployments that depend on the same components fail together, so independence flatters them."""
    world = scenario(
        {
            f"d{i}": deployment(components=sorted(parts), errors={500: errors})
            for i, parts in enumerate(depends)
        },
        components={
            name: down(share, "brownout", severity=severity)
            for name, (share, severity) in zip("xyz", faults, strict=True)
        },
    )
    found = independence(world)
    assert 0 <= found.naive.left <= found.shared_fate.left + 1e-12
    assert found.shared_fate.left <= 1 - max(found.deployments.values()) + 1e-12
    if len(depends) == 1:
        assert found.naive.left == pytest.approx(found.shared_fate.left)


def test_scheduled_faults_count_by_their_share_of_the_measured_time():
    """From 20 to 100 s: an outage over the edge of the warm-up counts for 5 s, a slowdown for nothing.

    What is planned for different times never happens at once, so that the shares add up.
    """
    faults = [
        scheduled("outage", 10, 15),
        scheduled("brownout", 40, 8, severity=0.5),
        scheduled("slowdown", 60, 8, severity=3),
    ]
    world = scenario(
        {"a": deployment(provider="p")}, components={"p": {"faults": faults}}, warmup=20, horizon=100
    )
    assert independence(world).naive.value == pytest.approx(1 - 5 / 80 - 4 / 80)


def test_overlapping_gaps_are_united():
    world = scenario(
        {"a": deployment(provider="p")},
        components={"p": {"faults": [{"kind": "outage", "gap": exp(100), "repair": exp(100)}]}},
    )
    assert independence(world).naive.left == pytest.approx(1 - 2.718281828459045**-1)


def test_the_plans_are_the_routers():
    """Premium requests may fall to the tiers below unless the policy does not degrade."""
    world = scenario(
        {name: deployment(provider=name, tier=tier) for name, tier in (("p", "premium"), ("e", "economy"))},
        {
            "rare": traffic(1, tier="premium"),
            "often": traffic(3, complexity={"kind": "uniform", "low": 0, "high": 1}),
        },
        components={"p": down(0.1), "e": down(0.2)},
        routing={"complexity": {"standard": 0.5, "premium": 0.8}},
    )
    # A tier that nothing serves is served by the one above: standard requests go to p, then to e.
    assert independence(world, request_class="rare").naive.value == pytest.approx(1 - 0.1 * 0.2)
    assert independence(world, request_class="often").naive.value == pytest.approx(
        0.5 * 0.8 + 0.5 * (1 - 0.1 * 0.2)
    )
    both = independence(world).naive.value
    assert both == pytest.approx(0.25 * 0.98 + 0.75 * (0.4 + 0.49))
    strict = independence(world, RoutingPolicy(degrade=False), "rare").naive.value
    assert strict == pytest.approx(0.9)
    assert independence(world, patient, "often").naive.value == pytest.approx(0.98)
    with pytest.raises(KeyError, match="never"):
        independence(world, request_class="never")


def test_regions_without_fail_over_and_fall_backs():
    world = scenario(
        {
            "near": deployment(region="eu"),
            "far": deployment(region="us"),
            "spare": deployment(provider="p", tier="premium"),
        },
        {"chat": traffic(1, tier="standard", region={"eu": 1, "us": 1})},
        regions={"eu": down(0.1), "us": down(0.3)},
        components={"p": down(0.5)},
    )
    at_home = {"regions": {"failover": False}}
    home = independence(world, RoutingPolicy.from_dict(at_home)).naive.left
    assert home == pytest.approx(0.5 * 0.1 + 0.5 * 0.3)
    chains = {"fallbacks": {"chains": {"standard": ["spare"]}}}
    assert independence(world, RoutingPolicy.from_dict(chains)).naive.left == pytest.approx(0.1 * 0.3 * 0.5)


def test_requests_that_nothing_can_answer_are_lost():
    world = scenario(classes={"chat": traffic(1, needs=["vision"])})
    assert independence(world).naive.value == 0


def test_too_many_states_are_refused():
    shared = [f"c{i}" for i in range(19)]
    world = scenario(
        {name: deployment(components=shared) for name in ("a", "b")},
        components={name: down(0.1) for name in shared},
    )
    with pytest.raises(ValueError, match="at most 262,144 states of shared components, got 524,288"):
        independence(world)


def test_the_playbook():
    """The article's product of deployments leaves 1e-11; its one gateway alone is down 0.1 % of the time."""
    found = independence(simsla.Scenario.load("playbook"))
    assert 1e-12 < found.naive.left < 1e-10
    assert found.shared_fate.left == pytest.approx(1e-3, rel=0.01)
    assert all(isinstance(form, ClosedForm) for form in found)


def test_the_simulated_truth_is_shared_fate():
    """One table: the naive formula is outside the interval and far off, shared fate is inside."""
    world = scenario(
        {name: deployment(provider=name, components=["gateway"]) for name in ("a", "b")},
        {"chat": traffic(0.03)},
        horizon=100_000,
        components={"gateway": down(0.02), "a": down(0.05), "b": down(0.05)},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", simsla.SimslaWarning)
        result = simsla.simulate(world, patient, seed=4, replications=20, keep_logs=False)
    naive, shared = result.against(independence(world, patient)).pairs
    assert naive.inside is False
    assert shared.inside is True
    assert naive.ratio > 3
    assert shared.ratio == pytest.approx(1, abs=0.3)
    assert result.availability.half_width < 0.01
