"""Which deployment a call is meant for."""

from __future__ import annotations

import httpx2
import openai
import pytest
from world.endpoint.worlds import URL, play, world

from simsla.routing import Deployment
from simsla.scenario import Scenario, ScenarioError
from simsla.world.endpoint import Endpoint, keys_in_environment
from simsla.world.endpoint.addresses import Addresses, Refused, UnknownAddress, canonical


def addresses(*deployments, environ=None):
    return Addresses([Deployment(**each) for each in deployments], (), environ or {})


def found(known, url, model="m", key=None):
    target = known.target(url)
    return known.deployment(target.place, target.model or model, key).name


US = {"name": "us", "model": "m", "base_url": "https://us.example/v1"}
EU = {"name": "eu", "model": "m", "base_url": "https://eu.example/v1"}


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("https://Gateway.Example/v1", "https://gateway.example/v1/"),
        ("https://gateway.example:443/v1", "https://gateway.example/v1"),
        ("http://gateway.example:80", "http://gateway.example/"),
        ("https://gateway.example//v1", "https://gateway.example/v1?api-version=1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/"),
    ],
)
def test_what_makes_no_difference_in_an_address(written, same):
    assert canonical(written) == canonical(same)


@pytest.mark.parametrize(
    "other", ["http://gateway.example/v1", "https://gateway.example/v2", "https://gateway.example:8443/v1"]
)
def test_what_makes_a_difference(other):
    assert canonical("https://gateway.example/v1") != canonical(other)


def test_by_base_url():
    known = addresses(US, EU)
    assert found(known, "https://us.example/v1/chat/completions") == "us"
    assert found(known, "https://EU.example:443/v1/chat/completions?beta=1") == "eu"


def test_a_deployment_without_an_address_is_at_openais_own():
    known = addresses({"name": "own", "model": "m"}, US)
    assert found(known, "https://api.openai.com/v1/chat/completions") == "own"


def test_the_longest_of_two_addresses_that_fit_is_meant():
    near = {"name": "near", "model": "m", "base_url": "https://us.example"}
    known = addresses(near, US)
    assert found(known, "https://us.example/v1/chat/completions") == "us"
    assert found(known, "https://us.example/chat/completions") == "near"
    with pytest.raises(UnknownAddress):
        addresses(US).target("https://us.example/v1beta/chat/completions")


def test_an_address_written_with_or_without_its_version():
    known = addresses({"name": "near", "model": "m", "base_url": "https://us.example"})
    assert found(known, "https://us.example/v1/chat/completions") == "near"


def test_by_model_or_by_the_name_of_the_deployment():
    known = addresses(US | {"model": "small"}, US | {"name": "big-one", "model": "big"})
    url = "https://us.example/v1/chat/completions"
    assert found(known, url, "small") == "us"
    assert found(known, url, "big") == "big-one"
    assert found(known, url, "big-one") == "big-one"
    with pytest.raises(Refused, match="no model 'bigg'; did you mean 'big'") as caught:
        found(known, url, "bigg")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    with pytest.raises(Refused, match="it has 'small', 'us', 'big', 'big-one'"):
        found(known, url, "qqqqqq")


def test_azure_has_the_deployment_in_its_path_and_a_header_for_its_key():
    known = addresses(US | {"base_url": "https://a.openai.azure.com"})
    assert found(known, "https://a.openai.azure.com/openai/deployments/us/chat/completions?v=1", None) == "us"
    seen = []

    def factory(transport):
        client = openai.AsyncAzureOpenAI(
            azure_endpoint="https://a.openai.azure.com",
            api_version="2024-10-21",
            api_key="key-us",
            max_retries=0,
        )

        async def handle(request):
            seen.append(await client.chat.completions.create(model="us", messages=request.messages))

        return handle

    scenario = world({"us": {"api_key": "key-us", "base_url": "https://a.openai.azure.com"}}, horizon=5.0)
    assert set(play(scenario, factory).outcomes()) == {"ok"}


def test_of_deployments_that_share_address_and_model_the_one_with_the_calls_key_is_meant():
    shared = {"model": "m", "base_url": URL}
    known = addresses(
        {"name": "us", "api_key_env": "KEY_US", **shared},
        {"name": "eu", "api_key_env": "KEY_EU", **shared},
        environ={"KEY_US": "key-us", "KEY_EU": "key-eu"},
    )
    url = f"{URL}/chat/completions"
    assert found(known, url, key="key-us") == "us"
    assert found(known, url, key="key-eu") == "eu"
    for wrong in ("key-ap", None, ""):
        with pytest.raises(Refused, match="none of those of 'us', 'eu'") as caught:
            found(known, url, key=wrong)
        assert caught.value.status == 401
        assert "key-" not in str(caught.value)


def test_a_deployment_without_a_key_takes_any():
    known = addresses(US)
    assert found(known, "https://us.example/v1/chat/completions", key="whatever") == "us"
    assert found(known, "https://us.example/v1/chat/completions", key=None) == "us"


