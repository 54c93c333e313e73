from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import EnvironmentLaw, drawn_faults, environment_law
from simsla.analysis.states import QUIET, fault_intervals, state_path
from simsla.scenario import Scenario
from simsla.world.environment import Environment
from simsla.world.faults import draw_environment

COMPONENTS = ("gateway", "provider")


def environment(*episodes):
    """Rows of (component, start, end) and, optionally, severity and error; all of kind brown-out."""
    rows = [(code, 2, start, end, *(rest or (0.5, 503))) for code, start, end, *rest in episodes]
    return Environment.of(rows, COMPONENTS)


def path(env, start, end):
    return state_path(fault_intervals(env, start, end), start, end)


def scenario(**components):
    return Scenario.from_dict(
        {
            "name": "law",
            "horizon": "1d",
            "components": components,
            "deployments": {"d": {"model": "m", "components": list(components), "latency": {"total": 1}}},
            "traffic": {
                "chat": {
                    "arrivals": {"kind": "poisson", "rate": 1},
                    "prompt_tokens": 10,
                    "output_tokens": 10,
                }
            },
        }
    )


def test_visits_by_hand():
    # Provider down 10-30, gateway down 20-40, provider again 60-90; measured from 0 to 80.
    visits = path(environment((1, 10, 30), (0, 20, 40), (1, 60, 90)), 0, 80)
    assert visits.start_s.tolist() == [0, 10, 20, 30, 40, 60]
    assert visits.end_s.tolist() == [10, 20, 30, 40, 60, 80]
    assert visits.spell.tolist() == [-1, 0, 0, 0, -1, 1]
    quiet, provider, both, gateway, *rest = visits.state.tolist()
    assert quiet == QUIET
    assert rest == [quiet, provider]
    assert len({quiet, provider, both, gateway}) == 4
    assert visits.at(np.array([0, 9.9, 10, 35, 79])).tolist() == [0, 0, 1, 3, 5]


def test_without_faults_everything_is_quiet():
    visits = path(environment(), 5, 50)
    assert visits.state.tolist() == [QUIET]
    assert visits.spell.tolist() == [-1]
    assert (visits.start_s.tolist(), visits.end_s.tolist()) == ([5], [50])


def test_severity_and_error_make_states_of_their_own():
    a = path(environment((0, 0, 10, 0.5, 503)), 0, 10).state[0]
    assert a == path(environment((1, 2, 3), (0, 0, 10, 0.5, 503)), 0, 10).state[0]
    assert a != path(environment((0, 0, 10, 0.4, 503)), 0, 10).state[0]
    assert a != path(environment((0, 0, 10, 0.5, 429)), 0, 10).state[0]


def test_overlapping_episodes_of_one_fault_are_one():
    visits = path(environment((0, 0, 10), (0, 5, 20)), 0, 30)
    assert visits.end_s.tolist() == [20, 30]


def test_states_have_the_same_number_in_every_process():
    code = (
        "from analysis.test_states import environment, path;"
        "print(path(environment((0, 0, 5), (1, 3, 9)), 0, 9).state.tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


episodes = st.lists(
    st.tuples(st.integers(0, 1), st.floats(-10, 100), st.floats(0.01, 40)).map(
        lambda t: (t[0], t[1], t[1] + t[2])
    ),
    max_size=15,
)


@given(episodes, st.floats(0, 50), st.floats(1, 50))
def test_visits_tile_the_time_and_agree_with_the_episodes(rows, start, length):
    end = start + length
    visits = path(environment(*rows), start, end)
    assert visits.start_s[0] == start
    assert visits.end_s[-1] == end
    assert np.array_equal(visits.start_s[1:], visits.end_s[:-1])
    assert (visits.seconds > 0).all()
    assert np.array_equal(visits.state == QUIET, visits.spell == -1)
    names = {}
    for middle, state in zip((visits.start_s + visits.end_s) / 2, visits.state, strict=True):
        active = frozenset(code for code, a, b in rows if a <= middle < b)
        assert names.setdefault(int(state), active) == active
    assert len(set(names.values())) == len(names)


def test_law_by_hand():
    law = EnvironmentLaw.from_environment(environment((1, 10, 30), (0, 20, 40), (1, 60, 100)), 0, 100)
    assert dict(zip(law.names, law.shares.round(9), strict=True)) == pytest.approx(
        {"quiet": 0.3, "provider": 0.5, "gateway": 0.1, "gateway and provider": 0.1}
    )
    visits = dict(zip(law.names, law.visits_per_s * 100, strict=True))
    assert visits == pytest.approx({"quiet": 2, "provider": 2, "gateway": 1, "gateway and provider": 1})
    assert law.batch_shares.sum(axis=1) == pytest.approx(1)


def test_law_of_an_alternating_process_is_its_availability():
    # MTBF 30 d and MTTR 1 h: U = 1 / 721; two independent ones overlap U squared of all time.
    fault = {
        "kind": "outage",
        "uptime": {"kind": "exponential", "mean": 30, "unit": "d"},
        "repair": {"kind": "exponential", "mean": 1, "unit": "h"},
    }
    law = environment_law(scenario(a={"faults": [fault]}, b={"faults": [fault]}), seed=1)
    share = dict(zip(law.names, law.shares, strict=True))
    u = 1 / 721
    error = 5 * u * 2**0.5 / 20_000**0.5
    assert share["a"] == pytest.approx(u * (1 - u), abs=error)
    assert share["b"] == pytest.approx(u * (1 - u), abs=error)
    assert share["a and b"] == pytest.approx(u * u, rel=0.5)
    assert law.shares.sum() == pytest.approx(1)


def test_scheduled_faults_have_no_law():
    drawn = {
        "kind": "outage",
        "uptime": {"kind": "exponential", "mean": 2, "unit": "h"},
        "repair": {"kind": "exponential", "mean": 1, "unit": "h"},
    }
    planned = {"kind": "hang", "schedule": [{"start": "3h", "duration": "1h"}]}
    both = scenario(a={"faults": [drawn, planned]}, b={"faults": [planned]})
    full = draw_environment(both, 1, 0, 86_400.0)
    kept = drawn_faults(full)
    assert len(full) == len(kept) + 2
    assert set(kept.kind.tolist()) == {0}
    assert environment_law(both, seed=1).names == ("quiet", "a")
    assert environment_law(scenario(b={"faults": [planned]}), seed=1).names == ("quiet",)
