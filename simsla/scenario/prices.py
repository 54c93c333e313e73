"""Prices, and the dated cards they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from simsla.distributions import nearest
from simsla.scenario import files
from simsla.scenario.errors import ScenarioError
from simsla.scenario.fields import Frozen, Model, Name, refuse
from simsla.scenario.instants import Day, TimeOfDay, clock
from simsla.scenario.problems import problems_of
from simsla.scenario.quantities import PositiveDuration, Share, Whole
from simsla.scenario.yaml_reader import read_yaml

__all__ = [
    "Hours",
    "LaterPrice",
    "ListedPrice",
    "Price",
    "PriceCard",
    "PriceOrReference",
    "PromptCache",
    "price_card",
]

Usd = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]


def only_a_date(value: object) -> object:
    if value is None or isinstance(value, str | date):
        return value
    raise refuse("a date such as 2026-01-31", value)


Date = Annotated[date, BeforeValidator(only_a_date)]


class Hours(Model):
    """Hours of every day (UTC) in which the price is another, such as an off-peak discount.

    hours: {from: "16:30", to: "00:30", factor: 0.5, source: https://...}
    """

    from_s: TimeOfDay = Field(alias="from")
    to_s: TimeOfDay = Field(alias="to")
    factor: Usd
    """On the price of all tokens."""
    source: str | None = None

    def __contains__(self, second_of_day: float) -> bool:
        if self.from_s <= self.to_s:
            return self.from_s <= second_of_day < self.to_s
        return second_of_day >= self.from_s or second_of_day < self.to_s


class PromptCache(Model):
    """What the provider takes off for the tokens of a prompt that it has read before.

        prompt_cache: {discount: 0.9, share: 0.6, by: topic, ttl: 5min, source: https://...}

    Of a prompt that hits, `share` of the tokens cost (1 - discount) times as much. Where `by` is None every
    prompt hits. Else an attempt hits if an earlier attempt at this deployment, for the same session or topic,
    was billed before it began and at most `ttl` earlier; a request without one never hits.
    """

    discount: Share
    share: Share = 1.0
    by: Literal["session", "topic"] | None = None
    ttl_s: PositiveDuration = Field(default=300.0, alias="ttl")
    source: str | None = None


class LaterPrice(Model):
    """A price from some day (UTC) on, until the next one's day."""

    valid_from: Day
    usd_per_mtok_in: Usd
    usd_per_mtok_out: Usd
    source: str | None = None


def one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


def apart(hours: tuple[Hours, ...]) -> tuple[Hours, ...]:
    for i, each in enumerate(hours):
        for other in hours[:i]:
            if each.from_s in other or other.from_s in each:
                raise refuse("hours that do not overlap", clock(each.from_s), below=f"[{i}].from")
    return hours


def in_order(prices: tuple[LaterPrice, ...]) -> tuple[LaterPrice, ...]:
    for i, (earlier, later) in enumerate(pairwise(prices), 1):
        if earlier.valid_from >= later.valid_from:
            raise refuse("days in order", str(later.valid_from), below=f"[{i}].valid_from")
    return prices


class Price(Model):
    """What a million tokens cost, in USD, and who said so when.

    An attempt pays the price of the moment at which it ends. A list of prices with `valid_from`, in order, is
    the first one (which holds before its own day, too) with the others as its `changes`:

        price:
          - {valid_from: 2026-01-01, usd_per_mtok_in: 0.30, usd_per_mtok_out: 1.20, source: https://...}
          - {valid_from: 2026-02-01, usd_per_mtok_in: 0.15, usd_per_mtok_out: 0.60, source: https://...}
    """

    usd_per_mtok_in: Usd = 0.0
    usd_per_mtok_out: Usd = 0.0
    source: str | None = None
    date: Date | None = None
    valid_from: Day | None = None
    """The day since when it was known to hold, as a list of prices has it."""
    changes: Annotated[tuple[LaterPrice, ...], AfterValidator(in_order)] = ()
    hours: Annotated[tuple[Hours, ...], BeforeValidator(one_or_more), AfterValidator(apart)] = ()
    prompt_cache: PromptCache | None = None

    @model_validator(mode="after")
    def _later_ones_are_later(self) -> Self:
        if self.valid_from is not None and self.changes and self.valid_from >= self.changes[0].valid_from:
            raise refuse("a later day", str(self.changes[0].valid_from), below="changes[0].valid_from")
        return self

    @property
    def varies(self) -> bool:
        """Whether it takes more than two numbers to say what an attempt costs."""
        return bool(self.changes or self.hours or self.prompt_cache)

    def at(self, day: Day | None = None) -> tuple[float, float]:
        """USD per million tokens in and out on a day, hours and caches left aside; None: the first price."""
        found: Price | LaterPrice = self
        for change in self.changes:
            if day is not None and change.valid_from <= day:
                found = change
        return found.usd_per_mtok_in, found.usd_per_mtok_out


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
    """A reference `card/model` as the price it names, dated prices as one; anything else as it is."""
    if isinstance(value, list | tuple):
        return dated(value)
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


def dated(prices: Sequence[object]) -> Any:
    """A list of prices as the first one with the others as its changes."""
    if not prices:
        raise refuse("at least one price", list(prices))
    first, *changes = prices
    if not isinstance(first, Mapping):
        raise refuse("a mapping with valid_from and the prices", first, below="[0]")
    if "changes" in first:
        raise refuse("no changes within a list of prices", below="[0].changes")
    return {**first, "changes": changes}


PriceOrReference = Annotated[
    Price,
    BeforeValidator(resolved, json_schema_input_type=Price | str | list[dict[str, Any]]),
]