def test_deployments_that_nothing_tells_apart_are_refused_with_what_to_do():
    shared = {"model": "m", "base_url": URL}
    known = addresses({"name": "us", **shared}, {"name": "eu", **shared})
    with pytest.raises(
        Refused, match=r"'us', 'eu' all answer to model 'm' .* give each a base_url, an api_key"
    ):
        found(known, f"{URL}/chat/completions")
    assert found(known, f"{URL}/chat/completions", "eu") == "eu"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://us.exmaple/v1/chat/completions", "did you mean https://us.example/v1 (deployment 'us')?"),
        ("https://us.example/chat/completions", "did you mean https://us.example/v1 (deployment 'us')?"),
        ("http://us.example/v1/chat/completions", "did you mean https://us.example/v1 (deployment 'us')?"),
        ("https://raw.githubusercontent.com/x", "it has 'us' at https://us.example/v1, 'eu' at"),
    ],
)
def test_an_unknown_address_names_the_nearest_deployment(url, hint):
    with pytest.raises(UnknownAddress) as caught:
        addresses(US, EU).target(url)
    assert hint in str(caught.value)


def test_keys_are_in_no_repr():
    spec = world().deployments["us"]
    endpoint = Endpoint(type("T", (), {"deployments": [spec.to_deployment()]})(), [spec])
    for shown in (repr(endpoint), repr(endpoint._addresses), repr(spec), repr(world()), spec.to_deployment()):
        assert "key-us" not in str(shown)


# What a policy sees


def asking(url, *, model="gpt-4o", key="key-us", path="/chat/completions", method="POST"):
    seen = []

    def factory(transport):
        http = httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"})

        async def handle(request):
            body = {"model": model, "messages": list(request.messages)}
            try:
                seen.append(await http.request(method, f"{url}{path}", json=body))
            except httpx2.HTTPError as error:
                seen.append(error)

        return handle

    return factory, seen


def test_a_call_to_an_unknown_address_fails_like_one_to_a_host_that_is_not_there():
    factory, seen = asking("https://gatway.example/v1")
    played = play(world(horizon=20.0), factory)
    assert type(seen[0]) is httpx2.ConnectError
    assert "did you mean https://gateway.example/v1 (deployment 'us')?" in str(seen[0])
    ((complaint, times),) = played.run.complaints.items()
    assert complaint == str(seen[0])
    assert times == len(seen) > 1


@pytest.mark.parametrize(
    ("how", "status", "code", "says"),
    [
        ({"model": "gpt4o"}, 404, "model_not_found", "did you mean 'gpt-4o'?"),
        ({"key": "key-eu"}, 401, "invalid_api_key", "none of those of 'us'"),
        ({"path": "/embeddings"}, 404, "unknown_url", "no 'embeddings'"),
        ({"path": "/chat/completions", "method": "PUT"}, 405, "method_not_allowed", "PUT"),
        ({"path": "/models", "method": "POST"}, 405, "method_not_allowed", "POST"),
    ],
)
def test_calls_that_reach_no_deployment_are_answered_and_counted(how, status, code, says):
    factory, seen = asking(URL, **how)
    played = play(world(horizon=20.0), factory)
    assert seen[0].status_code == status
    assert seen[0].json()["error"]["code"] == code
    assert says in seen[0].json()["error"]["message"]
    assert sum(played.run.complaints.values()) == len(seen)
    assert not played.attempts("request")


# Keys of the environment, and of the scenario


def test_variables_that_are_not_set_have_made_up_keys_meanwhile(monkeypatch):
    monkeypatch.setenv("KEY_EU", "real")
    monkeypatch.setenv("KEY_AP", " ")
    for name in ("KEY_US", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shared = {"model": "m", "base_url": URL}
    deployments = [
        Deployment(name="us", api_key_env="KEY_US", **shared),
        Deployment(name="eu", api_key_env="KEY_EU", **shared),
        Deployment(name="ap", api_key_env="KEY_AP", **shared),
        Deployment(name="own", model="m"),
        Deployment(name="none", **shared),
    ]
    import os

    before = dict(os.environ)
    with keys_in_environment(deployments):
        assert os.environ["KEY_EU"] == "real"
        made_up = {os.environ[name] for name in ("KEY_US", "KEY_AP", "OPENAI_API_KEY")}
        assert len(made_up) == 3
        known = Addresses(deployments)
        assert found(known, f"{URL}/chat/completions", key=os.environ["KEY_US"]) == "us"
        assert found(known, f"{URL}/chat/completions", key="real") == "eu"
        assert found(known, f"{URL}/chat/completions", key="other") == "none"
    assert dict(os.environ) == before


def scenario(**us):
    data = world().to_dict()
    data["deployments"]["us"].update(us)
    return Scenario.from_dict(data)


def test_a_key_in_a_scenario_survives_its_way_to_a_file_and_back():
    assert scenario().to_dict()["deployments"]["us"]["api_key"] == "key-us"
    assert Scenario.from_dict(world().to_dict()) == world()


@pytest.mark.parametrize("key", ["", "  ", 5, "kéy", "a\nb"])
def test_what_can_be_no_key_is_refused_and_not_shown(key):
    with pytest.raises(ScenarioError, match=r"deployments\.us\.api_key") as caught:
        scenario(api_key=key)
    assert "kéy" not in str(caught.value)


def test_one_key_is_enough():
    with pytest.raises(
        ScenarioError, match=r"deployments\.us\.api_key: expected no api_key beside"
    ) as caught:
        scenario(api_key_env="KEY_US")
    assert "key-us" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example/v1",
        "ftp://a.example",
        "https://",
        "https://a.example:x",
        "https://a b",
        "https://a/?q=1",
        "https://u:p@a.example",
    ],
)
def test_what_can_be_no_base_url_is_refused(url):
    with pytest.raises(ScenarioError, match=r"deployments\.us\.base_url: expected a base URL such as"):
        scenario(base_url=url)
