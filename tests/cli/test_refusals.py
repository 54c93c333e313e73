"""Bad input through the command line: one clear message, exit code 2, no traceback."""

from __future__ import annotations

import pytest
from cli.conftest import SMALL

REFUSED = {
    "unknown key": ("horizon:", "horizn:", ["horizn", "did you mean 'horizon'"]),
    "unknown nested key": ("provider: acme", "providr: acme", ["deployments.main.providr", "'provider'"]),
    "negative rate": ("rate: 0.2", "rate: -0.2", ["traffic.chat.arrivals", "-0.2"]),
    "probability above 1": ("500: 0.01", "500: 1.01", ["deployments.main.errors", "1.01"]),
    "dangling component": ("provider: acme", "provider: acne", ["deployments.main.provider", "'acme'"]),
    "unknown distribution": ("kind: lognormal", "kind: lognromal", ["per_token", "'lognormal'"]),
    "unknown fault": ("kind: outage", "kind: outrage", ["components.acme.faults[0]", "outage"]),
    "unknown metric": ("latency_p99_s", "latency_p99", ["objectives[1].metric", "'latency_p99_s'"]),
}


def assert_refused(result, *said: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for words in said:
        assert words in result.stderr


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(("right", "wrong", "said"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_scenario_is_refused(simsla, here, command, right, wrong, said):
    assert right in SMALL
    (here / "wrong.yaml").write_text(SMALL.replace(right, wrong, 1))
    assert_refused(simsla(command, "wrong.yaml"), "error: wrong.yaml", *said)


@pytest.mark.parametrize("text", ["- a list\n", "just text\n", "", "a: [1\n", "a: 1\na: 2\n"])
def test_yaml_that_is_no_mapping_is_refused(simsla, here, text):
    (here / "wrong.yaml").write_text(text)
    assert_refused(simsla("validate", "wrong.yaml"), "error: wrong.yaml", "expected")


@pytest.mark.parametrize("command", ["run", "validate"])
def test_empty_traffic_is_refused(simsla, here, command):
    start, end = SMALL.index("traffic:"), SMALL.index("objectives:")
    (here / "wrong.yaml").write_text(SMALL[:start] + "traffic: {}\n" + SMALL[end:])
    assert_refused(simsla(command, "wrong.yaml"), "wrong.yaml", "traffic")


def test_a_python_tag_runs_nothing(simsla, here):
    text = SMALL.replace("name: small", "name: !!python/object/apply:os.mkdir [made]")
    (here / "wrong.yaml").write_text(text)
    assert_refused(simsla("run", "wrong.yaml"), "wrong.yaml", "line 1")
    assert not (here / "made").exists()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_missing_file_is_refused_with_the_nearest(simsla, command):
    assert_refused(simsla(command, "smal.yaml"), "smal.yaml", "did you mean 'small.yaml'")
    assert_refused(simsla(command, "playbok"), "did you mean 'playbook'")


def test_a_malformed_trace_row_is_refused_with_its_line(simsla, here):
    rows = "2024-01-01 00:00:01,100,20\n2024-01-01 00:00:02,100,many\n"
    (here / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    assert_refused(simsla("run", "small.yaml", "--trace", "trace.csv"), "trace.csv", "line 3", "many")


def test_a_missing_trace_is_refused(simsla):
    assert_refused(simsla("run", "small.yaml", "--trace", "none.csv"), "none.csv")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seed", "-1"), "--seed"),
        (("--seed", "x"), "--seed"),
        (("--replications", "0"), "--replications"),
        (("--jobs", "0"), "--jobs"),
        (("--horizon", "7 fortnights"), "horizon: expected a duration"),
        (("--horizon", "0"), "horizon: expected a duration above 0"),
        (("--warmup", "1h"), "warmup: expected a duration below the horizon"),
        (("--polcy", "a:b"), "--polcy"),
        (("--policy", "nonsense"), "package.module:factory"),
        (("--policy", "no_such_module_:build"), "no_such_module_"),
        (("--policy", "json:dumbs"), "did you mean 'dumps'"),
    ],
)
def test_a_wrong_option_is_refused(simsla, options, said):
    assert_refused(simsla("run", "small.yaml", "--jobs", "1", *options), said)


def test_a_policy_that_is_none_is_refused(simsla, here):
    (here / "policies.py").write_text(
        "def nothing(transport):\n    return None\n"
        "def yielding(transport):\n    def handle(request):\n        yield 1\n    return handle\n"
    )
    run = ("run", "small.yaml", "--jobs", "1", "--policy")
    assert_refused(simsla(*run, "policies:nothing"), "policies:nothing", "must return handle(request)")
    assert_refused(simsla(*run, "policies:yielding"), "policies:yielding", "must return the answer")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_failing_factory_is_a_failed_simulation_with_its_place(simsla, here, jobs):
    (here / f"failing{jobs}.py").write_text("def build(transport):\n    return {}['endpoint']\n")
    run = ("run", "small.yaml", "--jobs", jobs, "--policy", f"failing{jobs}:build")
    result = simsla(*run)
    assert result.exit_code == 3
    assert "KeyError: 'endpoint'" in result.stderr
    assert f"failing{jobs}.py, line 2, in build" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in simsla(*run, "--traceback").stderr


def test_a_policy_that_waits_for_ever_ends_at_the_deadline(simsla, here):
    (here / "forever.py").write_text(
        "import asyncio\n"
        "def build(transport):\n"
        "    async def handle(request):\n        await asyncio.Future()\n    return handle\n"
    )
    result = simsla("run", "small.yaml", "--jobs", "1", "--policy", "forever:build")
    assert result.exit_code == 0
    assert "outcomes: timeout " in result.stdout


@pytest.mark.slow
def test_virtual_time_that_cannot_go_on_is_a_failed_simulation(simsla, here):
    (here / "spinning.py").write_text(
        "import asyncio\n"
        "def build(transport):\n    async def handle(request):\n        while True:\n"
        "            await asyncio.sleep(0)\n    return handle\n"
    )
    result = simsla("run", "small.yaml", "--jobs", "1", "--policy", "spinning:build")
    assert result.exit_code == 3
    assert "LivelockError" in result.stderr
    assert "Traceback" not in result.stderr
