"""The entries of a `model_list`: each is a deployment of the scenario and one of the Router's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from simsla.scenario.errors import Location, Problem, ScenarioError
from simsla.scenario.files import shipped
from simsla.scenario.importers.imported import Remarks, is_secret
from simsla.scenario.importers.litellm_places import REGIONS, add_key, address_of, provider_of
from simsla.scenario.importers.litellm_settings import ENVIRON
from simsla.scenario.prices import price_card

__all__ = ["Entry", "entries_of"]

_LATENCY: Final[dict[str, Any]] = {
    "first_token": {"kind": "lognormal", "median": 0.5, "p99": 2.0},
    "per_token": {"kind": "lognormal", "median": 15, "p99": 40, "unit": "ms"},
}

_CARRIED: Final = frozenset(
    {
        "cooldown_time",
        "input_cost_per_token",
        "max_completion_tokens",
        "max_parallel_requests",
        "max_retries",
        "max_tokens",
        "num_retries",
        "order",
        "output_cost_per_token",
        "rpm",
        "stream_timeout",
        "timeout",
        "tpm",
        "weight",
    }
)
"""What the Router, or a call, reads of `litellm_params` besides where to call."""

_INFO_CARRIED: Final = frozenset(
    {"allowed_fails", "allowed_fails_policy", "base_model", "cooldown_time", "max_input_tokens", "max_tokens"}
)
_USED: Final = frozenset(
    {"api_base", "base_url", "api_key", "custom_llm_provider", "litellm_credential_name", "model", *REGIONS}
)
_INFO_USED: Final = frozenset({"id", "mode", "input_cost_per_token", "output_cost_per_token", "rpm", "tpm"})
_NO_PART: Final = "no part of routing or of the simulated call"
_CAPABILITIES: Final = {
    "supports_function_calling": "tools",
    "supports_response_schema": "json",
    "supports_vision": "vision",
}


class Entry(NamedTuple):
    """One entry: its model group, the scenario's deployment and the Router's own entry."""

    group: str
    name: str
    provider: str
    region: str | None
    deployment: dict[str, Any]
    option: dict[str, Any]


def entries_of(config: Mapping[str, Any], left_out: Remarks, assumed: Remarks) -> list[Entry]:
    """The entries that can be simulated. Raises ScenarioError where there is none, or one is malformed."""
    listed = config.get("model_list")
    if not isinstance(listed, list) or not listed:
        raise ScenarioError("litellm", [Problem(("model_list",), "a list with at least one model")])
    problems: list[Problem] = []
    read: list[tuple[int, str, dict[str, Any], Mapping[str, Any]]] = []
    credentials = _credentials(config)
    for i, entry in enumerate(listed):
        params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
        if not isinstance(params, Mapping) or not _is_name(params.get("model")):
            at: Location = ("model_list", i) if params is None else ("model_list", i, "litellm_params")
            problems.append(Problem(at, "a mapping with model_name and litellm_params.model"))
            continue
        group = entry.get("model_name")
        if not _is_name(group):
            problems.append(Problem(("model_list", i, "model_name"), "a name", group))
            continue
        info = entry.get("model_info") or {}
        if not isinstance(info, Mapping):
            problems.append(Problem(("model_list", i, "model_info"), "a mapping"))
            continue
        params = {**credentials.get(str(params.get("litellm_credential_name")), {}), **params}
        params |= {key: entry[key] for key in ("rpm", "tpm") if key in entry and key not in params}
        if (why := _not_simulated(group, params["model"], info)) is not None:
            left_out.add(why, "model_list", i)
            continue
        read.append((i, group, params, info))
    if problems:
        raise ScenarioError("litellm", problems)
    if not read:
        raise ScenarioError(
            "litellm", [Problem(("model_list",), "at least one chat model without wildcards")]
        )
    names = _names([(group, info) for _, group, _, info in read])
    return [
        _entry(i, group, name, params, info, left_out, assumed)
        for (i, group, params, info), name in zip(read, names, strict=True)
    ]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _credentials(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The values of `credential_list` by name."""
    found: dict[str, Mapping[str, Any]] = {}
    listed = config.get("credential_list")
    for each in listed if isinstance(listed, list) else ():
        values = each.get("credential_values") if isinstance(each, Mapping) else None
        if isinstance(values, Mapping):
            found[str(each.get("credential_name"))] = values
    return found


