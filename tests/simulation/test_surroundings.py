"""What unmodified code finds around it during a run, and what is left of it afterwards."""

from __future__ import annotations

import datetime
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import simsla
from simsla.cli.text import report
from simsla.simulation import run_one

from . import surrounded_policies as policies
from .policies import naive
from .scenarios import deployment, scenario

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
from simsla.simulation import run_one
from simulation.scenarios import scenario
from simulation.surrounded_policies import lucky
run = run_one(scenario(horizon=60), lucky, seed=5)
print(run.log.requests_frame().to_csv())
"""


def world(**values):
    return scenario({"a": deployment(latency={"total": 0.5}, model="m", **values)}, horizon=60)


def test_two_processes_with_other_hashes_have_the_same_luck():
    tests, root = Path(__file__).parents[1], Path(simsla.__file__).parents[1]
    logs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tests), str(root)],
            env=os.environ | {"PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert logs[0] == logs[1]
    assert logs[0].count("\n") > 50


def test_each_replication_has_luck_of_its_own_whatever_was_drawn_before():
    def ends(replication, seed=5):
        return list(run_one(scenario(horizon=60), policies.lucky, seed, replication).requests["end_s"])

    first = ends(0)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert ends(0) == first
    assert ends(1) != first
    assert ends(0, seed=6) != first


def test_global_generators_go_on_as_if_nothing_had_been():
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    run_one(scenario(horizon=60), policies.lucky)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    assert os.urandom(8) != os.urandom(8)
    assert "seed" in vars(random.Random)
    assert random.Random().random() != random.Random().random()


def test_the_date_is_the_scenarios():
    shown = []

    def factory(transport):
        shown.append(datetime.datetime.now(datetime.UTC))

        async def handle(request):
            shown.append(datetime.datetime.now(datetime.UTC))

        return handle

    start = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)
    dated = scenario(horizon=60).with_values({"start": "2027-03-01T12:00Z"})
    run = run_one(dated, factory)
    assert shown[0] == start
    since = [(moment - start).total_seconds() for moment in shown[1:]]
    assert since == pytest.approx(list(run.requests["arrival_s"]), abs=1e-5)
    shown.clear()
    run_one(dated, factory, window=(40.0, 10.0))
    assert shown[0] == start + datetime.timedelta(seconds=40)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_everything_is_as_before_whatever_happens(error):
    def factory(transport):
        async def handle(request):
            if error is KeyboardInterrupt:
                raise error
            return "an answer"

        if error is ValueError:
            raise error
        return handle

    def state():
        return (
            (time.time.__self__, time.sleep.__self__, vars(datetime.datetime)["now"], os.urandom.__self__),
            (threading.Lock, threading.RLock, threading.local, vars(random.Random)["seed"]),
            (random.getstate(), os.environ.get("OPENAI_API_KEY"), list(sys.meta_path)),
        )

    before = state()
    if error is None:
        run_one(scenario(horizon=5), factory)
    else:
        with pytest.raises((error, simsla.simulation.PolicyFactoryError)):
            run_one(scenario(horizon=5), factory)
    assert state() == before
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())


def test_nothing_leaves_the_process(monkeypatch):
    def disabled(*_, **__):
        raise AssertionError("a socket")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, disabled)
    for policy in (policies.over_http, policies.over_blocking_http):
        run = run_one(world(), policy)
        assert set(run.log.requests_frame()["outcome"]) == {"ok"}


def test_runs_in_threads_take_turns_and_are_the_same():
    expected = list(run_one(scenario(horizon=60), policies.lucky, seed=3).requests["end_s"])
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(
                list(run_one(scenario(horizon=60), policies.lucky, seed=3).requests["end_s"])
            )
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


def test_a_run_within_a_run_gives_the_outer_one_back():
    inner = []

    def factory(transport):
        if not inner:
            inner.append(None)
            inner[0] = list(run_one(scenario(horizon=60), policies.lucky, seed=3).requests["end_s"])
        return policies.lucky(transport)

    run_one(scenario(horizon=60), factory)
    assert inner[0] == list(run_one(scenario(horizon=60), policies.lucky, seed=3).requests["end_s"])


# Words on the result


@pytest.mark.parametrize(
    ("policy", "fidelity"),
    [
        (naive, "transport"),
        (policies.over_http, "http"),
        (policies.over_blocking_http, "blocking http"),
        (lambda transport: lambda request: "an answer", "blocking transport"),
    ],
)
def test_a_result_says_how_close_to_production_it_is(policy, fidelity):
    result = simsla.simulate(world(), policy, replications=2, progress=False)
    assert result.fidelity == result.to_dict()["fidelity"] == fidelity
    assert {run.fidelity for run in result.runs} == {fidelity}
    assert (f"fidelity: {fidelity}" in report(result, result.to_dict())) == (fidelity != "transport")
    assert result.sdk_retries == 0
    assert result.sdk_amplification == 1


def test_a_result_says_what_the_sdk_retried():
    result = simsla.simulate(world(), policies.retried_by_an_sdk, replications=2, progress=False)
    assert result.sdk_retries == 0.5
    assert result.sdk_amplification == 2
    assert result.http_calls == len(result.attempts)
    told = report(result, result.to_dict())
    assert f"50.00% of {result.http_calls} HTTP calls were retries of the SDK's own" in told.replace(
        "\n ", ""
    )
    assert {key: result.to_dict()[key] for key in ("sdk_retries", "sdk_amplification")} == {
        "sdk_retries": 0.5,
        "sdk_amplification": 2.0,
    }


def test_a_result_says_which_calls_reached_nobody():
    result = simsla.simulate(world(), policies.lost, replications=2, progress=False)
    ((what, times),) = result.complaints.items()
    assert "api.opena.com" in what
    assert "did you mean https://api.openai.com/v1" in what
    assert times == sum(result.outcomes.values())
    assert f"{times} HTTP calls reached no deployment" in report(result, result.to_dict())
