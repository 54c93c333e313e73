"""Every process can be entered anywhere, and meets there what a full run would meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world.arriving import arriving

HORIZON_S = 20_000.0

MMPP3 = [{"rate": 3, "mean": 100}, {"rate": 0, "mean": 40}, {"rate": 0.5, "mean": 300}]
PROFILE = {"daily": {"00:00": 0.2, "02:00": 1.5, "04:30": 0.5}, "weekly": {"mon": 2, "tue": 0}}
SURGES = [
    {"at": "1h", "for": "20min", "factor": 6, "ramp": "5min"},
    {"at": "70min", "for": "5min", "factor": 0},
]

PROCESSES = {
    "profile": {"kind": "poisson", "rate": 1, "profile": PROFILE},
    "surges": {"kind": "poisson", "rate": 1, "surges": SURGES},
    "dispersion": {"kind": "poisson", "rate": 0.5, "dispersion": {"index": 9, "window": "60s"}},
    "mmpp": {"kind": "mmpp", "states": [{"rate": 0.1, "mean": "10min"}, {"rate": 4, "mean": "1min"}]},
    "mmpp of three": {"kind": "mmpp", "states": MMPP3},
    "everything": {
        "kind": "poisson",
        "rate": 0.5,
        "profile": PROFILE,
        "surges": SURGES,
        "dispersion": {"index": 9, "window": "60s"},
    },
    "gamma": {"kind": "gamma", "rate": 1, "cv": 3},
    "regular": {"kind": "gamma", "rate": 1, "cv": 0.2},
    "gamma with a shape": {"kind": "gamma", "rate": 1, "cv": 3, "profile": PROFILE, "surges": SURGES},
}


@pytest.fixture(scope="module", params=PROCESSES)
def process(request):
    arrivals = PROCESSES[request.param]
    return arrivals, *arriving(arrivals, 0, HORIZON_S)


def test_arrivals_are_in_order_and_have_numbers_of_their_own(process):
    _, moments, numbers = process
    assert len(moments) > 2000
    assert (np.diff(moments) >= 0).all()
    assert (np.diff(numbers) > 0).all()
    assert moments.min() >= 0
    assert moments.max() < HORIZON_S


def test_equal_seeds_give_equal_arrivals_and_others_do_not(process):
    arrivals, moments, numbers = process
    again = arriving(arrivals, 0, HORIZON_S)
    assert (again[0] == moments).all()
    assert (again[1] == numbers).all()
    for other in ({"seed": 2}, {"replication": 1}):
        assert not np.array_equal(arriving(arrivals, 0, HORIZON_S, **other)[0][:100], moments[:100])


@settings(max_examples=25, deadline=None)
@given(begin=st.floats(0, HORIZON_S - 1), length=st.floats(0.1, 9000))
def test_any_window_is_a_part_of_the_whole(process, begin, length):
    arrivals, moments, numbers = process
    end = min(begin + length, HORIZON_S)
    part, part_numbers = arriving(arrivals, begin, end)
    inside = (moments >= begin + 1e-6) & (moments < end - 1e-6)
    clear = (part >= begin + 1e-6) & (part < end - 1e-6)
    assert part_numbers[clear].tolist() == numbers[inside].tolist()
    np.testing.assert_allclose(part[clear], moments[inside], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_window_after_many_years_is_entered_at_once_and_is_like_the_others(name):
    begin = 3e9
    moments, numbers = arriving(PROCESSES[name], begin, begin + 7 * 86_400)
    mean = {"mmpp": 5 / 11, "mmpp of three": 450 / 440, "dispersion": 0.5, "everything": 0.5}.get(name, 1)
    assert len(moments) == pytest.approx(mean * 7 * 86_400, rel=0.06)
    assert (np.diff(numbers) > 0).all()


@pytest.mark.parametrize("name", ["dispersion", "mmpp of three"])
def test_one_long_look_and_many_short_ones_see_the_same_states(name):
    """The state of the chain is found from wherever it is entered."""
    whole, _ = arriving(PROCESSES[name], 0, 5000)
    parts = [arriving(PROCESSES[name], begin, begin + 50)[0] for begin in range(0, 5000, 50)]
    assert [len(part) for part in parts] == np.histogram(whole, np.arange(0, 5001, 50))[0].tolist()