def _not_simulated(group: str, model: str, info: Mapping[str, Any]) -> str | None:
    if "*" in group or "*" in model:
        return "a wildcard stands for models that are not named"
    if model.startswith(("auto_router/", "complexity_router", "quality_router", "adaptive_router")):
        return "routers within the Router are not simulated"
    mode = info.get("mode", "chat")
    if mode not in ("chat", "completion", "responses"):
        return f"requests of mode {mode} are not simulated"
    return None


def _names(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Names of deployments: their own id, else their group and, where it has several, a number."""
    groups = [group for group, _ in entries]
    taken: set[str] = set()
    counts: dict[str, int] = {}
    names = []
    for group, info in entries:
        counts[group] = counts.get(group, 0) + 1
        name = str(info.get("id") or (group if groups.count(group) == 1 else f"{group}-{counts[group]}"))
        while name in taken:
            name += "'"
        taken.add(name)
        names.append(name)
    return names


def _entry(
    i: int,
    group: str,
    name: str,
    params: Mapping[str, Any],
    info: Mapping[str, Any],
    left_out: Remarks,
    assumed: Remarks,
) -> Entry:
    here = ("model_list", i, "litellm_params")
    provider, model = provider_of(params)
    option_params: dict[str, Any] = {"model": params["model"]}
    for key, value in params.items():
        if key in _USED or value is None:
            continue
        if key not in _CARRIED:
            left_out.add("a credential" if is_secret(key) else _NO_PART, *here, key)
        elif isinstance(value, str) and value.startswith(ENVIRON):
            variable = value.removeprefix(ENVIRON)
            left_out.add(f"its value is in the environment variable {variable}; write it here", *here, key)
        else:
            option_params[key] = value
    option_info: dict[str, Any] = {"id": name}
    for key, value in info.items():
        if key in _INFO_CARRIED and value is not None:
            option_info[key] = value
        elif key not in _INFO_USED and key not in _CAPABILITIES and value is not None:
            left_out.add(_NO_PART, "model_list", i, "model_info", key)
    base_model = info.get("base_model") or params.get("base_model")
    if isinstance(base_model, str):
        model = base_model.rpartition("/")[2]
    region = next((str(params[key]) for key in REGIONS if params.get(key)), None)
    deployment: dict[str, Any] = {"model": model, "provider": provider}
    if region is not None:
        deployment["region"] = region
    deployment["base_url"] = address_of(provider, region, params, here, left_out, assumed)
    add_key(deployment, params.get("api_key"), here, left_out)
    if provider != "openai":
        left_out.add(
            f"{provider}'s own protocol: it is called by OpenAI's, so that texts of errors are OpenAI's",
            *here,
            "model",
        )
    window = info.get("max_input_tokens")
    if isinstance(window, int) and not isinstance(window, bool) and window > 0:
        deployment["context_window"] = window
    capabilities = [word for key, word in _CAPABILITIES.items() if info.get(key) is True]
    if capabilities:
        deployment["capabilities"] = capabilities
    for limit in ("rpm", "tpm"):
        value = params.get(limit, info.get(limit))
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            deployment[limit] = float(value)
            option_params.setdefault(limit, value)
    deployment["price"] = _price(model, params, info, name, assumed)
    deployment["latency"] = {key: dict(spec) for key, spec in _LATENCY.items()}
    assumed.add(
        "first token after 0.5 s and 15 ms per token in the median: a configuration has no latencies",
        "deployments",
        name,
        "latency",
    )
    option = {"model_name": group, "litellm_params": option_params, "model_info": option_info}
    return Entry(group, name, provider, region, deployment, option)


def _price(
    model: str, params: Mapping[str, Any], info: Mapping[str, Any], name: str, assumed: Remarks
) -> Any:
    """The price given, else that of a shipped price card, else none."""
    given = {
        key: params.get(f"{key}_cost_per_token", info.get(f"{key}_cost_per_token"))
        for key in ("input", "output")
    }
    if all(
        isinstance(each, int | float) and not isinstance(each, bool) and each >= 0 for each in given.values()
    ):
        return {
            "usd_per_mtok_in": float(given["input"]) * 1e6,
            "usd_per_mtok_out": float(given["output"]) * 1e6,
        }
    for card in reversed(list(shipped("prices"))):
        if model in price_card(card).models:
            assumed.add(f"the price of {model} on the card {card}", "deployments", name, "price")
            return f"{card}/{model}"
    assumed.add("it costs nothing: no price is given, and none is on a card", "deployments", name, "price")
    return {"usd_per_mtok_in": 0.0, "usd_per_mtok_out": 0.0}
