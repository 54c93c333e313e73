"""A lock that an asyncio policy holds while it awaits would stop a real event loop; here it ends the run."""

from __future__ import annotations

import datetime
import threading
import time

import pytest

from simsla.simulation import run_one, surroundings_held
from simsla.virtualtime.blocking import BlockedLoopError

from . import blocking_policies, locked_policies
from .policies import naive
from .scenarios import scenario


@pytest.mark.parametrize("where", locked_policies.HOLDING)
def test_it_is_named_wherever_the_policy_keeps_it(where):
    with pytest.raises(BlockedLoopError, match=r"asyncio code waits for a threading\.Lock at ") as caught:
        run_one(scenario(horizon=60), locked_policies.HOLDING[where])
    assert f" at {locked_policies.__file__}:" in str(caught.value)


def test_an_rlock_lets_all_of_a_thread_pass_as_ever():
    with surroundings_held():
        log = run_one(scenario(horizon=60), locked_policies.reentrant).log.requests_frame()
    assert set(log["outcome"]) == {"ok"}


def test_runs_with_held_surroundings_are_as_without():
    policies = [naive, blocking_policies.naive, naive]
    alone = [run_one(scenario(horizon=30), policy).log.requests_frame() for policy in policies]
    kinds = threading.Lock, threading.Event, time.time, datetime.datetime.__dict__["now"]
    with surroundings_held():
        for policy, expected in zip(policies, alone, strict=True):
            log = run_one(scenario(horizon=30), policy).log.requests_frame()
            assert log.equals(expected)
            # Between runs it is real time, and locks are locks.
            assert abs(datetime.datetime.now(datetime.UTC).timestamp() - time.time()) < 60
            with threading.Lock():
                pass
    assert kinds == (threading.Lock, threading.Event, time.time, datetime.datetime.__dict__["now"])
