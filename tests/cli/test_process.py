"""What only a process of its own shows: streams, signals, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIMSLA = (sys.executable, "-m", "simsla")

# Tells by a file that it runs, and in which process.
MARKING = """\
import os
from pathlib import Path


def build(transport):
    Path(f"{os.getpid()}.started").touch()

    async def handle(request):
        return "an answer"

    return handle
"""


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    import simsla

    monkeypatch.setenv("PYTHONPATH", str(Path(simsla.__file__).parents[1]))


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a dead one whose parent is gone too may wait to be collected."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return not state.strip().startswith("Z") and bool(state.strip())


def test_standard_output_is_json_alone(here):
    ran = subprocess.run((*SIMSLA, "run", "small.yaml", "--json"), capture_output=True, text=True)
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["scenario"] == "small"
    assert all(line.startswith(("note: ", "  ")) for line in ran.stderr.splitlines())


def test_a_wrong_scenario_ends_with_one_message(here):
    (here / "wrong.yaml").write_text("horizon: 1h\ntrafic: {}\n")
    ran = subprocess.run((*SIMSLA, "run", "wrong.yaml"), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "did you mean 'traffic'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_closed_pipe_is_quiet(here):
    shown = subprocess.Popen((*SIMSLA, "schema"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shown.stdout.close()
    assert shown.wait(60) == 141
    assert shown.stderr.read() == b""
    shown.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="a signal to a process group")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_with_130_and_leaves_no_process(here, jobs):
    (here / "marking.py").write_text(MARKING)
    command = ("run", "small.yaml", "--horizon", "100y", "--policy", "marking:build", "--jobs", str(jobs))
    with subprocess.Popen(
        (*SIMSLA, *command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        deadline = time.monotonic() + 60
        while len(started := list(here.glob("*.started"))) < jobs:
            assert running.poll() is None, running.stderr.read()
            assert time.monotonic() < deadline, "the simulation did not start"
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        try:
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, out, err) == (130, "", "interrupted\n")
    workers = [int(path.stem) for path in started]
    assert not any(map(is_alive, workers))
