"""A simulation that fails keeps what it had."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

MODULE = """
import time

def sleepy(transport):
    async def handle(request):
        count.append(1)
        if len(count) > 5:
            time.sleep(2)
        return "an answer"
    count = []
    return handle
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_logs_so_far_are_written_and_the_code_is_3(simsla, here, monkeypatch, jobs):
    (here / "sleepy_module.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(here))
    sys.modules.pop("sleepy_module", None)
    out = here / "out"
    command = ("run", "small.yaml", "--policy", "sleepy_module:sleepy", "--out", str(out))
    done = simsla(*command, "--quiet", "--jobs", jobs)
    assert done.exit_code == 3
    assert "BlockedLoopError: time.sleep(2) blocks the event loop" in done.stderr
    assert "sleepy_module.py:8" in done.stderr
    assert f"what was recorded until then is in {out}" in done.stderr
    told = json.loads((out / "partial.json").read_text(encoding="utf-8"))
    assert told["error"].startswith("BlockedLoopError: time.sleep(2)")
    assert told["replications"] == 1
    requests = np.load(out / "requests.npz")
    assert len(requests["arrival_s"]) == told["requests"] >= 5
    assert requests["end_s"].max() <= told["last_replication_until_s"]
    assert not (out / "result.json").exists()
    again = simsla(*command)
    assert again.exit_code == 2
    assert "holds a result already" in again.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("policy", ["at_once", "later"])
def test_a_policy_that_exits_is_no_success(simsla, here, monkeypatch, jobs, policy):
    module = """
import sys

def at_once(transport):
    sys.exit(0)

def later(transport):
    async def handle(request):
        sys.exit(0)
    return handle
"""
    (here / "exiting_module.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(str(here))
    sys.modules.pop("exiting_module", None)
    command = ("run", "small.yaml", "--policy", f"exiting_module:{policy}", "--check")
    done = simsla(*command, "--quiet", "--jobs", jobs, "--out", str(here / "out"))
    assert done.exit_code == 3
    assert "sys.exit(0)" in done.stderr
    assert "exiting_module.py:" in done.stderr
    if policy == "later":
        told = json.loads((here / "out" / "partial.json").read_text(encoding="utf-8"))
        assert told["error"].startswith("PolicyExitError")
