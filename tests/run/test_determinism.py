from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from run.logs_of_a_run import hashes
from simulation.policies import hedging
from simulation.runs import digest
from simulation.scenarios import varied

import simsla

ROOT = Path(__file__).resolve().parents[2]


def in_a_process(hash_seed):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "run.logs_of_a_run"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_logs_are_the_same_in_every_process_whatever_its_hash_seed():
    found = [in_a_process(hash_seed) for hash_seed in ("1", "31337")]
    assert found[0] == found[1] == hashes()
    assert len(set(found[0])) == 3


@pytest.mark.parametrize("policy", [None, hedging], ids=["router", "hedging"])
@pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")
def test_logs_and_metrics_are_the_same_at_any_number_of_jobs(policy):
    world = varied(60)
    one, two = (simsla.simulate(world, policy, seed=3, replications=4, n_jobs=jobs) for jobs in (1, 2))
    assert [digest(run) for run in one.runs] == [digest(run) for run in two.runs]
    assert len({digest(run) for run in one.runs}) == 4
    assert one.to_dict() == two.to_dict()
    other = simsla.simulate(world, policy, seed=4, replications=1)
    assert digest(other.runs[0]) not in {digest(run) for run in one.runs}


@pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")
def test_more_replications_begin_with_the_same():
    few, many = (simsla.simulate(varied(60), replications=count) for count in (2, 3))
    assert [digest(run) for run in few.runs] == [digest(run) for run in many.runs[:2]]
