"""Worker processes iterate sets of texts in one order, whatever the order is where they were started."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from simulation.scenarios import deployment, scenario, traffic

from simsla.cli.text import fidelity
from simsla.run import simulate
from simsla.simulation.hashes import fixed_hashes

NAMES = [f"deployment-{i}" for i in range(8)]


def world():
    return scenario({name: deployment() for name in NAMES}, {"chat": traffic(1.0)}, horizon=30.0)


def of_a_set(transport):
    """A policy that goes round in the order of a set of texts."""
    from simsla.routing import Timeouts

    names = {each.name: each for each in transport.deployments}
    order = list(set(names))

    async def handle(request):
        chosen = names[order[request.id % len(order)]]
        return await transport.send(request, chosen, timeouts=Timeouts())

    return handle


def ordered(hash_seed: str | None) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    if hash_seed is not None:
        environment["PYTHONHASHSEED"] = hash_seed
    program = f"import json; print(json.dumps(list(set(dict.fromkeys({NAMES!r})))))"
    told = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    return list(json.loads(told))


@pytest.fixture
def no_seed(monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)


def test_workers_have_the_order_of_seed_zero(no_seed):
    result = simulate(world(), of_a_set, n_jobs=2, replications=2, progress=False)
    order = ordered("0")
    assert result.hash_seed == 0
    expected = [order[request % len(order)] for request in result.attempts.request]
    assert list(result.attempts.deployment) == expected


def test_the_result_says_whether_hashes_were_fixed(no_seed, monkeypatch):
    monkeypatch.setattr("simsla.simulation.hashes._AT_START", "random")
    result = simulate(world(), of_a_set, replications=1, progress=False)
    assert result.hash_seed is None
    result.fidelity = "http"
    assert "texts hashed at random" in fidelity(result).replace("\n  ", " ")
    result.hash_seed = 0
    assert "PYTHONHASHSEED=0" in fidelity(result)


def test_only_processes_started_meanwhile_have_a_seed(no_seed):
    with fixed_hashes():
        assert os.environ["PYTHONHASHSEED"] == "0"
    assert "PYTHONHASHSEED" not in os.environ


@pytest.mark.parametrize(("before", "meanwhile"), [("7", "7"), ("random", "0")])
def test_a_seed_that_was_set_is_kept(monkeypatch, before, meanwhile):
    monkeypatch.setenv("PYTHONHASHSEED", before)
    with fixed_hashes():
        assert os.environ["PYTHONHASHSEED"] == meanwhile
    assert os.environ["PYTHONHASHSEED"] == before
