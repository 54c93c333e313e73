"""Faults against the closed forms of reliability theory, on timelines of thousands of years."""

from __future__ import annotations

from math import comb, gamma

import numpy as np
import pytest
from simulation.scenarios import deployment, scenario

from simsla.world.faults import YEAR_S, timeline

MTBF_30_D = {
    "kind": "outage",
    "uptime": {"kind": "exponential", "mean": 30, "unit": "d"},
    "repair": {"kind": "exponential", "mean": 1, "unit": "h"},
}
U = 1 / 721


def world(**parts):
    return scenario({"a": deployment()}, **parts)


def process(availability):
    """An outage process with that availability and exponential times, one in 30 days."""
    return {
        "kind": "outage",
        "uptime": {"kind": "exponential", "mean": 30 * availability, "unit": "d"},
        "repair": {"kind": "exponential", "mean": 30 * (1 - availability), "unit": "d"},
    }


def time_with(environment, years):
    """The shares of time with k components down, by k; how often two or more are, and for how long in all.

    Overlapping episodes of one component are one.
    """
    opening, closing = [], []
    for code in range(len(environment.components)):
        mine = environment.component == code
        starts, ends = environment.start_s[mine], np.minimum(environment.end_s[mine], years * YEAR_S)
        reach = np.maximum.accumulate(ends)
        first = np.append(True, starts[1:] > reach[:-1])[: len(starts)]
        opening.append(starts[first])
        closing.append(reach[np.append(first[1:], True)[: len(starts)]])
    times = np.concatenate(opening + closing)
    steps = np.repeat([1, -1], [sum(map(len, opening)), sum(map(len, closing))])
    order = np.argsort(times, kind="stable")
    down = np.cumsum(steps[order])
    lasts = np.diff(times[order], append=years * YEAR_S)
    seconds = np.bincount(down, lasts, minlength=len(environment.components) + 1)
    shares = seconds / (years * YEAR_S)
    shares[0] = 1 - shares[1:].sum()
    double = (down >= 2) & (lasts > 0)
    entered = double & ~np.append(False, double[:-1])
    return shares, int(entered.sum()), float(lasts[double].sum())


def test_two_independent_components():
    """MTBF 30 d, MTTR 1 h: U = 1.3870e-3, both down 1.9237e-6, .0337 times a year for 1,800 s."""
    years = 100_000
    faulty = {"faults": [MTBF_30_D]}
    shares, doubles, seconds = time_with(timeline(world(components={"p": faulty, "q": faulty}), years), years)
    assert shares[1] / 2 == pytest.approx(U * (1 - U), rel=0.01)
    assert shares[2] == pytest.approx(1.9237e-6, rel=0.09)
    assert doubles / years == pytest.approx(0.0337, rel=0.07)
    assert seconds / doubles == pytest.approx(1800, rel=0.07)


@pytest.mark.parametrize(("beta", "both"), [(0.01, 1.58e-5), (0.05, 7.11e-5), (0.10, 1.40e-4)])
def test_the_beta_factor_table(beta, both):
    years = 60_000
    model = {"kind": "model", "parent": "openai", "beta": beta, "faults": [MTBF_30_D]}
    spec = world(components={"openai": None, "gpt-4o": model, "gpt-4o-mini": model})
    shares, _, _ = time_with(timeline(spec, years), years)
    assert beta * U + ((1 - beta) * U) ** 2 == pytest.approx(both, rel=0.005)
    assert shares[2] == pytest.approx(both, rel=0.06)
    assert shares[1] + 2 * shares[2] == pytest.approx(2 * U, rel=0.01), "each fails as often as it declares"


@pytest.mark.parametrize("siblings", [2, 3, 5])
def test_a_fault_of_one_is_with_probability_beta_a_fault_of_all(siblings):
    beta = 0.2
    model = {"parent": "p", "beta": beta, "faults": [MTBF_30_D]}
    spec = world(components={"p": None} | {f"m{i}": model for i in range(siblings)})
    environment = timeline(spec, 3000)
    _, index, counts = np.unique(environment.start_s, return_inverse=True, return_counts=True)
    assert set(counts.tolist()) == {1, siblings}
    assert not (environment.component == 0).any(), "the parent does not fail with its children"
    for code in range(1, siblings + 1):
        shared = counts[index[environment.component == code]] == siblings
        assert shared.mean() == pytest.approx(beta, rel=0.06)
        assert len(shared) == pytest.approx(3000 * 365 / (30 + 1 / 24), rel=0.03)


