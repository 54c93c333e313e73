"""A Router from a file: the sections `routing` and `deployments` of a scenario."""

import asyncio
import textwrap

import pytest
from routing.fakes import ScriptedTransport, deployment, play

from simsla import Scenario
from simsla.routing import ConfigError, Request, Router
from simsla.routing.production.policy_file import read_policy

POLICY = """
    routing:
      tiers: {standard: [us, eu]}
      retry: {max_attempts: 3}
      deadline_s: 20s
    deployments:
      us:
        model: m
        base_url: "https://us.example/v1"
        api_key_env: SIMSLA_TEST_KEY
        provider: p
        region: us-east-1
      eu:
        model: m
        base_url: "https://eu.example/v1"
        api_key_env: SIMSLA_TEST_KEY
        price: {usd_per_mtok_in: 0.5, usd_per_mtok_out: 2, source: a page, date: 2026-01-01}
        latency: {total: 1}      # for the simulator alone
        errors: {500: 0.01}
        capabilities: [vision]
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "policy.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return written


def test_policy_and_deployments_are_read(write):
    policy, (us, eu) = read_policy(write(POLICY))
    assert policy.tiers["standard"] == ("us", "eu")
    assert policy.deadline_s == 20.0
    assert us.components == ("p", "us-east-1")
    assert (eu.usd_per_mtok_in, eu.usd_per_mtok_out) == (0.5, 2.0)
    assert eu.capabilities == ("vision",)


def test_on_is_a_name_and_no_boolean(write):
    """YAML 1.1 has on, off, yes and no as booleans; the hedge's ``on`` would be the key True."""
    text = "routing: {hedge: {kind: fixed, on: first_token, budget: {ratio: 0.1}}, explain: false}"
    policy, _ = read_policy(write(text))
    assert policy.hedge.on == "first_token"
    assert policy.explain is False
    with pytest.raises(ConfigError, match="true or false, got 'off'"):
        read_policy(write("routing: {explain: off}"))


def test_a_scenario_is_a_policy_file(tmp_path):
    """What was simulated is what is deployed: the same policy, and the same deployments as a policy sees."""
    scenario = Scenario.load("playbook")
    shipped = next(iter(__import__("simsla.scenario.files", fromlist=["x"]).shipped("scenarios").values()))
    assert shipped.name == "playbook.yaml" or shipped.parent.joinpath("playbook.yaml").is_file()
    path = shipped.parent / "playbook.yaml"
    policy, deployments = read_policy(path)
    assert policy == scenario.routing
    assert list(deployments) == [spec.to_deployment() for spec in scenario.deployments.values()]


def test_a_router_over_a_given_transport(write):
    transport = ScriptedTransport([deployment("us"), deployment("eu")])
    router = Router.from_file(write(POLICY), transport)
    assert play(router.handle(Request(1))).deployment == "us"


def test_a_router_with_a_transport_of_its_own(write, monkeypatch):
    monkeypatch.setenv("SIMSLA_TEST_KEY", "sk-secret-of-the-test")

    async def main():
        async with Router.from_file(write(POLICY)) as router:
            return repr(router) + repr(vars(router))

    assert "sk-secret-of-the-test" not in asyncio.run(main())


def test_a_key_that_is_not_set_is_named(write, monkeypatch):
    monkeypatch.delenv("SIMSLA_TEST_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"deployments\.us\.api_key_env.*SIMSLA_TEST_KEY"):
        Router.from_file(write(POLICY))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routing: {retry: {max_attempt: 3}}", r"routing\.retry\.max_attempt: .*did you mean 'max_attempts'"),
        ("routing: {retry: {max_attempts: '3'}}", r"routing\.retry\.max_attempts: expected an integer"),
        ("routing: {retry: {max_attempts: true}}", r"routing\.retry\.max_attempts: expected an integer"),
        (
            "routing: {tiers: {standard: [uss]}}\ndeployments: {us: {model: m}}",
            r"routing\.tiers\.standard\.0.*'us'",
        ),
        ("ruoting: {}", "routing: .*required"),
        ("routing: {policy: 'a:b'}", r"routing\.policy: .*built-in"),
        ("routing: {}\nrouting: {}", "stands here twice"),
        ("routing: !!python/object/apply:os.system ['true']", "plain YAML"),
        ("[1, 2]", "a mapping"),
        ("routing: {}\ndeployments: {us: {model: m, tier: premum}}", r"deployments\.us\.tier.*'premium'"),
        ("routing: {}\ndeployments: {us: {model: m, price: playbok/gpt-4o}}", r"price.*'playbook'"),
        ("routing: {}\ndeployments: {us: {model: m, price: playbook/gpt-4}}", r"price.*'playbook/gpt-4o'"),
        ("routing: {}\ndeployments: {us: {modle: m}}", r"deployments\.us\.modle.*'model'"),
        ("routing: {}", "deployments: .*at least one"),
    ],
)
def test_mistakes_are_refused_with_their_path(write, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Router.from_file(write(text))
    assert "policy.yaml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Router.from_file(tmp_path / "none.yaml")
