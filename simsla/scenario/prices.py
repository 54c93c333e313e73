"""Prices, and the dated cards they come from."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from simsla.distributions import nearest
from simsla.scenario import files
from simsla.scenario.errors import ScenarioError
from simsla.scenario.fields import Frozen, Model, Name, refuse
from simsla.scenario.problems import problems_of
from simsla.scenario.quantities import Whole
from simsla.scenario.yaml_reader import read_yaml

__all__ = ["ListedPrice", "Price", "PriceCard", "PriceOrReference", "price_card"]

Usd = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]


def only_a_date(value: object) -> object:
    if value is None or isinstance(value, str | date):
        return value
    raise refuse("a date such as 2026-01-31", value)


Date = Annotated[date, BeforeValidator(only_a_date)]


class Price(Model):
    """What a million tokens cost, in USD, and who said so when."""

    usd_per_mtok_in: Usd = 0.0
    usd_per_mtok_out: Usd = 0.0
    source: str | None = None
    date: Date | None = None


class ListedPrice(Model):
    """A model's line on a price card."""

    usd_per_mtok_in: Usd
    usd_per_mtok_out: Usd
    context_window: Annotated[Whole, Field(ge=1)] | None = None
    note: str | None = None


class PriceCard(Model):
    """A dated list of prices from one source. `models` maps a model's name to its line."""

    title: str
    source: str
    date: Date
    note: str | None = None
    models: Frozen[Name, ListedPrice]


@lru_cache(maxsize=32)
def price_card(name: str) -> PriceCard:
    """The shipped card of this name; raises ScenarioError when it is malformed, KeyError without one."""
    cards = files.shipped("prices")
    origin = cards[name]
    data, _ = read_yaml(origin.read_text(encoding="utf-8"), origin.name)
    try:
        return PriceCard.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(origin.name, problems_of(error, PriceCard)) from None


def resolved(value: object) -> Any:
    """A reference `card/model` as the price it names; anything else as it is."""
    if not isinstance(value, str):
        return value
    card_name, slash, model = value.partition("/")
    cards = list(files.shipped("prices"))
    if not slash or card_name not in cards:
        expected = f"card/model with a card among {', '.join(cards)}, or a mapping"
        raise refuse(expected, value, nearest(card_name, cards))
    card = price_card(card_name)
    listed = card.models.get(model)
    if listed is None:
        found = nearest(model, card.models)
        expected = f"a model of the price card {card_name}: {', '.join(card.models)}"
        raise refuse(expected, value, found and f"{card_name}/{found}")
    return Price(
        usd_per_mtok_in=listed.usd_per_mtok_in,
        usd_per_mtok_out=listed.usd_per_mtok_out,
        source=card.source,
        date=card.date,
    )


PriceOrReference = Annotated[
    Price,
    BeforeValidator(resolved, json_schema_input_type=Price | str),
]