def test_a_fault_that_only_one_declares_strikes_its_siblings():
    spec = world(
        components={
            "p": None,
            "a": {"parent": "p", "beta": 0.3, "faults": [MTBF_30_D]},
            "b": {"parent": "p"},
            "c": None,
        }
    )
    environment = timeline(spec, 2000)
    numbers = np.bincount(environment.component, minlength=4)
    assert numbers[2] / numbers[1] == pytest.approx(0.3, rel=0.05)
    assert numbers[0] == numbers[3] == 0


def test_common_cause_is_for_drawn_faults_of_siblings_only():
    planned = {"kind": "outage", "schedule": [{"at": 0, "every": "1d", "for": "1h"}]}
    lonely = {"parent": "q", "beta": 1, "faults": [MTBF_30_D]}
    model = {"parent": "p", "beta": 1, "faults": [planned]}
    spec = world(components={"p": None, "q": None, "a": model, "b": {"parent": "p"}, "c": lonely})
    numbers = np.bincount(timeline(spec, 100).component, minlength=5)
    assert numbers[2] == 36_500
    assert numbers[3] == 0
    assert numbers[4] == pytest.approx(1215, rel=0.1)


@pytest.mark.parametrize(("k", "n", "availability"), [(1, 2, 0.9), (2, 3, 0.9), (3, 5, 0.8), (4, 4, 0.95)])
def test_k_of_n(k, n, availability):
    years = 3000
    faulty = {"faults": [process(availability)]}
    shares, _, _ = time_with(timeline(world(components={f"c{i}": faulty for i in range(n)}), years), years)
    up = sum(comb(n, i) * availability**i * (1 - availability) ** (n - i) for i in range(k, n + 1))
    assert 1 - shares[: n - k + 1].sum() == pytest.approx(1 - up, rel=0.05)


def test_two_of_three_at_three_nines():
    """.999997002"""
    years = 60_000
    faulty = {"faults": [process(0.999)]}
    shares, _, _ = time_with(timeline(world(components={f"c{i}": faulty for i in range(3)}), years), years)
    assert shares[2:].sum() == pytest.approx(1 - 0.999997002, rel=0.07)


@pytest.mark.parametrize(
    ("repairmen", "all_up", "all_down"), [(1, 0.819672, 0.016393), (2, 0.826446, 0.008264)]
)
def test_machine_repair(repairmen, all_up, all_down):
    """lambda / mu = .1, two machines, one or two repairmen."""
    years = 500
    machine = {
        "crew": "ops",
        "faults": [
            {
                "kind": "outage",
                "uptime": {"kind": "exponential", "mean": 10, "unit": "h"},
                "repair": {"kind": "exponential", "mean": 1, "unit": "h"},
            }
        ],
    }
    spec = world(components={"m": machine, "n": machine}, crews={"ops": repairmen})
    shares, _, _ = time_with(timeline(spec, years), years)
    assert shares[0] == pytest.approx(all_up, abs=0.001)
    assert shares[2] == pytest.approx(all_down, rel=0.04)


def test_whom_a_crew_does_not_know_is_repaired_at_once():
    waiting, alone = (
        timeline(
            world(
                components={
                    "m": {"crew": "ops", "faults": [process(0.5)]},
                    "n": ({"crew": "ops"} if shared else {}) | {"faults": [process(0.5)]},
                },
                crews={"ops": 1},
            ),
            500,
        )
        for shared in (True, False)
    )
    lasts = [float((e.end_s - e.start_s)[e.component == 1].mean()) for e in (waiting, alone)]
    assert lasts[1] == pytest.approx(15 * 86400, rel=0.05)
    assert lasts[0] > 1.3 * lasts[1]


@pytest.mark.parametrize("shape", [0.65, 1.0, 2.0])
def test_alternating_renewal_has_the_availability_of_its_means(shape):
    repair_s, scale_s = 3600.0, 50_000.0
    fault = {
        "kind": "outage",
        "uptime": {"kind": "weibull", "shape": shape, "scale": scale_s},
        "repair": {"kind": "lognormal", "mean": repair_s, "sigma": 1.17},
    }
    years = 3000
    shares, _, _ = time_with(timeline(world(components={"p": {"faults": [fault]}}), years), years)
    assert shares[1] == pytest.approx(repair_s / (repair_s + scale_s * gamma(1 + 1 / shape)), rel=0.02)
