"""Components: what can fail, and with what."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from simsla.scenario.faults import Fault
from simsla.scenario.fields import Model, Name, refuse
from simsla.scenario.quantities import Share

__all__ = ["Component", "Fault", "Region"]

ComponentKind = Literal["provider", "gateway", "region", "model", "account", "network", "other"]


def empty_if_none(value: object) -> object:
    return {} if value is None else value


class Family(Model):
    """What can fail, by itself or with its siblings.

    Components with the same `parent` are siblings. A drawn fault of one is with probability `beta` a fault of
    them all, at the same time and of the same kind (the beta-factor model of common causes): `faults` are all
    that it has, of which it shares so many. A scheduled fault is its own.

        components:
          openai: {kind: provider}
          gpt-4o: {kind: model, parent: openai, beta: 0.2, faults: [...]}
          gpt-4o-mini: {kind: model, parent: openai, beta: 0.2, faults: [...]}
        deployments:
          large: {model: gpt-4o, provider: openai, components: [gpt-4o], ...}
    """

    faults: tuple[Fault, ...] = ()
    parent: Name | None = None
    """The component it belongs to, whose own faults are not its: a deployment depends on both."""
    beta: Share | None = None
    crew: Name | None = None
    """Who repairs it, one failure after the other; its drawn faults last until the crew has come to them, and
    then for their `repair`. None: somebody is always free."""

    @model_validator(mode="after")
    def _shared_with_somebody(self) -> Self:
        if self.beta is not None and self.parent is None:
            raise refuse("no beta without a parent, which makes siblings", self.beta, below="beta")
        return self


class Component(Family):
    """Something that can fail. A deployment that depends on it fails with it."""

    kind: ComponentKind = "other"


class Region(Family):
    """A region: a component of kind `region` on which every deployment in it depends."""

    def as_component(self) -> Component:
        """The region as a component."""
        return Component(
            kind="region", faults=self.faults, parent=self.parent, beta=self.beta, crew=self.crew
        )


ComponentOrNone = Annotated[Component, BeforeValidator(empty_if_none)]
RegionOrNone = Annotated[Region, BeforeValidator(empty_if_none)]
