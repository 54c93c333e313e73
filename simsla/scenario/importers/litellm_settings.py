"""The settings of a LiteLLM configuration: which the Router reads, and why the others do not come along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simsla.distributions import nearest
from simsla.scenario.importers.imported import Remarks, without_secrets

__all__ = ["ENVIRON", "MODULE_SETTINGS", "ROUTER_SETTINGS", "litellm_settings", "others", "router_settings"]

ENVIRON: Final = "os.environ/"
"""What a value begins with that LiteLLM reads from the environment."""

ROUTER_SETTINGS: Final = frozenset(
    {
        "allowed_fails",
        "allowed_fails_policy",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "cooldown_time",
        "default_fallbacks",
        "default_max_parallel_requests",
        "disable_cooldowns",
        "enable_pre_call_checks",
        "enable_weighted_failover",
        "fallbacks",
        "max_fallbacks",
        "model_group_alias",
        "model_group_retry_policy",
        "num_retries",
        "retry_after",
        "retry_policy",
        "routing_groups",
        "routing_strategy",
        "routing_strategy_args",
        "stream_timeout",
        "timeout",
    }
)
"""The arguments of the Router that say how it routes."""

MODULE_SETTINGS: Final = frozenset(
    {
        "allowed_fails",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "default_fallbacks",
        "drop_params",
        "fallbacks",
        "max_fallbacks",
        "num_retries",
        "request_timeout",
    }
)
"""What the Router reads of the module's own settings, where `router_settings` does not say it."""

_REASONS: Final = (
    (("redis", "cache", "caching"), "counters, cooldowns and answers are kept in the memory of one process"),
    (
        (
            "alerting",
            "set_verbose",
            "debug",
            "success_callback",
            "failure_callback",
            "callbacks",
            "service_callback",
        ),
        "nothing is told to anybody while simulating",
    ),
    (("json_logs", "turn_off_message_logging", "langfuse"), "nothing is told to anybody while simulating"),
    (("provider_budget_config", "max_budget", "budget"), "budgets are not simulated"),
    (("enable_tag_filtering", "tag_"), "requests have no tags"),
    (
        ("enable_health_check", "health_check", "background_health_check"),
        "health checks are the proxy's, not the Router's",
    ),
    (("default_priority", "polling_interval"), "requests do not go through the scheduler's queue"),
)
"""Why settings with such beginnings do not come along."""

_SECTIONS: Final = {
    "general_settings": "of the proxy, which is not simulated",
    "environment_variables": "their values stay where they are",
    "guardrails": "guardrails are not simulated",
    "prompts": "prompts are made by the scenario's traffic",
    "mcp_servers": "tools are not simulated",
    "vector_store_registry": "retrieval is not simulated",
    "files_settings": "of the proxy, which is not simulated",
    "search_tools": "tools are not simulated",
}
_READ: Final = frozenset({"model_list", "credential_list", "router_settings", "litellm_settings"})


def router_settings(section: Mapping[str, Any], left_out: Remarks) -> dict[str, Any]:
    """The arguments of `litellm.Router`."""
    return _kept(section, "router_settings", ROUTER_SETTINGS, left_out)


def litellm_settings(section: Mapping[str, Any], left_out: Remarks) -> dict[str, Any]:
    """The attributes of the module `litellm` that its Router reads."""
    kept = _kept(section, "litellm_settings", MODULE_SETTINGS, left_out)
    if "cooldown_time" in section:
        left_out.add(
            "the Router does not read it here, but in router_settings", "litellm_settings", "cooldown_time"
        )
    return kept


def others(config: Mapping[str, Any], left_out: Remarks) -> None:
    """Say of every other section that it does not come along."""
    for name, value in config.items():
        if name not in _READ and value not in (None, {}, []):
            left_out.add(_SECTIONS.get(str(name), "not a section that the importer knows"), str(name))


def _kept(section: Mapping[str, Any], name: str, known: frozenset[str], left_out: Remarks) -> dict[str, Any]:
    kept = {}
    for key, value in section.items():
        if value is None:
            continue
        if key in known:
            if (variable := _from_environment(value)) is not None:
                left_out.add(f"its value is in the environment variable {variable}; write it here", name, key)
            else:
                kept[key] = without_secrets(value)
        elif (name, key) != ("litellm_settings", "cooldown_time"):
            left_out.add(_reason(str(key), known), name, str(key))
    return kept


def _reason(key: str, known: frozenset[str]) -> str:
    for beginnings, why in _REASONS:
        if key.startswith(beginnings):
            return why
    hint = nearest(key, known)
    return "no setting by which the Router routes" + (f"; did you mean {hint!r}?" if hint else "")


def _from_environment(value: object) -> str | None:
    if isinstance(value, str) and value.startswith(ENVIRON):
        return value.removeprefix(ENVIRON)
    return None
