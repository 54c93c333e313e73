"""A lock that an asyncio policy holds while it awaits would stop a real event loop; here it ends the run."""

from __future__ import annotations

import threading

import pytest

from simsla.simulation import run_one
from simsla.simulation.surroundings import surroundings_held
from simsla.virtualtime.blocking import BlockedLoopError

from .locked_policies import HOLDING
from .scenarios import scenario

HURRIED = {"arrival": {"kind": "deterministic", "rate": "10/s"}}


@pytest.mark.parametrize("where", [where for where in HOLDING if where != "a list in a dictionary"])
def test_it_is_named_wherever_the_policy_keeps_it(where):
    with pytest.raises(BlockedLoopError, match=r"asyncio code waits for a threading\.") as caught:
        run_one(scenario(horizon=60), HOLDING[where])
    print(caught.value)


def test_x():
    run_one(scenario(horizon=60), HOLDING["a list in a dictionary"])
