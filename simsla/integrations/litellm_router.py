"""`litellm.Router`, the real one, as a policy.

    simsla run three-providers --policy simsla.integrations.litellm_router:policy

runs it with its defaults on any scenario; `simsla import litellm config.yaml` makes a scenario that runs it
as a LiteLLM configuration says. Everything that routes is litellm's own code: strategies, cooldowns, retries,
fallbacks. Only its callees are the world's. `pip install 'simsla[litellm]'` brings a version that can.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from simsla.integrations.litellm_state import local_prices
from simsla.routing.errors import nearest
from simsla.scenario.importers.litellm_settings import MODULE_SETTINGS
from simsla.world.endpoint import NAMED_BY_KEY, OPENAI_URL

if TYPE_CHECKING:
    from simsla.routing import Deployment, Request, Transport

__all__ = ["policy"]

try:
    with local_prices():
        import litellm
except ImportError as error:
    raise ImportError(f"litellm cannot be imported ({error}): pip install 'simsla[litellm]'") from error


def policy(
    transport: Transport,
    *,
    model_list: Sequence[Mapping[str, Any]] | None = None,
    router_settings: Mapping[str, Any] | None = None,
    litellm_settings: Mapping[str, Any] | None = None,
    models: Mapping[str, str] | None = None,
) -> Callable[[Request], Awaitable[Any]]:
    """The policy that asks a `litellm.Router`.

    `model_list` is as in a LiteLLM configuration, but that an entry's `model_info.id` is the name of a
    deployment of the scenario, which is where it is called. Without it each deployment is in a model group
    that has the name of its tier. `router_settings` are arguments of the Router, `litellm_settings`
    attributes of the module that the Router reads.

    `models` names the model group for a request class. A class without one asks for the group of its own
    name, else of its tier, else for the only one.

    Raises ValueError for an entry or a setting that there is no place for, and what the Router raises.
    """
    for name, value in (litellm_settings or {}).items():
        if name not in MODULE_SETTINGS:
            hint = nearest(name, MODULE_SETTINGS)
            meant = f"; did you mean {hint!r}?" if hint else ""
            raise ValueError(f"litellm_settings: the Router reads no {name!r}{meant}")
        setattr(litellm, name, copy.deepcopy(value))
    deployments = {deployment.name: deployment for deployment in transport.deployments}
    if model_list is None:
        entries = [_own_entry(deployment) for deployment in deployments.values()]
    else:
        entries = [_entry(given, i, deployments) for i, given in enumerate(model_list)]
    settings = copy.deepcopy(dict(router_settings or {}))
    router = litellm.Router(model_list=entries, **settings)
    groups = [
        *dict.fromkeys(entry["model_name"] for entry in entries),
        *(settings.get("model_group_alias") or ()),
    ]
    group_of = _GroupOf(groups, models or {})

    async def handle(request: Request) -> Any:
        arguments: dict[str, Any] = {"model": group_of(request), "messages": list(request.messages)}
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        if not request.stream:
            return await router.acompletion(**arguments)
        chunks = await router.acompletion(stream=True, **arguments)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    return handle


class _GroupOf:
    """Which model group a request asks for."""

    def __init__(self, groups: Sequence[str], models: Mapping[str, str]) -> None:
        self._groups = groups
        self._models = models
        for name, group in models.items():
            if group not in groups:
                hint = nearest(group, groups)
                meant = f"; did you mean {hint!r}?" if hint else ""
                raise ValueError(f"models: {name!r} asks for {group!r}, which is no model group{meant}")

    def __call__(self, request: Request) -> str:
        for group in (self._models.get(request.request_class), request.request_class, request.tier):
            if group is not None and group in self._groups:
                return group
        if len(self._groups) == 1:
            return self._groups[0]
        raise ValueError(
            f"request class {request.request_class!r}: `models` does not say which model group it asks for "
            f"({', '.join(self._groups)})"
        )


def _entry(given: Mapping[str, Any], i: int, deployments: Mapping[str, Deployment]) -> dict[str, Any]:
    """An entry of a configuration, called at its deployment's address."""
    entry: dict[str, Any] = copy.deepcopy(dict(given))
    info = entry.setdefault("model_info", {})
    name = info.get("id")
    deployment = deployments.get(name)
    if deployment is None:
        hint = nearest(str(name), deployments)
        meant = f"; did you mean {hint!r}?" if hint else f"; it has {', '.join(deployments)}"
        raise ValueError(f"model_list[{i}].model_info.id: the scenario has no deployment {name!r}{meant}")
    params = entry["litellm_params"]
    told = params["model"]
    params |= _called_at(deployment)
    if told != params["model"]:
        # Prices and context windows are those of the model as litellm knows it.
        info.setdefault("base_model", told)
    return entry


def _own_entry(deployment: Deployment) -> dict[str, Any]:
    """The entry of a deployment that no configuration speaks of."""
    params = _called_at(deployment)
    if deployment.usd_per_mtok_in or deployment.usd_per_mtok_out:
        params["input_cost_per_token"] = deployment.usd_per_mtok_in / 1e6
        params["output_cost_per_token"] = deployment.usd_per_mtok_out / 1e6
    info: dict[str, Any] = {"id": deployment.name}
    if deployment.context_window is not None:
        info["max_input_tokens"] = deployment.context_window
    return {"model_name": deployment.tier, "litellm_params": params, "model_info": info}


def _called_at(deployment: Deployment) -> dict[str, Any]:
    """Where a deployment is called: by OpenAI's protocol, and by a key that only names it."""
    return {
        "model": f"openai/{deployment.model}",
        "api_base": deployment.base_url or OPENAI_URL,
        "api_key": NAMED_BY_KEY + quote(deployment.name),
    }
