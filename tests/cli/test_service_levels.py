"""`simsla run --until`, and what the report says of promises: months, credits and alerts."""

from __future__ import annotations

import json

import pytest

RUN = ("run", "small.yaml", "--jobs", "1")
CREDITS = "target: 0.5}\n  - {name: paid, metric: availability, target: 0.99, credits: bedrock}"


def test_replications_are_added_until_the_interval_is_narrow_enough(simsla):
    wanted = ("--until", "amplification=0.05", "--until", "latency_p50_s=0.5")
    data = json.loads(simsla(*RUN, "--json", *wanted).stdout)
    assert 2 < data["replications"] < 100
    for name, goal in (("amplification", 0.05), ("latency_p50_s", 0.5)):
        estimate = data["metrics"][name]
        assert (estimate["ci_high"] - estimate["ci_low"]) / 2 <= goal
    assert not any("PrecisionWarning" in each for each in data["warnings"])


def test_the_limit_is_kept_and_told(simsla):
    result = simsla(*RUN, "--until", "amplification=1e-6", "--max-replications", "4")
    assert result.exit_code == 0
    assert "4 replications to 30 min" in result.stdout
    assert "amplification +-" in result.stdout
    assert "where 1e-06 was asked for" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", "availabilty=0.1"), "did you mean 'availability'"),
        (("--until", "availability"), "expected METRIC=HALF_WIDTH such as"),
        (("--until", "availability=tight"), "expected METRIC=HALF_WIDTH such as"),
        (("--until", "availability=-1"), "a half-width above 0"),
        (("--max-replications", "9"), "together with --until"),
        (("--until", "availability=0.1", "--max-replications", "1"), "at least 2, the first replications"),
    ],
)
def test_goals_that_cannot_be_are_bad_usage(simsla, options, said):
    result = simsla(*RUN, *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_the_report_tells_of_months_credits_and_alerts(simsla, here):
    path = here / "small.yaml"
    without_errors = path.read_text().replace("    errors: {500: 0.01}\n", "")
    path.write_text(without_errors.replace("target: 0.5}", CREDITS))
    (here / "first.py").write_text(
        "from simsla.routing import Timeouts\n"
        "def policy(transport):\n    async def handle(request):\n"
        "        return await transport.send(request, transport.deployments[0], timeouts=Timeouts())\n"
        "    return handle\n"
    )
    run = (*RUN, "--policy", "first:policy")
    text = " ".join(simsla(*run).stdout.split())
    # A sixth of each run is down; months are put together from such runs.
    assert "paid: 100 % [" in text
    assert "of months miss it (months of 1440 replications each, drawn at random)" in text
    assert "; expected credit 100 % [" in text
    assert "of the bill (bedrock)." in text
    # From minute 10 on all fail: of all since the start more than 14.4 % in minute 12, 6 % in minute 11.
    assert "paid: alerts that would have fired: page 1 h / 5 min 2 times (first after 12 min" in text
    assert "page 6 h / 30 min 2 times (first after 11 min" in text
    assert "promise: no burn-rate alert would have fired." in text
    (promise, paid, tail) = json.loads(simsla(*run, "--json").stdout)["objectives"]
    assert paid["expected_credit"] == paid["month_miss_probability"] == 1
    assert [alert["fired"] for alert in paid["alerts"]] == [2, 2, 2]
    assert "expected_credit" not in promise
    assert tail["month_budget_s"] == pytest.approx(0.01 * 30 * 86_400)
