"""A seed is a whole number, whoever asks for it."""

from __future__ import annotations

import numpy as np
import pytest

import simsla
from simsla.world.faults import timeline

SCENARIO = simsla.Scenario.load("single-provider").with_values({"horizon": "2h", "warmup": 0})

TAKES_A_SEED = {
    "simulate": lambda seed: simsla.simulate(SCENARIO, seed=seed, replications=2, progress=False),
    "sweep": lambda seed: simsla.sweep(SCENARIO, {"horizon": ["1h"]}, seed=seed, progress=False),
    "estimate_availability": lambda seed: simsla.estimate_availability(SCENARIO, seed=seed, years=1),
    "timeline": lambda seed: timeline(SCENARIO, 1, seed),
}


@pytest.mark.parametrize("seed", [1.0, True, "1", None])
@pytest.mark.parametrize("takes_it", TAKES_A_SEED.values(), ids=TAKES_A_SEED)
def test_anything_else_is_refused(takes_it, seed):
    with pytest.raises(ValueError, match="seed: expected a whole number, got"):
        takes_it(seed)


@pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")
def test_a_whole_number_of_numpy_is_the_same_one():
    simulate = TAKES_A_SEED["simulate"]
    one, other = simulate(3), simulate(np.int64(3))
    assert one.requests.equals(other.requests)
    assert one.to_dict() == other.to_dict()
