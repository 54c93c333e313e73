"""Where the entries of a LiteLLM configuration are called, whose models they are, and by which key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from simsla.scenario.errors import Location, Problem, ScenarioError
from simsla.scenario.importers.imported import Remarks
from simsla.scenario.importers.litellm_settings import ENVIRON

__all__ = ["REGIONS", "add_key", "address_of", "provider_of"]

REGIONS: Final = ("region_name", "aws_region_name", "vertex_location", "vertex_ai_location")
"""The parameters that name a region."""

_ADDRESSES: Final = {
    "anthropic": "https://api.anthropic.com/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "together_ai": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
}
"""Where providers speak OpenAI's protocol, for entries without an address of their own."""

_FAMILIES: Final = (
    ("claude", "anthropic"),
    ("gemini", "gemini"),
    ("mistral", "mistral"),
    ("deepseek", "deepseek"),
)
"""Whose a model is that is named without a provider; any other is OpenAI's."""


def provider_of(params: Mapping[str, Any]) -> tuple[str, str]:
    """Whose model it is, and its name there."""
    first, slash, rest = params["model"].partition("/")
    named = params.get("custom_llm_provider")
    if isinstance(named, str) and named:
        return named, rest if slash and first == named else params["model"]
    if slash and rest:
        return first, rest
    if params.get("api_base") or params.get("base_url"):
        return "openai", first
    return next((whose for family, whose in _FAMILIES if first.startswith(family)), "openai"), first


def address_of(
    provider: str,
    region: str | None,
    params: Mapping[str, Any],
    here: Location,
    left_out: Remarks,
    assumed: Remarks,
) -> str:
    """Where it is called, without user, password and query."""
    given = params.get("api_base") or params.get("base_url")
    if isinstance(given, str) and given.startswith(ENVIRON):
        variable = given.removeprefix(ENVIRON)
        host = re.sub(r"[^a-z0-9]+", "-", variable.lower()).strip("-") or "unknown"
        made_up = f"https://{host}.example/v1"
        assumed.add(
            f"at {made_up}, for its address is in the environment variable {variable}", *here, "api_base"
        )
        return made_up
    if isinstance(given, str) and given:
        try:
            parts = urlsplit(given)
            port = "" if parts.port is None else f":{parts.port}"
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            problem = Problem((*here, "api_base"), "a URL, or the name of an environment variable")
            raise ScenarioError("litellm", [problem])
        if parts.query or parts.fragment or parts.username is not None:
            left_out.add("user, password and query of the address", *here, "api_base")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path}"
    if provider in _ADDRESSES:
        return _ADDRESSES[provider]
    host = re.sub(r"[^a-z0-9]+", "-", "-".join(filter(None, (provider, region))).lower()).strip("-")
    made_up = f"https://{host}.example/v1"
    assumed.add(f"at {made_up}, for it has no address", *here)
    return made_up


def add_key(deployment: dict[str, Any], key: object, here: Location, left_out: Remarks) -> None:
    """The name of the variable that holds the key; never a key."""
    if key is None:
        return
    if isinstance(key, str) and key.startswith(ENVIRON):
        deployment["api_key_env"] = key.removeprefix(ENVIRON)
    else:
        left_out.add(
            "a key stands in the file; name an environment variable (os.environ/NAME)", *here, "api_key"
        )
