"""The configuration of a Router from a file: the sections ``routing`` and ``deployments`` of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError, nearest
from simsla.routing.types import TIERS, Deployment

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy

WORLD_KEYS: Final = (
    "latency",
    "errors",
    "error_latency",
    "retry_after",
    "queue_limit",
    "billing",
    "service",
    "rpm",
    "tpm",
    "burst",
)
"""Keys of a scenario's deployment that describe how it behaves: in production it does so by itself."""

PRICE_NOTES: Final = ("source", "date", "valid_from", "hours", "prompt_cache")
"""Keys of a price that are for people, or that a router does not go by."""


@dataclass(frozen=True)
class _Price(Section):
    usd_per_mtok_in: float = setting(0.0, minimum=0.0)
    usd_per_mtok_out: float = setting(0.0, minimum=0.0)


@dataclass(frozen=True)
class _Deployment(Section):
    model: str = setting()
    provider: str | None = setting(None)
    region: str | None = setting(None)
    account: str | None = setting(None)
    tier: str = setting("standard", choices=TIERS)
    components: tuple[str, ...] = setting(())
    base_url: str | None = setting(None)
    api_key_env: str | None = setting(None)
    context_window: int | None = setting(None, minimum=1)
    max_concurrency: int | None = setting(None, minimum=1)
    capabilities: tuple[str, ...] = setting(())
    price: _Price = field(default=_Price())


def read_policy(path: str | Path) -> tuple[RoutingPolicy, tuple[Deployment, ...]]:
    """The policy and the deployments that a file describes.

    The file is a scenario, or one that has nothing but its sections ``routing`` and ``deployments``. Raises
    `ConfigError` with the path of what is wrong, OSError where the file cannot be read, and ImportError where
    PyYAML is not installed.
    """
    # Here and not above: a policy can depend on a Router, and PyYAML is needed for files alone.
    from simsla.routing.policy import RoutingPolicy
    from simsla.routing.production.yaml_text import YamlError, parse

    origin = str(path)
    try:
        data, _ = parse(Path(path).read_text(encoding="utf-8-sig"))
    except YamlError as error:
        raise ConfigError(origin, str(error), "plain YAML") from None
    if not isinstance(data, Mapping):
        raise ConfigError(origin, data, "a mapping with the sections routing and deployments")
    if "routing" not in data:
        raise ConfigError(
            f"{origin}: routing", None, "a section (required)", nearest("routing", map(str, data))
        )
    routing = data["routing"]
    if isinstance(routing, Mapping) and "policy" in routing:
        raise ConfigError(f"{origin}: routing.policy", routing["policy"], "a policy of the built-in Router")
    try:
        policy = RoutingPolicy.from_dict(routing)
        deployments = _deployments(data.get("deployments"))
        if deployments:
            policy.check(deployments)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error.path}", error.value, error.expected, error.suggestion) from None
    return policy, deployments


def _deployments(section: Any) -> tuple[Deployment, ...]:
    if section is None:
        return ()
    if not isinstance(section, Mapping):
        raise ConfigError("deployments", section, "a mapping of names to deployments")
    return tuple(_deployment(str(name), each) for name, each in section.items())


def _deployment(name: str, section: Any) -> Deployment:
    path = f"deployments.{name}"
    if isinstance(section, Mapping):
        section = {key: value for key, value in section.items() if key not in WORLD_KEYS}
        price = section.get("price")
        if isinstance(price, str):
            section["price"] = _listed(price, f"{path}.price")
        elif isinstance(price, Mapping | list):
            section["price"] = _todays(price)
    read = _Deployment.from_dict(section, path)
    named = (read.provider, read.region, read.account, *read.components)
    upstream = (each for each in named if each is not None)
    return Deployment(
        name=name,
        model=read.model,
        provider=read.provider,
        region=read.region,
        tier=read.tier,
        base_url=read.base_url,
        api_key_env=read.api_key_env,
        usd_per_mtok_in=read.price.usd_per_mtok_in,
        usd_per_mtok_out=read.price.usd_per_mtok_out,
        context_window=read.context_window,
        max_concurrency=read.max_concurrency,
        components=tuple(dict.fromkeys(upstream)),
        capabilities=read.capabilities,
    )


def _todays(price: Mapping[str, Any] | list[Any]) -> Any:
    """Of a price with later changes, or a list of prices in order of their days, what holds today."""
    prices = [price, *(price.get("changes") or ())] if isinstance(price, Mapping) else price
    if not prices or not all(isinstance(each, Mapping) for each in prices):
        return price
    now = datetime.now(UTC).date().isoformat()
    begun = [each for each in prices[1:] if str(each.get("valid_from"))[:10] <= now]
    current = begun[-1] if begun else prices[0]
    return {key: each for key, each in current.items() if key not in (*PRICE_NOTES, "changes")}


def _listed(reference: str, path: str) -> Mapping[str, Any]:
    """The price that ``card/model`` names among the cards that come with the package."""
    from simsla.routing.production.yaml_text import parse

    package = resources.files("simsla")
    folder = package / "data" if (package / "data").is_dir() else package / ".." / "data"
    cards = {
        file.name.removesuffix(".yaml"): file
        for file in (folder / "prices").iterdir()
        if file.name.endswith(".yaml")
    }
    name, _, model = reference.partition("/")
    if name not in cards:
        expected = f"card/model with a card among {', '.join(sorted(cards))}, or a mapping"
        raise ConfigError(path, reference, expected, nearest(name, cards))
    models = parse(cards[name].read_text(encoding="utf-8"))[0]["models"]
    if model not in models:
        found = nearest(model, models)
        expected = f"a model of the price card {name}"
        raise ConfigError(path, reference, expected, found and f"{name}/{found}")
    return {key: models[model][key] for key in ("usd_per_mtok_in", "usd_per_mtok_out")}
